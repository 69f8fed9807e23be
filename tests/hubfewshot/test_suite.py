"""Means over data sets: numbers against numpy, equal support, what is missing, and the page."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from django.http import QueryDict
from django.test import Client
from django.utils import timezone

from hubapp.catalog.models import Dataset, DatasetRevision, Model
from hubapp.charts.fewshot_suite import MeanCurve, MeanPoint, Member, fewshot_suite
from hubapp.charts.rows import ShotPoint
from hubapp.fewshot.suite import Suite
from hubapp.fewshot.suite_reading import MOST_DATASETS, suite_of
from hubapp.jobs.models import Job
from hubapp.results.models import Outcome
from hubapp.results.services import outcome_store
from tests.results.conftest import Measured
from workers.kit import ANALYSES, UserError, digest_of

pytestmark = pytest.mark.django_db
PAGE = "/fewshot/suite/"


def dataset(slug: str, *, modality: str = "image", classes: int = 10) -> Dataset:
    """A data set with a revision."""
    found = Dataset.objects.create(slug=slug, title=slug.title(), modality=modality)
    found.current_revision = DatasetRevision.objects.create(
        dataset=found, digest=digest_of(slug), source="digits", rows=700, classes=[str(one) for one in range(classes)]
    )
    found.save(update_fields=["current_revision"])
    return found


def evaluated(
    data: Dataset, model: Model, measured: Measured, *, shift: float = 0.0, without: tuple[int, ...] = ()
) -> Outcome:
    """The model's few-shot outcome as if it were of another data set, its values moved, some shots left out."""
    job = Job.objects.create(
        kind="fewshot",
        digest=f"{data.slug} {model.slug} {Outcome.objects.count()}",
        revision=model.current_revision,
        dataset_revision=data.current_revision,
        status=Job.Status.SUCCEEDED,
        finished_at=timezone.now(),
    )
    scores = tuple(
        dataclasses.replace(one, value=(one.value or 0.0) + shift)
        for one in measured.fewshot.scores
        if one.shots not in without
    )
    return outcome_store(
        job=job,
        entry=ANALYSES.get("fewshot"),
        outcome=dataclasses.replace(measured.fewshot, scores=scores),
        provenance={"device": "cpu"},
        workdir=measured.workdir,
    )


@pytest.fixture
def suite(hub: Any, measured: dict[str, Measured]) -> Any:
    """Two data sets with all three models, of which one lacks 8 labels of one model; a third with one model only."""
    second, third = dataset("second"), dataset("third")
    for place, name in enumerate(("pixels", "copies", "noise")):
        without = (8,) if name == "noise" else ()
        evaluated(second, hub.models[name], measured[name], shift=-0.05 * place, without=without)
    evaluated(third, hub.models["pixels"], measured["pixels"])
    return hub


def shown(query: str = "", user: Any = None) -> Suite:
    return suite_of(QueryDict(query), user=user)


def stored(name: str, slug: str, *, shots: int, field: str = "value", metric: str = "accuracy") -> float:
    outcome = Outcome.objects.get(kind="fewshot", revision__model__slug=name, dataset_revision__dataset__slug=slug)
    if field == "value":
        value = outcome.scores.get(metric=metric, head="logistic", shots=shots).value
        assert value is not None
        return value
    table = outcome.tables["intervals"]
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    one = next(row for row in rows if (row["head"], row["k"], row["metric"]) == ("logistic", shots, metric))
    return float(one[field])


def test_means_and_their_errors_are_those_of_numpy(suite: Any) -> None:
    found = shown("datasets=digits,second&models=pixels,copies,noise")
    for shots in (1, 0):
        assert found.means[shots].members == ("digits", "second")
        for name in ("pixels", "copies", "noise"):
            mean = found.means[shots].means[name]
            values = [stored(name, slug, shots=shots) for slug in ("digits", "second")]
            errors = [stored(name, slug, shots=shots, field="standard_error") for slug in ("digits", "second")]
            assert mean.value == pytest.approx(np.mean(values), abs=1e-12)
            assert mean.independent is not None
            assert mean.independent.standard_error == pytest.approx(math.hypot(*errors) / 2, abs=1e-12)
            assert mean.independent.high - mean.value == pytest.approx(1.959964 * math.hypot(*errors) / 2, rel=1e-6)
            assert "independent" in mean.independent.kind
    assert [one.slug for one in found.shown] == sorted(
        ("pixels", "copies", "noise"), key=lambda name: -found.means[0].means[name].value
    )


def test_what_one_model_lacks_is_in_no_mean(suite: Any) -> None:
    found = shown("datasets=digits,second")
    assert found.means[8].members == ("digits",)
    assert found.is_uneven
    assert [(gap.dataset.slug, gap.model.slug, gap.shots) for gap in found.gaps] == [("second", "noise", [8])]
    assert found.means[8].means["pixels"].value == stored("pixels", "digits", shots=8)
    without = shown("datasets=digits,second&models=pixels,copies")
    assert without.means[8].members == ("digits", "second"), "the model that lacks it is not on show"
    assert not without.gaps
    assert not without.is_uneven


