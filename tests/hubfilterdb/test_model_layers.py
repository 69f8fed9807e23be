"""The layers of a single model are drawn from the file that its analysis wrote, or its depths where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import User

from hubapp.filterdb.axes import axis_of
from hubapp.filterdb.entries import FilterIntervalsSpec
from hubapp.filterdb.groups import membership_of, samples_of
from hubapp.filterdb.intervals import filter_intervals_run
from hubapp.filterdb.model_layers import model_layers
from hubapp.filterdb.selectors import intervals_for
from hubapp.results.models import Artifact
from tests.analysed_models import analysed, convolutions, model_of
from workers.kit import LocalContext

pytestmark = pytest.mark.django_db


@pytest.fixture
def two_models(db: None, tmp_path: Path, settings: Any) -> list[int]:
    """Two models with 25 and 4 layers of 3 × 3, analysed for real."""
    settings.FILES_DIR = tmp_path / "files"
    made = []
    for place, layers in enumerate((25, 4)):
        folder = tmp_path / str(place)
        folder.mkdir()
        model = model_of(folder, f"made/net-{place}", convolutions(seed=place, layers=layers))
        analysed("filterdb", model, folder)
        made.append(model.pk)
    return made


@pytest.mark.parametrize("balance", ["pooled", "layer", "model"])
def test_layers_from_the_file_add_up_to_the_models_sums(two_models: list[int], alice: User, balance: Any) -> None:
    membership = membership_of(axis_of("model"), user=alice)
    by_layer = samples_of(membership, balance, layers=model_layers)
    by_depth = samples_of(membership, balance)
    sizes = {sample.models[0]: len(sample.units) for sample in by_layer}
    assert [sizes[model] for model in two_models] == [25, 4]
    for one, other in zip(by_layer, by_depth, strict=True):
        assert (one.unit, one.pieces) == ("layer", "layers")
        assert "tenths of depth" in other.pieces
        np.testing.assert_allclose(one.whole.values, other.whole.values, rtol=1e-8, atol=1e-7)


def test_the_words_say_what_was_drawn(two_models: list[int], alice: User) -> None:
    spec = FilterIntervalsSpec(axis="model", balance="pooled", kernel="3x3", a="", b="", draws=100)
    filter_intervals_run(spec, LocalContext())
    known = intervals_for("model", kernel="3x3", view="stored", balance="pooled", user=alice)
    found = known.of("made/net-0", "made/net-1")
    assert found is not None
    assert found.null is None
    assert found.low is not None
    assert "have one model, so its layers were drawn for the interval (100 draws), and no null exists." in found.words


@pytest.mark.parametrize("damage", ["gone", "truncated", "another"])
def test_without_a_file_that_fits_the_depths_are_drawn(
    two_models: list[int], alice: User, settings: Any, damage: str
) -> None:
    pack = membership_of(axis_of("model"), user=alice).deciles
    first, second = (Artifact.objects.get(outcome__revision__model=key, name="layers.parquet") for key in two_models)
    assert model_layers(pack, two_models[0], "pooled") is not None
    path = Path(settings.FILES_DIR) / first.location
    if damage == "gone":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:200])
    else:
        Artifact.objects.filter(pk=first.pk).update(location=second.location)
    assert model_layers(pack, two_models[0], "pooled") is None
    pieces = {one.models[0]: one.pieces for one in samples_of(membership_of(axis_of("model"), user=alice), "pooled",
                                                               layers=model_layers)}  # fmt: skip
    assert "tenths of depth" in pieces[two_models[0]]
    assert pieces[two_models[1]] == "layers"
