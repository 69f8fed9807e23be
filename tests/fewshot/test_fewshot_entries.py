import subprocess
import sys

import pytest
from pydantic import ValidationError

from workers.fewshot.entries import C_GRID, FewshotSpec
from workers.kit import ANALYSES, DatasetRef, ModelRef

IMAGES = DatasetRef(name="d", revision="0", source="digits", modality="image", classes=("a", "b"))
NET = ModelRef(name="m", revision="0", files=("f",), loader="torchvision", modality="image")


def test_defaults_are_the_protocol_of_the_demo():
    spec = FewshotSpec()
    assert spec.shots == (1, 2, 4, 8, 16, 32, 64, 128, 0)
    assert spec.replicates == 5
    assert spec.heads == ("logistic", "nearest_class_mean")
    assert spec.c_grid == C_GRID == (1e-8, 1e-6, 1e-4, 1e-2, 1e-1, 1, 1e2, 1e4)


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"shots": (-1,)}, "cannot be drawn"),
        ({"shots": (1, 1)}, "appears twice"),
        ({"protocol": "ehrshots"}, "no protocol 'ehrshots'; known: ehrshot, coop"),
        ({"metrics": ("f1",)}, "no metric 'f1' here; known: accuracy"),
        ({"metrics": ("map", "map")}, "appears twice"),
        ({"templates": ("a photo",)}, "must hold {} once"),
        ({"draws": 5}, "greater than or equal to 100"),
        ({"heads": ("logistik",)}, "Did you mean logistic"),
        ({"heads": ("logistic", "logistic")}, "appears twice"),
        ({"c_grid": (0.0,)}, "positive"),
        ({"replicates": -1}, "greater than or equal to 0"),
        ({"shot": (1,)}, "Extra inputs"),
    ],
)
def test_bad_parameters_are_refused_with_a_sentence(params, sentence):
    with pytest.raises(ValidationError, match=sentence):
        FewshotSpec(**params)


def test_what_fits_and_what_does_not():
    entry = ANALYSES.get("fewshot")
    assert entry.fits(NET, IMAGES) is None
    weights_only = ModelRef(name="m", revision="0", files=("f",))
    assert "weights only" in entry.fits(weights_only, IMAGES)
    series = DatasetRef(name="d", revision="0", source="ts_series", modality="series", classes=("a", "b"))
    assert "reads images" in entry.fits(NET, series)
    one_class = DatasetRef(name="d", revision="0", source="digits", modality="image", classes=("a",))
    assert "one class only" in entry.fits(NET, one_class)
    assert (entry.waits_for, entry.queue, entry.needs) == ("features", "cpu", ("model", "dataset"))
    assert entry.waits_for_params(FewshotSpec()) == {}


def test_entries_and_package_import_nothing_heavy():
    code = (
        "import sys; import workers.fewshot, workers.statistics; from workers.kit import HEADS; list(HEADS); "
        "print([m for m in ('torch', 'sklearn', 'scipy', 'threadpoolctl') if m in sys.modules]); "
        "from workers.fewshot import sample_shots; from workers.statistics import combined_interval; "
        "print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split("\n")[:2] == ["[]", "False"]
