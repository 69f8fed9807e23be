"""The blend that orders a ranking by default, and runs of several metrics side by side."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from hubapp.results.comparison import comparison_of
from hubapp.results.evidence.base import base_without, blend_of, evidence_base
from hubapp.results.evidence.kept import blend_kept, marks_of, metrics_judged
from hubapp.results.evidence.own import own_records
from hubapp.results.models import Outcome, Score
from hubapp.results.ranking import ranking_of
from hubapp.results.selectors import ranking_columns
from tests.results.conftest import stored
from workers.kit import METRICS, DatasetRef, LocalContext, ModelRef, digest_of
from workers.transferability import analysis
from workers.transferability.entries import TransferabilitySpec

JUDGED = ("h_score", "gbc", "nc1", "ncti_vc")


def scored(
    hub: Any, measured: Any, names: Any, metrics: tuple[str, ...], *, half_samples: int = 12, **more: Any
) -> None:
    """A further run of these models."""
    for name in names:
        context = LocalContext(
            model=ModelRef(
                name=name, revision=digest_of(name), files=("weights",), loader="torchvision", modality="image"
            ),
            dataset=DatasetRef(
                name="digits",
                revision=digest_of("digits"),
                source="digits",
                modality="image",
                classes=tuple(str(digit) for digit in range(10)),
                rows=700,
            ),
            store_dir=measured[name].workdir.parent / "store",
        )
        spec = TransferabilitySpec(metrics=metrics, half_samples=half_samples, **more)
        revision = hub.models[name].current_revision
        row = stored(
            "transferability",
            analysis.run(spec, context),
            revision,
            hub.dataset.current_revision,
            measured[name].workdir,
        )
        Outcome.objects.filter(pk=row.pk).update(params=spec.model_dump(mode="json"))


@pytest.fixture
def judged(hub: Any, measured: Any) -> Any:
    """The hub with the first runs at twelve halves, and a later one of metrics with evidence for every model."""
    Outcome.objects.filter(kind="transferability").update(params={"half_samples": 12})
    scored(hub, measured, measured, JUDGED)
    return hub


def test_the_default_order_is_the_blend_with_its_parts(judged: Any, client: Client) -> None:
    ranking = ranking_of(judged.dataset)
    assert ranking.by.key == "blend"
    assert ranking.columns[0].key == "blend"
    assert ranking.blend is not None
    expected = blend_of(base_without(evidence_base(), "digits"), ("gbc", "h_score", "logme"))
    assert expected is not None
    assert {part.metric: part.weight for part in ranking.blend.parts} == dict(expected.blend.weights)
    assert len(ranking.blend.parts) >= 2
    assert ranking.blend.expected == expected.mean
    assert ranking.blend.static_mean is not None
    assert ranking.blend.expected.count == 8
    assert round(ranking.blend.static_mean.value, 3) == 0.749
    slugs = [place.model.slug for place in ranking.places if "blend" in place.scores]
    by_slug = {place.model.slug: place.scores for place in ranking.places}
    values = expected.blend.values(
        {name: [by_slug[slug][name].value for slug in slugs] for name in expected.blend.weights}
    )
    assert [by_slug[slug]["blend"].value for slug in slugs] == pytest.approx(list(values))
    assert sorted(values, reverse=True) == list(values)
    page = client.get("/datasets/digits/ranking/").content.decode()
    for part in ranking.blend.parts:
        assert f"{part.share} {part.title}" in page
    twin = client.get("/datasets/digits/ranking.json").json()
    assert twin["by"] == "blend"
    assert sum(part["weight"] for part in twin["blend"]["parts"]) == pytest.approx(1)
    assert client.get("/datasets/digits/ranking/chart.json").status_code == 200


def test_the_blend_of_each_half_says_what_is_separable(judged: Any) -> None:
    ranking = ranking_of(judged.dataset)
    by_slug = {place.model.slug: place for place in ranking.places}
    first = by_slug["pixels"].scores["blend"]
    assert len(first.replicates) == 12
    assert first.low < first.value < first.high or first.low == first.value == first.high
    half = {
        name: [by_slug[slug].scores[name].replicates[3] for slug in ("copies", "noise", "pixels")]
        for name in (part.metric for part in ranking.blend.parts)
    }
    expected = blend_of(base_without(evidence_base(), "digits"), ("gbc", "h_score", "logme")).blend.values(half)
    assert first.replicates[3] == pytest.approx(expected[2])
    assert "jackknife" in ranking.pairs_kind
    assert (by_slug["noise"].best, by_slug["noise"].worst) == (3, 3)


def test_parts_of_other_halves_have_places_without_certainty(judged: Any, measured: Any) -> None:
    scored(judged, measured, ["copies"], ("h_score", "gbc", "logme"), half_samples=5)
    ranking = ranking_of(judged.dataset)
    assert ranking.by.key == "blend"
    assert ranking.pairs_kind == ""
    assert "not all measured on the same half-samples" in ranking.sentence
    assert all(place.best is None for place in ranking.places)
    assert ranking.places[0].scores["blend"].low is None
    by_h_score = ranking_of(judged.dataset, by="h_score")
    assert "Copies was scored on other halves" in by_h_score.unpaired
    assert "run H-score again" in by_h_score.sentence
    row = next(row for row in comparison_of(["pixels", "copies"]).datasets[0].rows if row.column.key == "h_score")
    assert "other halves" in row.sentence


def test_without_two_judged_metrics_the_page_says_why(hub: Any, client: Client) -> None:
    ranking = ranking_of(hub.dataset)
    assert ranking.by.key == "accuracy@all"
    assert ranking.blend is not None
    assert ranking.blend.column is None
    assert "there is only LogME" in ranking.blend.sentence
    page = client.get("/datasets/digits/ranking/?by=blend").content.decode()
    assert "No blend: it takes two metrics" in page
    assert client.get("/datasets/digits/ranking.json").json()["blend"]["parts"] == []


def test_a_part_that_one_model_lacks_is_no_part(judged: Any, measured: Any) -> None:
    Score.objects.filter(metric="h_score", outcome__revision__model__slug="noise").delete()
    ranking = ranking_of(judged.dataset)
    assert ranking.blend is not None
    assert "h_score" not in {part.metric for part in ranking.blend.parts}


def test_a_later_run_of_other_metrics_hides_nothing(judged: Any) -> None:
    keys = [column.key for column in ranking_of(judged.dataset, by="logme").columns]
    assert {"knn", "logme", "regularised_h_score", *JUDGED} <= set(keys)
    place = ranking_of(judged.dataset, by="logme").places[0]
    assert {"knn", "logme", "h_score", "nc1"} <= set(place.scores)
    rows = {row.column.key for row in comparison_of(["pixels", "noise"]).datasets[0].rows}
    assert {"knn", "h_score", "nc1"} <= rows
    record = next(record for record in own_records(None) if record.model == "pixels")
    assert {"knn", "logme", "h_score", "gbc"} <= set(record.scores)


def test_the_newest_run_that_has_the_metric_counts(judged: Any, measured: Any) -> None:
    before = ranking_of(judged.dataset, by="gbc").places[0].scores["gbc"]
    scored(judged, measured, measured, ("gbc",), half_samples=4)
    after = ranking_of(judged.dataset, by="gbc").places[0].scores["gbc"]
    assert after.outcome_id != before.outcome_id
    assert len(after.replicates) == 4


def test_health_and_parts_stand_apart_and_agree_with_nothing(judged: Any, client: Client) -> None:
    ranking = ranking_of(judged.dataset)
    groups = [column.group for column in ranking.columns]
    assert groups == sorted(groups, key=["blend", "ranking", "accuracy", "part", "health"].index)
    assert [title for title, _ in ranking.groups][-1] == "Describes the features"
    assert not {"nc1", "ncti_vc"} & set(ranking.agreement)
    assert {"h_score", "accuracy@all"} <= set(ranking.agreement)
    assert ranking_of(judged.dataset, by="nc1").agreement == {}
    page = client.get("/datasets/digits/ranking/").content.decode()
    assert "Describes the features" in page
    assert "NC1, spread of classes τ" not in page
    assert "a part of a published combination" in ranking_of(judged.dataset, by="ncti_vc").sentence


def test_the_page_says_how_the_order_agrees_with_what_was_measured(judged: Any, client: Client) -> None:
    ranking = ranking_of(judged.dataset)
    assert ranking.truth is not None
    assert ranking.truth.count == 3
    accuracies = {place.model.slug: place.scores["accuracy@all"].value for place in ranking.places if place.scores}
    leader = ranking.places[0].model.slug
    assert ranking.truth.rel_at_1 == pytest.approx(accuracies[leader] / max(accuracies.values()))
    page = client.get("/datasets/digits/ranking/").content.decode()
    assert "weighted τ of" in page
    assert "/datasets/digits/ranking/evidence/" in page
    assert ranking_of(judged.dataset, by="nc1").truth is None
    type(judged.models["noise"]).objects.filter(slug="noise").update(is_control=True)
    assert ranking_of(judged.dataset).truth is None


def test_lower_is_better_enters_as_its_negative(hub: Any) -> None:
    assert {column.key: column.sign for column in ranking_columns(by="ncti_vc")}["ncti_vc"] == -1
    assert METRICS.get("ncti_vc").higher_is_better is False


def test_what_is_kept_is_what_was_reckoned(judged: Any, django_assert_max_num_queries: Any) -> None:
    base, names = evidence_base(), ("gbc", "h_score", "logme")
    fresh, kept = blend_of(base, names), blend_kept(base, names)
    assert kept is not None
    assert fresh is not None
    assert (kept.chosen.blend, kept.chosen.mean, kept.chosen.left_out) == (fresh.blend, fresh.mean, fresh.left_out)
    assert metrics_judged(base, ["logme", "knn", "beauty"]) == ["logme"]
    assert set(marks_of(base, ["logme", "beauty"])) == {"logme"}
    ranking_of(judged.dataset)
    with django_assert_max_num_queries(14):
        ranking_of(judged.dataset)


def test_other_parameters_are_a_column_of_their_own(judged: Any, measured: Any, client: Client) -> None:
    usual = ranking_of(judged.dataset, by="knn").places[0].scores["knn"]
    scored(judged, measured, ("pixels", "noise"), ("knn",), params={"knn": {"k": 1}})
    ranking = ranking_of(judged.dataset, by="knn[k=1]")
    assert ranking.by.title == "Leave-one-out kNN (k=1)"
    assert "k = 1" in ranking.by.words
    assert "version 1" in ranking.by.words
    assert [place.model.slug for place in ranking.places if "knn[k=1]" in place.scores] == ["pixels", "noise"]
    assert ranking.pairs_kind
    assert ranking_of(judged.dataset, by="knn").places[0].scores["knn"] == usual
    assert ranking.blend is not None
    assert "knn[k=1]" not in ranking.marks
    column = next(
        one for one in client.get("/datasets/digits/ranking.json").json()["columns"] if one["key"] == "knn[k=1]"
    )
    assert column["params"] == {"k": 1}
    page = client.get("/datasets/digits/ranking/?by=knn%5Bk%3D1%5D").content.decode()
    assert "Leave-one-out kNN (k=1)" in page
    record = next(record for record in own_records(None) if record.model == "pixels")
    assert record.scores["knn"] == usual.value


def test_a_metric_without_halves_is_no_part(judged: Any) -> None:
    Score.objects.filter(metric="h_score").update(replicates=[], low=None, high=None)
    ranking = ranking_of(judged.dataset)
    assert ranking.blend is not None
    assert "h_score" not in {part.metric for part in ranking.blend.parts}
    assert ranking.by.key != "h_score"
