"""The evidence base, its pages and twins, and the panel of a ranking."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from django.test import Client
from scipy import stats

from hubapp.catalog.models import Dataset, DatasetRevision
from hubapp.results.evidence.base import blend_of, evidence_base, metric_evidence
from hubapp.results.evidence.own import OWN, own_records
from hubapp.results.evidence.shipped import shipped_records
from hubapp.results.models import Outcome
from tests.results.conftest import stored
from workers.kit import METRICS, digest_of

PAGES = [
    "/evidence/",
    "/evidence/?table=sfda_cnn&data_set=aircraft",
    "/evidence/?page=3",
    "/evidence/metrics/h_score/",
    "/evidence/metrics/otce/",
    "/evidence/metrics/effective_rank/",
    "/datasets/digits/ranking/evidence/",
]


def test_shipped_counts() -> None:
    counts: dict[str, int] = {}
    for record in shipped_records():
        counts[record.table] = counts.get(record.table, 0) + 1
    assert counts == {"sfda_cnn": 121, "sfda_ssl": 132, "emms_vit": 143, "model_spider": 100}
    assert sum(len(record.scores) for record in shipped_records()) == 9 * 80
    assert all(record.source.commit for record in shipped_records())


@pytest.mark.parametrize("url", PAGES)
def test_pages_and_their_twins_answer(client: Client, hub: Any, url: str) -> None:
    response = client.get(url)
    assert response.status_code == 200
    text = response.content.decode()
    assert "<h1>" in text
    path, _, query = url.partition("?")
    answer = client.get(f"{path.rstrip('/')}.json" + (f"?{query}" if query else ""))
    assert answer.status_code == 200
    answer.json()


@pytest.mark.django_db
@pytest.mark.parametrize("entry", list(METRICS), ids=lambda entry: entry.name)
def test_every_metric_has_a_page_with_its_meaning(client: Client, entry: Any) -> None:
    response = client.get(f"/evidence/metrics/{entry.name}/")
    assert response.status_code == 200
    found = client.get(f"/evidence/metrics/{entry.name}.json").json()
    assert found["meaning"] == entry.meaning
    assert found["formula"]


@pytest.mark.django_db
def test_an_unknown_metric_and_an_unknown_filter_are_sentences(client: Client) -> None:
    assert client.get("/evidence/metrics/beauty/").status_code == 404
    response = client.get("/evidence.json?table=nothing")
    assert response.status_code == 400
    assert "No result in the evidence has the table" in response.content.decode()


@pytest.mark.django_db
def test_model_spider_shows_on_the_metrics_page(client: Client) -> None:
    found = client.get("/evidence/metrics/h_score.json").json()
    assert [round(one["tau"], 3) for one in found["data_sets"] if one["data_set"] in {"Aircraft", "SUN397"}] == [
        0.343,
        0.918,
    ]
    assert "mean of the values" in found["convention"]
    assert found["static_mean"]["value"] == pytest.approx(0.749, abs=0.001)
    assert found["verdict"] == "does not beat"
    page = client.get("/evidence/metrics/h_score/").content.decode()
    assert "Does not beat the static list" in page
    assert "scipy" in page


@pytest.mark.django_db
def test_filters_and_csv_hold_the_same_rows(client: Client) -> None:
    query = "?table=model_spider&model=resnet50"
    twin = client.get(f"/evidence.json{query}").json()
    assert twin["count"] == 10
    answer = client.get(f"/evidence.csv{query}")
    assert answer["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert [(row["data_set"], float(row["value"])) for row in rows] == [
        (row["data_set"], row["value"]) for row in twin["rows"]
    ]
    aircraft = next(row for row in rows if row["data_set"] == "Aircraft")
    assert float(aircraft["h_score"]) == 46.2342
    assert aircraft["source_commit"].startswith("d2a53e4d")


def test_own_results_are_evidence_as_they_stand(hub: Any) -> None:
    records = {record.model: record for record in own_records(None)}
    assert set(records) == {"pixels", "copies", "noise"}
    for name, record in records.items():
        score = next(
            score
            for score in hub.outcomes[name, "fewshot"].scores.all()
            if (score.metric, score.head, score.shots) == ("accuracy", "logistic", 0)
        )
        assert record.value == score.value
        assert set(record.scores) == {"logme", "regularised_h_score", "knn"}
    Outcome.objects.filter(pk=hub.outcomes["noise", "fewshot"].pk).update(archived_at="2026-01-01T00:00:00Z")
    assert "noise" not in {record.model for record in own_records(None)}


def test_controls_and_restricted_models_are_left_out(hub: Any) -> None:
    hub.models["noise"].is_control = True
    hub.models["noise"].save(update_fields=["is_control"])
    hub.models["copies"].is_restricted = True
    hub.models["copies"].save(update_fields=["is_restricted"])
    assert {record.model for record in own_records(None)} == {"pixels"}


def test_the_rankings_panel_checks_the_metrics_by_measured_accuracies(client: Client, hub: Any) -> None:
    found = client.get("/datasets/digits/ranking/evidence.json").json()
    assert {one["metric"] for one in found["metrics"]} == {"logme", "regularised_h_score", "knn"}
    records = own_records(None)
    for one in found["metrics"]:
        scores = [record.scores[one["metric"]] for record in records]
        expected = stats.weightedtau(scores, [record.value for record in records])[0]
        assert one["tau"] == pytest.approx(expected)
        assert one["count"] == 3
        assert one["static_tau"] is None, "no other data set was measured"
        assert 0 < one["rel_at_1"] <= 1
    panel = client.get("/datasets/digits/ranking/evidence/", headers={"HX-Request": "true"}).content.decode()
    assert "<section" in panel
    assert "<html" not in panel
    assert "untrained controls left out" in panel
    assert "/datasets/digits/ranking/evidence/" in client.get("/datasets/digits/ranking/").content.decode()


def test_the_static_list_comes_from_other_data_sets(client: Client, hub: Any, measured: Any) -> None:
    other = Dataset.objects.create(slug="again", title="Again", modality="image")
    other.current_revision = DatasetRevision.objects.create(
        dataset=other, digest=digest_of("again"), source="digits", rows=700, classes=[str(d) for d in range(10)]
    )
    other.save(update_fields=["current_revision"])
    for name in ("pixels", "copies", "noise"):
        revision = hub.models[name].current_revision
        stored("fewshot", measured[name].fewshot, revision, other.current_revision, measured[name].workdir)
    found = client.get("/datasets/digits/ranking/evidence.json").json()["metrics"]
    assert {one["static_tau"] for one in found} == {1.0}, "the other data set has the same accuracies"
    assert {one["static_rel_at_1"] for one in found} == {1.0}


def test_a_data_set_without_results_says_what_to_do(client: Client, hub: Any) -> None:
    Dataset.objects.create(slug="empty", title="Empty", modality="image")
    page = client.get("/datasets/empty/ranking/evidence/").content.decode()
    assert "it needs three trained models" in page


@pytest.mark.django_db
def test_the_blend_is_of_registered_ranking_metrics() -> None:
    base = evidence_base()
    chosen = blend_of(base, ("logme", "h_score", "otce", "effective_rank"))
    assert chosen is not None
    assert set(chosen.blend.weights) <= {"logme", "h_score"}
    assert len(chosen.left_out) == 8
    assert blend_of(base, ("sfda",)) is None
    assert metric_evidence(base, "logme").mean is not None


def test_queries_do_not_grow(hub: Any, django_assert_max_num_queries: Any) -> None:
    evidence_base()
    with django_assert_max_num_queries(3):
        base = evidence_base()
    assert next(table.name for table in base.tables) == OWN


@pytest.mark.django_db
def test_more_metrics_never_make_the_shown_blend_worse_on_data_sets_left_out() -> None:
    base = evidence_base()
    few, many = blend_of(base, ("logme", "h_score")), blend_of(base, tuple(base.metrics()))
    assert few is not None
    assert many is not None
    assert round(few.mean.value, 3) == 0.711
    assert many.mean.value >= few.mean.value
