"""The pages of results, their twins and their charts."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import pytest
from django.test import Client

from tests.results.conftest import stored
from workers.kit import Outcome

PAGES = [
    "/datasets/digits/ranking/",
    "/datasets/digits/ranking/?by=logme",
    "/datasets/digits/fewshot/",
    "/datasets/digits/fewshot/?metric=auroc&head=nearest_class_mean",
    "/scores/pixels/",
    "/filters/pixels/",
    "/filters/new/",
    "/scores/weights-only/",
    "/compare/",
    "/compare/?models=pixels,noise",
]


def twin(url: str) -> str:
    path, _, query = url.partition("?")
    return f"{path.rstrip('/')}.json" + (f"?{query}" if query else "")


@pytest.mark.parametrize("url", PAGES)
def test_pages_and_their_twins_answer(client: Client, filter_report: Any, url: str) -> None:
    response = client.get(url)
    assert response.status_code == 200, response.content[:400]
    assert b"<h1>" in response.content
    answer = client.get(twin(url))
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"
    answer.json()


@pytest.mark.parametrize("url", ["/datasets/digits/ranking/", "/scores/pixels/", "/filters/pixels/"])
def test_panels_are_parts_of_pages(client: Client, filter_report: Any, url: str) -> None:
    response = client.get(url, headers={"HX-Request": "true"})
    assert response.status_code == 200
    assert b"<html" not in response.content
    assert b"<section" in response.content


def test_a_missing_score_is_a_dash_and_never_a_zero(client: Client, hub: Any) -> None:
    row = client.get("/scores/new.json").json()[0]
    assert set(row["scores"].values()) == {None}
    page = client.get("/scores/new/").content.decode()
    assert "/jobs/submit?kind=transferability&amp;model=new&amp;dataset=digits" in page
    assert ">0.000" not in page


def test_outcome_page_shows_provenance_and_files(client: Client, hub: Any) -> None:
    outcome = hub.outcomes["pixels", "fewshot"]
    page = client.get(outcome.get_absolute_url()).content.decode()
    assert "Provenance" in page
    assert "predictions.npz" in page
    answer = client.get(f"/outcomes/{outcome.pk}.json").json()
    assert answer["model"] == "pixels"
    assert answer["scores"][0]["replicates"]
    file = client.get(f"/outcomes/{outcome.pk}/files/predictions.npz")
    assert b"".join(file.streaming_content)[:2] == b"PK"  # type: ignore[arg-type, attr-defined]
    assert "attachment" in file["Content-Disposition"]


def test_charts_are_valid_and_never_change(client: Client, hub: Any) -> None:
    outcome = hub.outcomes["pixels", "fewshot"]
    page = client.get(outcome.get_absolute_url()).content.decode()
    url = f"/outcomes/{outcome.pk}/charts/accuracy.json"
    assert url in page
    response = client.get(url)
    figure = response.json()
    go.Figure(data=figure["data"], layout=figure["layout"])
    assert figure["data"]
    assert "immutable" in response["Cache-Control"]
    assert client.get(url, headers={"If-None-Match": response["ETag"]}).status_code == 304
    assert client.get(f"/outcomes/{outcome.pk}/charts/nonsense.json").status_code == 404


def test_an_outcome_shows_the_report_of_its_kind(client: Client, filter_report: Any) -> None:
    page = client.get(filter_report.get_absolute_url()).content.decode()
    assert f"/filters/pixels/?outcome={filter_report.pk}" in page
    assert "Table “" not in page
    assert client.get(f"/outcomes/{filter_report.pk}.json").json()["tables"]["layers"]["rows"]


@pytest.mark.parametrize(
    "url",
    [
        "/datasets/digits/ranking/chart.json?by=knn",
        "/datasets/digits/fewshot/chart.json?metric=auroc",
    ],
)
def test_charts_of_pages_draw(client: Client, filter_report: Any, url: str) -> None:
    figure = client.get(url).json()
    go.Figure(data=figure["data"], layout=figure["layout"])
    assert figure["data"]


def test_wrong_addresses_are_sentences(client: Client, hub: Any) -> None:
    assert client.get("/datasets/nothing/ranking/").status_code == 404
    assert client.get("/datasets/nothing/ranking.json").json()["error"]
    response = client.get("/compare.json?models=pixels")
    assert response.status_code == 400
    assert "Choose 2 to 6" in response.json()["error"]
    assert "Choose 2 to 6" in client.get("/compare/?models=pixels").content.decode()
    assert client.get("/datasets/digits/ranking/?by=beauty").status_code == 400


def test_archived_results_are_left_out_and_come_back(client: Client, hub: Any, alice: Any) -> None:
    outcome = hub.outcomes["noise", "transferability"]
    url = f"/outcomes/{outcome.pk}/change/"
    assert client.post(f"{url}archive/").status_code == 302  # to the login
    client.force_login(alice)
    client.post(f"{url}archive/")
    models = {row["model"]: row for row in client.get("/datasets/digits/ranking.json?by=knn").json()["models"]}
    assert "knn" not in models["noise"]["scores"]
    client.post(f"{url}restore/")
    models = {row["model"]: row for row in client.get("/datasets/digits/ranking.json?by=knn").json()["models"]}
    assert "knn" in models["noise"]["scores"]


def test_only_staff_deletes_and_the_work_can_be_asked_for_again(client: Client, hub: Any, alice: Any, bob: Any) -> None:
    outcome = hub.outcomes["noise", "fewshot"]
    url = f"/outcomes/{outcome.pk}/change/delete/"
    client.force_login(bob)
    assert client.post(url).status_code == 403
    alice.is_staff = True
    alice.save()
    client.force_login(alice)
    assert client.post(url).status_code == 302
    assert client.get(outcome.get_absolute_url()).status_code == 404
    assert not type(outcome.job).objects.filter(pk=outcome.job_id).exists()


def test_a_profile_is_shown_by_the_catalogue(hub: Any, tmp_path: Any) -> None:
    data = hub.dataset.current_revision
    found = Outcome(summary={"counts": {"0": 70}, "sentence": "700 rows in 10 classes."})
    stored("dataset_profile", found, None, data, tmp_path)
    data.refresh_from_db()
    assert data.profile["counts"] == {"0": 70}
