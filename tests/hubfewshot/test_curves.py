"""Curves of a data set: what the query asks for, how outcomes add up, and their page."""

from __future__ import annotations

import dataclasses
from typing import Any

import plotly.graph_objects as go
import pytest
from django.http import QueryDict
from django.test import Client
from django.utils import timezone

from hubapp.fewshot.curves import TWICE, UNCONVERGED, curves_of
from hubapp.jobs.models import Job
from hubapp.results.models import Outcome
from hubapp.results.services import outcome_store
from tests.results.conftest import Measured
from workers.kit import ANALYSES, Score, UserError
from workers.kit import Outcome as KitOutcome

pytestmark = pytest.mark.django_db
PAGE = "/datasets/digits/fewshot/"


def again(hub: Any, measured: Measured, name: str, outcome: KitOutcome, **params: Any) -> Outcome:
    """One more few-shot outcome of a model, newer than the others."""
    revision = hub.models[name].current_revision
    job = Job.objects.create(
        kind="fewshot",
        digest=f"{name} {Outcome.objects.count()}",
        revision=revision,
        dataset_revision=hub.dataset.current_revision,
        params=params,
        status=Job.Status.SUCCEEDED,
        finished_at=timezone.now(),
    )
    return outcome_store(
        job=job,
        entry=ANALYSES.get("fewshot"),
        outcome=outcome,
        provenance={"device": "cpu"},
        workdir=measured.workdir,
    )


def shown(hub: Any, query: str = "") -> Any:
    return curves_of(hub.dataset, query=QueryDict(query))


def test_curves_follow_the_query(hub: Any) -> None:
    curves = shown(hub, "metric=auroc&models=pixels&models=noise")
    assert [curve.model.slug for curve in curves.curves] == ["pixels", "noise"]
    assert curves.shots == [1, 8, 0]
    assert all(point.metric == "auroc" for curve in curves.curves for point in curve.points)
    both = shown(hub, "models=noise,pixels&heads=nearest_class_mean,logistic")
    assert [curve.key for curve in both.curves] == [
        "noise:nearest_class_mean",
        "noise:logistic",
        "pixels:nearest_class_mean",
        "pixels:logistic",
    ]
    assert "Logistic" in both.curves[1].title
    assert shown(hub, "model=pixels").shown_heads == ["logistic", "nearest_class_mean"], "one model: all its heads"
    assert shown(hub).shown_heads == ["logistic"]


@pytest.mark.parametrize("query", ["head=crystal_ball", "metric=taste", "interval=all", "rows=0123", "rows=%00"])
def test_what_there_is_not_is_said(hub: Any, client: Client, query: str) -> None:
    with pytest.raises(UserError, match=r"no head|no metric|no interval|No few-shot"):
        shown(hub, query)
    assert client.get(PAGE, query_params=dict([query.split("=")])).status_code == 400


def test_curves_of_an_error_begin_with_the_smallest(hub: Any, client: Client) -> None:
    def last_values(metric: str) -> list[float]:
        found = client.get("/datasets/digits/fewshot.json", {"metric": metric}).json()
        assert ("lower is better" in found["sentence"]) == (metric == "brier")
        return [curve["points"][-1]["value"] for curve in found["curves"]]

    assert last_values("brier") == sorted(last_values("brier"))
    assert last_values("accuracy") == sorted(last_values("accuracy"), reverse=True)
    assert len(last_values("brier")) > 1


def test_each_source_alone_is_that_of_the_stored_table(hub: Any) -> None:
    table = hub.outcomes["pixels", "fewshot"].tables["intervals"]
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    one = next(row for row in rows if (row["head"], row["k"], row["metric"]) == ("logistic", 8, "accuracy"))
    for name, low, high in (("", "low", "high"), ("draw", "draw_low", "draw_high"), ("test", "test_low", "test_high")):
        cell = shown(hub, f"metric=accuracy&interval={name}").cells["pixels:logistic", 8]
        assert (cell.low, cell.high) == (one[low], one[high])
        assert cell.low is not None
    assert shown(hub, "interval=draw").cells["pixels:logistic", 0].low is None, "all rows have no draw"


def test_outcomes_on_the_same_rows_add_up_and_the_newest_counts(hub: Any, measured: dict[str, Measured]) -> None:
    found = measured["pixels"].fewshot
    kept = {("logistic", 8)}
    moved = tuple(
        dataclasses.replace(score, value=(score.value or 0) / 2)
        for score in found.scores
        if (score.head, score.shots) in kept
    )
    free = Score(metric="accuracy", value=0.3, low=0.2, high=0.4, head="zero_shot", shots=None)
    part = dataclasses.replace(
        found, scores=(*moved, free), summary={**found.summary, "manifest": "e" * 64, "unconverged_fits": 2}
    )
    again(hub, measured["pixels"], "pixels", part, heads=["logistic"])
    curves = shown(hub, "metric=accuracy&models=pixels")
    assert not curves.others, "the draws at 8 labels are the same, whatever the manifests' other numbers"
    assert curves.drawing is not None
    assert len(curves.drawing.manifests) == 2
    before = {(one.head, one.shots): one.value for one in found.scores if one.metric == "accuracy"}
    assert curves.cells["pixels:logistic", 8].score.value == before["logistic", 8] / 2
    assert curves.cells["pixels:logistic", 1].score.value == before["logistic", 1]
    assert curves.cells["pixels:zero_shot", None].score.value == 0.3
    assert curves.shots == [None, 1, 8, 0]
    assert curves.columns == ["no labels", "1", "8", "all"]


