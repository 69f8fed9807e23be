"""The columns of a ranking: those that were measured, and never a place by the health of features."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from hubapp.results.comparison import comparison_of
from hubapp.results.ranking import ranking_of
from hubapp.results.selectors import ranking_columns
from tests.results.conftest import stored
from workers.kit import METRICS, DatasetRef, LocalContext, ModelRef, UserError, digest_of
from workers.transferability import analysis
from workers.transferability.entries import TransferabilitySpec

CHOSEN = ("logme", "linear_probe", "nc1", "leep")


@pytest.fixture
def more(hub: Any, measured: Any) -> Any:
    """The hub after a later run of other metrics for every model."""
    classes = tuple(str(digit) for digit in range(10))
    for name, found in measured.items():
        context = LocalContext(
            model=ModelRef(
                name=name, revision=digest_of(name), files=("weights",), loader="torchvision", modality="image"
            ),
            dataset=DatasetRef(
                name="digits",
                revision=digest_of("digits"),
                source="digits",
                modality="image",
                classes=classes,
                rows=700,
            ),
            store_dir=found.workdir.parent / "store",
        )
        outcome = analysis.run(TransferabilitySpec(metrics=CHOSEN, half_samples=3), context)
        revision = hub.models[name].current_revision
        stored("transferability", outcome, revision, hub.dataset.current_revision, found.workdir)
    return hub


def test_no_column_for_what_nobody_measured(hub: Any) -> None:
    keys = [column.key for column in ranking_of(hub.dataset).columns]
    assert keys == ["h_score", "knn", "logme", "nce", "regularised_h_score", "accuracy@8", "accuracy@all"]
    assert [column.key for column in ranking_columns()] == keys
    assert len(METRICS) > 20


def test_what_was_measured_or_asked_for_has_a_column(more: Any) -> None:
    keys = [column.key for column in ranking_of(more.dataset, by="gbc").columns]
    assert {"linear_probe", "nc1", "leep", "gbc", "knn"} <= set(keys)
    assert keys.index("nc1") > keys.index("regularised_h_score")
    with pytest.raises(UserError, match="no column"):
        ranking_of(more.dataset, by="gbcc")


def test_health_gives_no_places(more: Any) -> None:
    ranking = ranking_of(more.dataset, by="nc1")
    assert all(place.best is None for place in ranking.places)
    assert ranking.pairs_kind == ""
    assert "neither high nor low is better" in ranking.sentence
    assert "leads" not in ranking.sentence
    page = Client().get(f"/datasets/{more.dataset.slug}/ranking/?by=nc1")
    assert page.status_code == 200
    assert "neither high nor low is better" in page.content.decode()


def test_scores_of_rows_are_compared_on_the_same_halves_as_all(more: Any) -> None:
    ranking = ranking_of(more.dataset, by="linear_probe")
    assert "jackknife" in ranking.pairs_kind
    assert [place.model.slug for place in ranking.places if "linear_probe" in place.scores][-1] == "noise"
    assert "jackknife" in ranking_of(more.dataset, by="logme").pairs_kind


def test_a_comparison_names_no_leader_in_health(more: Any) -> None:
    rows = {row.column.key: row for row in comparison_of(["pixels", "copies", "noise"]).datasets[0].rows}
    assert rows["nc1"].best == ()
    assert "neither high nor low" in rows["nc1"].sentence
    assert rows["linear_probe"].best
    assert "leep" not in rows