def test_a_page_begins_with_the_kind_of_most_data_sets_and_models_that_have_all(
    suite: Any, measured: dict[str, Measured]
) -> None:
    other = dataset("alone", modality="text")
    evaluated(other, suite.models["new"], measured["pixels"])
    found = shown()
    assert [one.slug for one in found.datasets] == ["digits", "second", "third"]
    assert [one.slug for one in found.shown] == ["pixels"]
    assert [(model.slug, words) for model, words in found.left_out_words] == [("copies", "Third"), ("noise", "Third")]
    assert [one.slug for one in shown("modality=text").datasets] == ["alone"]
    assert "alone (one data set is no average)" in shown("modality=text").sentence.lower()
    named = shown("models=pixels,copies")
    assert named.means[0].members == ("digits", "second"), "named models are all shown"
    assert [gap.dataset.slug for gap in named.gaps] == ["third"]


def test_nothing_in_common_is_said(suite: Any, client: Client, measured: dict[str, Measured]) -> None:
    evaluated(dataset("alone"), suite.models["new"], measured["pixels"])
    query = "datasets=digits,alone"
    found = shown(query)
    assert not found.has_means
    assert "no data set that all" in found.sentence
    text = client.get(f"{PAGE}?{query}").content.decode()
    assert "What is missing" in text
    assert "hs-chart" not in text
    assert client.get(f"{PAGE}chart.json?{query}").json()["layout"]["meta"]["empty"]


@pytest.mark.parametrize(
    "query",
    [
        "datasets=nowhere",
        "datasets=%00",
        "models=nobody",
        "models=%00",
        "head=crystal_ball",
        "metric=taste",
        "modality=smell",
        "datasets=" + ",".join(["digits", *(f"x{place}" for place in range(MOST_DATASETS))]),
    ],
)
def test_what_there_is_not_is_said(suite: Any, client: Client, query: str) -> None:
    with pytest.raises(UserError):
        shown(query)
    answer = client.get(f"{PAGE}?{query}")
    assert answer.status_code == 400
    assert "Known:" in answer.content.decode()


def test_restricted_models_are_not_averaged_for_outsiders(suite: Any, client: Client) -> None:
    Model.objects.filter(slug="pixels").update(is_restricted=True)
    assert "pixels" not in [one.slug for one in shown("datasets=digits,second").models]
    answer = client.get(f"{PAGE}?models=pixels")
    assert answer.status_code == 400, "an outsider cannot tell it from one that does not exist"


def test_errors_begin_with_the_smallest_and_mixed_brier_scores_are_said(
    suite: Any, client: Client, measured: dict[str, Measured]
) -> None:
    two = dataset("two", classes=2)
    for name in ("pixels", "copies", "noise"):
        evaluated(two, suite.models[name], measured["pixels"])
    found = shown("metric=brier&datasets=digits,second")
    values = [found.means[0].means[one.slug].value for one in found.shown]
    assert values == sorted(values)
    assert not found.is_mixed_brier
    text = client.get(f"{PAGE}?metric=brier&datasets=digits,two").content.decode()
    assert "from 0 to 2 for more" in text


def test_page_chart_and_twin_agree(suite: Any, client: Client) -> None:
    query = "datasets=digits,second&models=pixels,noise"
    text = client.get(f"{PAGE}?{query}").content.decode()
    assert "1 of 2" in text, "how many data sets are behind the mean at 8 labels"
    assert "broken" in text
    twin = client.get(f"/fewshot/suite.json?{query}").json()
    assert twin["missing"] == [{"dataset": "second", "model": "noise", "k": ["8"]}]
    figure = client.get(f"{PAGE}chart.json?{query}").json()
    go.Figure(data=figure["data"], layout=figure["layout"])
    rows = figure["layout"]["meta"]["table"]["rows"]
    means = {(row[0], str(row[2])): row[3:7] for row in rows if row[1] == "mean"}
    for one in twin["means"]:
        for slug, mean in one["models"].items():
            count = len(one["datasets"])
            assert means[slug.title(), one["k"]] == [mean["value"], mean["low"], mean["high"], count]
    members = [row for row in rows if row[1] != "mean"]
    assert len(members) == len(twin["members"]) == 11


def test_a_line_breaks_where_its_data_sets_change() -> None:
    def mean(shots: int | None, *members: str) -> MeanPoint:
        return MeanPoint(shots=shots, value=0.5, low=0.4, high=0.6, members=members)

    points = (mean(None, "a"), mean(1, "a", "b"), mean(2, "a", "b"), mean(4, "a"), mean(8, "a"), mean(0, "a", "b"))
    member = Member(name="a", points=(ShotPoint(shots=1, value=0.5), ShotPoint(shots=8, value=0.7)))
    figure = fewshot_suite([MeanCurve(name="m", colour=9, points=points, members=(member,))], title="Accuracy")
    lines = [trace for trace in figure["data"] if trace["name"] == "m"]
    assert [list(trace["x"]) for trace in lines[:3]] == [[1, 2], [4, 8], [16]]
    assert len(lines[3]["x"]) == 3, "no labels: from side to side"
    assert sum(trace["showlegend"] for trace in lines) == 1
    assert [trace["name"] for trace in figure["data"] if trace.get("opacity") == 0.3] == ["m: a"]


def test_no_evaluation_at_all(client: Client, hub: Any) -> None:
    Outcome.objects.all().delete()
    text = client.get(PAGE).content.decode()
    assert "hs-empty" in text
    assert "Run the few-shot analysis" in text
    assert client.get("/fewshot/suite.json").json()["means"] == []


def test_queries_grow_by_one_a_data_set(suite: Any, client: Client, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(12):
        client.get(PAGE)
