"""From data to models: the real pages, jobs in the real runner, costs and standings against their definitions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.http import QueryDict
from django.test import Client

from hubapp.bring.candidates import Candidates, candidates_of
from hubapp.bring.running import metrics_for
from hubapp.bring.speeds import Line, speeds_of
from hubapp.bring.standing import standings_of
from hubapp.catalog.importing import ImportFile, dataset_import, model_import
from hubapp.catalog.models import Dataset, Model, Source
from hubapp.execution import runner
from hubapp.jobs.models import Job
from tests.jobs.conftest import folders, queue
from workers.sources.store import StoredFeatures

__all__ = ["folders", "queue"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("queue", "folders")]


@pytest.fixture
def iris(tmp_path: Path) -> Dataset:
    """Three models that pass on a table's columns, one of pictures, and the table."""
    source = Source.objects.create(kind="folder", location=str(tmp_path), title="Baselines")
    licences = {"raw-a": "apache-2.0", "raw-b": "cc-by-nc-4.0", "raw-c": "", "view": ""}
    for number, (slug, licence) in enumerate(licences.items()):
        modality = "image" if slug == "view" else "table"
        file = tmp_path / f"{slug}.npz"
        np.savez(file, nothing=np.full(number + 1, number, dtype=np.float32))
        model_import(
            source=source,
            slug=slug,
            title=slug.title(),
            files=[ImportFile(path=file.name, location=file)],
            facts={"modality": modality, "licence": licence},
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
    dataset: Dataset = Dataset.objects.select_related("current_revision").get(slug="iris")
    return dataset


def choice(dataset: Dataset, query: str = "", user: Any = None) -> Candidates:
    return candidates_of(dataset, query=QueryDict(query), metrics=metrics_for(dataset, user), user=user)


def run_all() -> None:
    """Run the jobs that wait, as a worker does, those first that others wait for."""
    for kind in ("features", "transferability"):
        for job in Job.objects.filter(kind=kind, status=Job.Status.QUEUED, is_parent=False).order_by("created_at"):
            assert runner.run(str(job.pk), worker="test") == "succeeded", Job.objects.get(pk=job.pk).error_message


def test_from_data_to_a_ranking_and_on(client: Client, iris: Dataset, bob: User) -> None:
    assert client.get("/bring.json").json()["datasets"] == ["iris"]
    page = client.get("/bring/?dataset=iris").content.decode()
    assert "Sign in to run" in page
    assert "no model like it was timed here" in page
    client.force_login(bob)
    before = client.get("/bring/iris/").content.decode()
    assert "No model has been scored on Iris yet." in before
    sent = {"dataset": "iris", "models": ["raw-a", "raw-b"]}
    answer = client.post("/bring/run", sent)
    assert (answer.status_code, answer["Location"]) == (303, "/bring/iris/")
    jobs = Job.objects.filter(is_parent=False)
    assert {(job.kind, job.status) for job in jobs} == {("features", "queued"), ("transferability", "queued")}
    count = jobs.count()
    client.post("/bring/run", sent)
    assert jobs.count() == count, "a second click computes nothing twice"
    part = client.get("/bring/iris/part").content.decode()
    assert 'hx-trigger="every 3s"' in part
    assert "1 of 3 models are done" in part
    run_all()
    part = client.get("/bring/iris/part").content.decode()
    assert "hx-trigger" not in part
    found = client.get("/bring/iris.json?use=commercial").json()
    models = {one["model"]: one for one in found["models"]}
    score = models["raw-a"]["score"]
    assert score["low"] <= score["value"] <= score["high"]
    assert "halves" in score["interval"]
    rank = models["raw-a"]["health"]["effective_rank"]
    assert rank["low"] < rank["value"] < rank["high"]
    assert models["raw-a"]["milliseconds_a_row"] > 0
    assert models["raw-a"]["health"]["effective_rank"]["value"] == pytest.approx(
        models["raw-b"]["health"]["effective_rank"]["value"]
    )
    assert (models["raw-a"]["use"], models["raw-b"]["use"], models["raw-c"]["use"]) == (
        "allowed", "not allowed", "unknown",
    )  # fmt: skip
    assert models["raw-c"]["score"] is None
    for name in ("parameters", "time"):
        chart = client.get(f"/bring/iris/charts/{name}.json").json()
        assert {row[0] for row in chart["layout"]["meta"]["table"]["rows"]} == {"Raw-A", "Raw-B"}
    assert client.get("/bring/iris/charts/taste.json").status_code == 404
    # They are the same features: neither can be told from the other, so asking for one takes both.
    answer = client.post("/bring/iris/few-shot", {"k": "1"})
    assert answer.status_code == 303
    assert Job.objects.filter(kind="fewshot", is_parent=False).count() == 2


def test_candidates_say_why_not_and_what_it_costs(client: Client, iris: Dataset, bob: User) -> None:
    found = choice(iris)
    assert [one.model.slug for one in found.found] == ["raw-a", "raw-b", "raw-c"]
    assert found.sentence == "3 models can read Iris."
    narrow = choice(iris, "q=raw-b")
    assert [one.model.slug for one in narrow.found] == ["raw-b"]
    free = choice(iris, "use=commercial")
    assert [one.model.slug for one in free.found] == ["raw-a", "raw-c"]
    assert [model.slug for model, _ in free.refused] == ["raw-b"]
    assert "does not allow" in free.refused[0][1]
    assert found.total.unknown == 3
    client.force_login(bob)
    client.post("/bring/run", {"dataset": "iris", "models": ["raw-a"]})
    run_all()
    again = {one.model.slug: one for one in choice(iris).found}
    assert again["raw-a"].is_scored
    assert choice(iris).open_count == 2
    # The features of "raw-a" are stored, so that another metric would need no pass.
    others = candidates_of(iris, query=QueryDict(""), metrics=["sfda"], user=None)
    assert {one.model.slug: one.cost.basis for one in others.found}["raw-a"] == "stored"


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("/bring/?dataset=nothing", "There is no data set"),
        ("/bring/?dataset=iris&use=war", "There is no use"),
        ("/bring/iris/?by=luck", "luck"),
        ("/bring/iris/?use=war", "There is no use"),
        ("/bring/?dataset=%3Cscript%3E", "There is no data set"),
    ],
)
def test_wrong_addresses_are_sentences(client: Client, iris: Dataset, address: str, sentence: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 400
    assert sentence in answer.content.decode()
    assert "<script>alert" not in answer.content.decode()


def test_what_a_form_can_get_wrong(client: Client, iris: Dataset, bob: User) -> None:
    assert client.post("/bring/run", {"dataset": "iris", "models": ["raw-a"]}).status_code == 302  # to the login
    client.force_login(bob)
    assert client.post("/bring/run", {"dataset": "iris"}).status_code == 400
    assert client.post("/bring/run", {"dataset": "iris", "models": ["view", "nobody"]}).status_code == 400
    assert client.post("/bring/run", {"dataset": "none", "models": ["raw-a"]}).status_code == 404
    for k in ("", "0", "-1", "many", "99", "²"):
        assert client.post("/bring/iris/few-shot", {"k": k}).status_code == 400
    assert client.post("/bring/iris/few-shot", {"k": "1"}).status_code == 400, "nothing is scored"
    assert not Job.objects.exists()


def test_private_models_are_no_candidates_of_outsiders(iris: Dataset, bob: User) -> None:
    Model.objects.filter(slug="raw-a").update(is_private=True, is_restricted=True)
    assert "raw-a" not in [one.model.slug for one in choice(iris).found]
    assert "raw-a" in [one.model.slug for one in choice(iris, user=bob).found]


def test_without_data_or_models_the_pages_say_what_to_do(client: Client, db: None) -> None:
    page = client.get("/bring/").content.decode()
    assert "There is no data set yet." in page
    dataset_import(
        slug="iris", title="Iris", source="built_in", config={"table": "iris"}, classes=["a", "b"], rows=150,
        facts={"modality": "table"},
    )  # fmt: skip
    page = client.get("/bring/?dataset=iris").content.decode()
    assert "No model that this search finds can be scored on Iris." in page
    assert "No model here reads this kind of data." in client.get("/bring/iris/").content.decode()


def test_the_line_through_speeds_is_least_squares() -> None:
    """Seconds a row that are a power of the parameters come back exactly; the interval is t's with n − 2."""
    exact = Line.through([(size, 2e-9 * size**0.8) for size in (10**5, 10**6, 10**7, 10**8)])
    assert exact is not None
    value, low, high = exact.seconds_a_row(10**9)
    assert value == pytest.approx(2e-9 * 10**7.2)
    assert low == pytest.approx(high)
    draw = np.random.default_rng(0)
    inside, rounds = 0, 2000
    for _ in range(rounds):
        sizes = draw.integers(10**5, 10**8, 7)
        noise = np.exp(draw.normal(0, 0.5, 7))
        line = Line.through(zip(sizes.tolist(), (1e-9 * sizes * noise).tolist(), strict=True))
        assert line is not None
        size = int(draw.integers(10**5, 10**8))
        truth = 1e-9 * size * math.exp(draw.normal(0, 0.5))
        _, low, high = line.seconds_a_row(size)
        inside += low <= truth <= high
    assert inside / rounds == pytest.approx(0.8, abs=0.03)
    assert Line.through([(5, 1.0), (5, 2.0), (5, 1.5), (5, 1.0)]) is None
    assert Line.through([(5, 1.0), (6, 2.0)]) is None


def test_the_median_pass_tells_the_cost_and_the_fastest_the_time_a_row() -> None:
    def entry(dataset: str, seconds: float, copied: int = 0) -> StoredFeatures:
        return StoredFeatures(
            key=f"{dataset}{seconds}", rows=100, dimensions=8, tokens=0, size_bytes=1, created_at=0, used_at=0,
            provenance={
                "model": {"revision": "m"}, "dataset": {"revision": dataset}, "encoding_seconds": seconds,
                "copied_rows": copied,
            },
        )  # fmt: skip

    speeds = speeds_of([entry("a", 3.0), entry("b", 1.0), entry("a", 2.0), entry("c", 1e-6, 100)], {"m": 10})
    assert speeds.estimate("m", parameters=10, dataset="a", rows=50, is_stored=False).seconds == pytest.approx(1.25)
    elsewhere = speeds.estimate("m", parameters=10, dataset="z", rows=50, is_stored=False)
    assert (elsewhere.low, elsewhere.seconds, elsewhere.high) == pytest.approx((0.5, 1.0, 2.0))
    wide = speeds_of([entry("a", seconds) for seconds in (1.0, 10.0, 1.1)], {"m": 10})
    wide_one = wide.estimate("m", parameters=10, dataset="a", rows=100, is_stored=False)
    assert (wide_one.low, wide_one.seconds, wide_one.high) == pytest.approx((0.55, 1.1, 10.0)), "as wide as was seen"
    fastest = [speeds.pass_of("m", dataset=name) for name in ("a", "b", "z")]
    assert [one.seconds_a_row for one in fastest if one] == pytest.approx([0.02, 0.01, 0.01])
    assert speeds.estimate("m", parameters=10, dataset="z", rows=50, is_stored=True).seconds == 0
    assert speeds.estimate("x", parameters=10, dataset="a", rows=50, is_stored=False).basis == "unknown"


def test_the_top_takes_in_what_cannot_be_told_apart(hub: Any) -> None:
    found = standings_of(hub.dataset, by="knn", use="any", user=None)
    assert [row.place.model.slug for row in found.scored] == ["pixels", "copies", "noise"] or [
        row.place.model.slug for row in found.scored
    ] == ["copies", "pixels", "noise"]
    assert {row.place.model.slug for row in found.top(1)} == {"pixels", "copies"}
    assert len(found.top(3)) == 3
    assert found.top(0) == []
