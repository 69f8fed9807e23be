"""The golden values of Iris, from the form of a job to the ranking's twin, over real processes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from hubapp.catalog.importing import dataset_import, model_import
from hubapp.catalog.models import Source
from tests.conftest import person
from tests.live import LiveHubscope, run_hubscope
from tests.proof.visitor import SiteVisitor

pytestmark = [pytest.mark.slow, pytest.mark.django_db, pytest.mark.timeout(600)]

# Computed by thuml/LogME, TLL and transformer-ranker on scikit-learn's 150 × 4 table in float64.
GOLDEN = {"logme": -0.1600602, "regularised_h_score": 1.1778424804, "h_score": 1.1918988250}
NEIGHBOURS = {1: 144 / 150, 3: 144 / 150, 5: 145 / 150, 13: 145 / 150}


@pytest.fixture(scope="module")
def site(committed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveHubscope]:
    source = Source.objects.create(kind="folder", location=str(tmp_path_factory.mktemp("raw")), title="Baselines")
    model_import(
        source=source,
        slug="raw-columns",
        title="Raw columns",
        files=[],
        facts={"modality": "table"},
        loader="identity",
    )
    dataset_import(
        slug="iris",
        title="Iris",
        source="built_in",
        config={"table": "iris"},
        classes=["setosa", "versicolor", "virginica"],
        rows=150,
        facts={"modality": "table"},
    )
    person("alice")
    with run_hubscope() as live:
        yield live


def test_golden_values_come_out_of_the_rankings_twin(site: LiveHubscope) -> None:
    visitor = SiteVisitor(site.url)
    visitor.sign_in("alice")
    runs = [{"metrics": [*GOLDEN, "knn"], "half_samples": 2}]
    runs += [{"metrics": ["knn"], "half_samples": 2, "params": {"knn": {"k": k}}} for k in NEIGHBOURS if k != 5]
    for params in runs:
        pk, _ = visitor.submit("transferability", model="raw-columns", dataset="iris", params=json.dumps(params))
        ended = visitor.job_ended(pk)
        assert ended["status"] == "succeeded", ended
    twin = visitor.json("/datasets/iris/ranking.json")
    (model,) = twin["models"]
    assert model["model"] == "raw-columns"
    for name, value in GOLDEN.items():
        assert model["scores"][name]["value"] == pytest.approx(value, abs=1e-6), name
    for k, share in NEIGHBOURS.items():
        key = "knn" if k == 5 else f"knn[k={k}]"
        assert model["scores"][key]["value"] == share, key
    assert {column["key"]: column["params"] for column in twin["columns"]}["knn[k=13]"] == {"k": 13}
    again = visitor.submit(
        "transferability",
        model="raw-columns",
        dataset="iris",
        params=json.dumps({**runs[0], "params": {"knn": {"k": 5}}}),
    )
    assert visitor.job(again[0])["status"] == "succeeded", "the same work is offered, not repeated"
    status, text = visitor.post(
        "/jobs/submit",
        kind="transferability",
        model="raw-columns",
        dataset="iris",
        params=json.dumps({"metrics": ["knn"], "params": {"knn": {"k": 0}}}),
    )
    assert status == 400
    assert "Leave-one-out kNN, k" in text


def test_the_form_offers_the_parameters_of_metrics(site: LiveHubscope) -> None:
    visitor = SiteVisitor(site.url)
    visitor.sign_in("alice")
    status, text = visitor.get("/jobs/submit?kind=transferability&model=raw-columns&dataset=iris")
    assert status == 200
    assert "Parameters of metrics" in text
    fields = {"p-metrics": "knn", "p-half_samples": "3", "p-params": '{"knn": {"k": 7}}'}
    pk, _ = visitor.submit("transferability", model="raw-columns", dataset="iris", **fields)
    assert visitor.job_ended(pk)["status"] == "succeeded"
    scores = visitor.json("/datasets/iris/ranking.json")["models"][0]["scores"]
    assert 0.9 < scores["knn[k=7]"]["value"] < 1