def test_other_rows_are_never_on_the_same_page(hub: Any, client: Client, measured: dict[str, Measured]) -> None:
    found = measured["noise"].fewshot
    shots = found.tables["shots"]
    other = dataclasses.replace(
        found,
        summary={**found.summary, "manifest": "f" * 64},
        tables={
            **found.tables,
            "shots": dataclasses.replace(shots, rows=[[*row[:-1], f"other {row[-1]}"] for row in shots.rows]),
        },
    )
    again(hub, measured["noise"], "noise", other, seed=1)
    curves = shown(hub)
    assert [one.manifest for one in curves.others] == ["f" * 64]
    noise = next(curve for curve in curves.curves if curve.model.slug == "noise")
    assert noise.points[0].outcome_id == hub.outcomes["noise", "fewshot"].pk, "the others' rows are these"
    text = client.get(PAGE).content.decode()
    assert "not the same rows" in text
    assert "rows=" + "f" * 64 in text
    alone = shown(hub, "rows=" + "f" * 64)
    assert [model.slug for model in alone.models] == ["noise"]
    assert [one.manifest for one in alone.others] == [hub.outcomes["pixels", "fewshot"].summary["manifest"]]


def test_marks_say_what_is_odd(hub: Any, client: Client) -> None:
    outcome = hub.outcomes["pixels", "fewshot"]
    fits, shots = outcome.tables["fits"], outcome.tables["shots"]
    head, k = fits["columns"].index("head"), fits["columns"].index("k")
    first = next(row for row in fits["rows"] if (row[head], row[k]) == ("logistic", 8))
    first[fits["columns"].index("converged")] = False
    shots["rows"][0][shots["columns"].index("is_oversampled")] = True
    outcome.summary["unconverged_fits"] = 1
    outcome.save()
    for other in Outcome.objects.filter(kind="fewshot").exclude(pk=outcome.pk):
        other.tables["shots"] = shots
        other.save()
    cells = shown(hub).cells
    assert cells["pixels:logistic", 8].marks == {UNCONVERGED: "1 of 3 fits did not converge"}
    assert "in 1 of 3 draws" in cells["noise:logistic", shots["rows"][0][1]].marks[TWICE]
    text = client.get(PAGE).content.decode()
    assert "1 of 3 fits did not converge" in text
    assert "some fits stopped before they had converged" in text


def test_page_chart_and_twin_agree(hub: Any, client: Client) -> None:
    query = "metric=accuracy&heads=logistic,nearest_class_mean"
    text = client.get(f"{PAGE}?{query}").content.decode()
    assert hub.outcomes["pixels", "fewshot"].summary["manifest"][:10] in text
    twin = client.get(f"/datasets/digits/fewshot.json?{query}").json()
    figure = client.get(f"{PAGE}chart.json?{query}").json()
    go.Figure(data=figure["data"], layout=figure["layout"])
    rows = figure["layout"]["meta"]["table"]["rows"]
    points = [point for curve in twin["curves"] for point in curve["points"]]
    assert [row[2:5] for row in rows] == [[one["value"], one["low"], one["high"]] for one in points]
    lines = {trace["name"]: trace for trace in figure["data"] if trace.get("showlegend")}
    assert len(lines) == 6
    pixels = [trace for name, trace in lines.items() if name.startswith("Pixels")]
    assert len({trace["line"]["color"] for trace in pixels}) == 1, "a colour a model"
    assert len({trace["line"]["dash"] for trace in pixels}) == 2, "a dash a head"


def test_an_empty_data_set_says_what_to_do(hub: Any, client: Client) -> None:
    Outcome.objects.all().delete()
    text = client.get(PAGE).content.decode()
    assert "hs-empty" in text
    assert "run the few-shot analysis" in text
    assert client.get("/datasets/digits/fewshot.json").json()["curves"] == []
    assert client.get(f"{PAGE}chart.json").json()["layout"]["meta"]["empty"]
    assert client.get("/datasets/nothing/fewshot/").status_code == 404


def test_queries_do_not_grow_with_the_models(
    hub: Any, client: Client, django_assert_max_num_queries: Any, measured: dict[str, Measured]
) -> None:
    for name in ("pixels", "copies", "noise"):
        again(hub, measured[name], name, measured[name].fewshot, more=1)
    with django_assert_max_num_queries(14):
        client.get(PAGE, {"interval": "draw"})
