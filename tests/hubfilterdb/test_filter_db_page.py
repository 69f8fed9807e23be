"""The page of the filter DB, its twin and its charts, over a small simulated store."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from hubapp.catalog.models import Model, SavedSearch
from hubapp.filterdb.entries import FilterIntervalsSpec
from hubapp.filterdb.groups import grouped
from hubapp.filterdb.intervals import filter_intervals_run
from tests.hubfilterdb.simulated import Simulated, simulate
from workers.kit import LocalContext

pytestmark = pytest.mark.django_db


@pytest.fixture
def store(db: None) -> Simulated:
    return simulate(models=24, layers=120, seed=1)


def twin(client: Client, query: str = "") -> dict[str, Any]:
    response = client.get(f"/filters.json{query}")
    assert response.status_code == 200
    found: dict[str, Any] = response.json()
    return found


def text_of(client: Client, query: str = "", *, status: int = 200) -> str:
    response = client.get(f"/filters/{query}")
    assert response.status_code == status
    return response.content.decode()


def test_without_any_analysis_the_page_says_what_to_do(client: Client) -> None:
    text = text_of(client)
    assert "No filters were looked at yet" in text
    assert "Choose a model to analyse" in text
    assert twin(client)["groups"] == []


def test_the_twin_holds_the_groups_and_their_drift(client: Client, store: Simulated) -> None:
    found = twin(client, "?axis=family")
    groups = grouped("family")
    assert {group["name"] for group in found["groups"]} == set(groups.names)
    assert found["models"] == 24
    assert found["filters"] == sum(group.statistics.n for one in store.groups.values() for group in one.values())
    drift = {(cell["a"], cell["b"]): cell["value"] for cell in found["drift"]}
    assert len(drift) == len(groups.names) * (len(groups.names) - 1) // 2
    for (a, b), value in drift.items():
        assert value == pytest.approx(groups.drift[groups.names.index(a), groups.names.index(b)])
    first = found["groups"][0]
    assert sum(first["explained_variance_ratio"]) == pytest.approx(1)
    assert np.sum(first["density"]) == pytest.approx(1, abs=1e-5)
    assert np.shape(first["basis"]) == (9, 9)
    assert np.shape(first["histograms"]) == (9, 70)
    assert len(found["histogram_edges"]) == 71
    assert len(found["density_edges"]) == 36
    assert found["conventions"]["Drift"].startswith("Symmetric Kullback")


def test_groups_stand_by_mean_drift_but_for_axes_with_an_order(client: Client, store: Simulated) -> None:
    by_drift = [group["mean_drift"] for group in twin(client, "?axis=family")["groups"]]
    assert by_drift == sorted(by_drift)
    names = [group["name"] for group in twin(client, "?axis=depth")["groups"]]
    assert names == sorted(names)
    assert names[0] == "depth 0.0–0.1"


def test_the_page_says_what_was_found_and_shows_every_group(client: Client, store: Simulated) -> None:
    text = text_of(client, "?axis=family")
    assert twin(client, "?axis=family")["sentence"].replace("“", "“") in text
    for name in grouped("family").names:
        assert name in text
    assert text.count('src="data:image/png;base64,') == len(grouped("family").names) * 10
    assert "Intervals are not computed yet." in text
    assert 'data-chart="/filter-charts/drift.json?axis=family"' in text


def test_chosen_groups_are_shown_alone(client: Client, store: Simulated) -> None:
    chosen = sorted(grouped("family").names)[:2]
    query = f"?axis=family&group={quote(chosen[0])}&group={quote(chosen[1])}"
    found = twin(client, query)
    assert sorted(group["name"] for group in found["groups"]) == chosen
    assert len(found["drift"]) == 1
    assert found["sentence"].count("“") == 2
    assert "Show all groups" in text_of(client, query)
    text = text_of(client, "?axis=family&group=nobody", status=400)
    assert "There is no group named" in text


def test_charts_follow_the_query(client: Client, store: Simulated) -> None:
    figure = client.get("/filter-charts/drift.json?axis=depth").json()
    names = figure["layout"]["xaxis"]["ticktext"]
    assert names == sorted(names)
    assert len(figure["layout"]["meta"]["table"]["rows"]) == len(names) * (len(names) - 1) // 2
    assert figure["layout"]["meta"]["table"]["rows"][0][-1] == "interval not computed yet"
    ridges = client.get("/filter-charts/ridges.json?axis=depth&balance=model").json()
    assert len(ridges["data"]) == 9 * len(names)
    variance = client.get("/filter-charts/variance.json?axis=depth").json()
    assert len(variance["layout"]["meta"]["table"]["rows"]) == 9 * len(names)
    assert client.get("/filter-charts/pie.json").status_code == 404


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("axis=colour", "There is no axis named"),
        ("balance=heavy", "There is no balance named"),
        ("view=raw", "There is no view named"),
        ("kernel=three", "no kernel size"),
        ("kernel=0x3", "no kernel size"),
    ],
)
def test_a_wrong_choice_is_one_sentence(client: Client, store: Simulated, query: str, words: str) -> None:
    assert words in text_of(client, f"?{query}", status=400)
    for address in ("/filters.json", "/filter-charts/drift.json"):
        response = client.get(f"{address}?{query}")
        assert response.status_code == 400
        assert words in response.json()["error"]


def test_two_searches_make_two_groups(client: Client, store: Simulated) -> None:
    assert "Name two searches" in text_of(client, "?axis=searches")
    assert client.get("/filter-charts/drift.json?axis=searches").status_code == 400
    a, b = quote("library=timm"), quote("/models/?library=onnx&sort=-created")
    found = twin(client, f"?a={a}&b={b}")
    assert [group["models"] for group in found["groups"]] == [8, 8]
    assert found["asked"]["axis"] == "searches"
    assert found["asked"]["b"] == "library=onnx&sort=-created"
    assert len(found["drift"]) == 1
    text = text_of(client, f"?a={a}&b={b}&kernel=3x3")
    assert "library=timm" in text
    words = twin(client, "?a=Model%201&b=library%3Dtimm")
    assert words["asked"]["a"] == "q=Model+1"


def test_ones_own_searches_are_offered(client: Client, alice: User, store: Simulated) -> None:
    SavedSearch.objects.create(owner=alice, title="Timm's", query="library=timm")
    assert "Timm&#x27;s" not in text_of(client)
    client.force_login(alice)
    text = text_of(client)
    assert '<option value="library=timm">Timm&#x27;s</option>' in text
    assert '"axis": "task"' in text.replace("&quot;", '"')


def test_intervals_are_shown_with_their_age_and_say_when_they_are_old(client: Client, store: Simulated) -> None:
    spec = FilterIntervalsSpec(axis="task", balance="pooled", draws=100)
    filter_intervals_run(spec, LocalContext())
    found = twin(client)
    assert found["intervals"]["state"] == "Intervals fit these groups."
    assert found["intervals"]["draws"] == 100
    sizes = {group["name"]: group["models"] for group in found["groups"]}
    assert min(sizes.values()) == 1
    for cell in found["drift"]:
        has_null = min(sizes[cell["a"]], sizes[cell["b"]]) > 1
        assert (cell["null"] is not None) == (cell["p_value"] is not None) == has_null
        assert ("no null: one model" in cell["note"]) == (not has_null)
        assert cell["is_beyond"] == (has_null and cell["value"] > cell["null"])
        if cell["low"] is not None:
            assert cell["low"] - 1e-9 <= cell["value"] <= cell["high"] + 1e-9
    text = text_of(client)
    assert "Computed <time" in text
    assert "Sign in to compute" not in text
    rows = client.get("/filter-charts/drift.json?axis=task").json()["layout"]["meta"]["table"]["rows"]
    assert {row[-1] for row in rows} <= {"yes", "no", "no null: one model"}
    Model.objects.filter(pk=min(store.models)).update(archived_at=timezone.now())
    assert twin(client)["intervals"]["is_stale"]
    assert "Results came or went since the intervals." in text_of(client)
    assert "Sign in to compute" in text_of(client)


def test_one_group_and_kernels_without_layers_say_so(client: Client, store: Simulated) -> None:
    Model.objects.update(task="ocr")
    found = twin(client, "?axis=task")
    assert found["drift"] == []
    assert "nothing to set it against" in found["sentence"]
    text = text_of(client, "?axis=task")
    assert "nothing to set it against" in text
    assert "filter-charts/drift" not in text
    assert "No 7 × 7 filters" in text_of(client, "?kernel=7x7")
    Model.objects.update(task="")
    assert "Of none of the analysed models the task is known" in text_of(client, "?axis=task")


def test_more_groups_than_fit_are_named(client: Client, db: None) -> None:
    simulate(models=30, layers=60, seed=2)
    found = twin(client, "?axis=model")
    assert len(found["groups"]) == 24
    assert len(found["groups_not_shown"]) == 6
    assert "6 smaller groups with 6 models are not" in text_of(client, "?axis=model")


def test_outsiders_see_nothing_of_restricted_models(client: Client, alice: User, store: Simulated) -> None:
    hidden = next(iter(store.models.values()))
    Model.objects.filter(pk=hidden.pk).update(is_restricted=True)
    assert twin(client, "?axis=model")["models"] == 23
    assert hidden.slug not in text_of(client, "?axis=model")
    client.force_login(alice)
    assert twin(client, "?axis=model")["models"] == 24


def test_names_of_strangers_stay_text(client: Client, store: Simulated) -> None:
    Model.objects.update(task="<script>alert(1)</script> & co")
    text = text_of(client)
    assert "<script>alert" not in text
    assert twin(client)["groups"][0]["name"] == "<script>alert(1)</script> & co"
