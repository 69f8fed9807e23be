"""What a run costs, before it begins: against hand-made spans and rates, and against a run that was timed."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.http import QueryDict
from django.test import Client

from hubapp.bring.candidates import candidates_of
from hubapp.bring.measured import LONE_FACTOR, Rate, jobs_at_once, most_at_once
from hubapp.bring.running import metrics_for, metrics_offered
from hubapp.catalog.models import Dataset, Model, Revision, Source
from hubapp.results.models import Outcome
from tests.hubbring.test_bring import choice, folders, iris, queue, run_all
from workers.kit import METRICS

__all__ = ["folders", "iris", "queue"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("queue", "folders")]


def at(second: float) -> dt.datetime:
    return dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=second)


def test_jobs_at_once_by_hand_and_by_definition() -> None:
    assert most_at_once([]) == 1
    assert most_at_once([(at(0), at(1)), (at(1), at(2))]) == 1, "one ends as the other begins"
    assert most_at_once([(at(0), at(10)), (at(1), at(2)), (at(3), at(4)), (at(3), at(5))]) == 3
    draw = np.random.default_rng(0)
    begins = draw.integers(0, 50, 40)
    spans = [(int(one), int(one + length)) for one, length in zip(begins, draw.integers(1, 20, 40), strict=True)]
    definition = max(sum(begin <= moment < end for begin, end in spans) for moment in range(80))
    assert most_at_once([(at(begin), at(end)) for begin, end in spans]) == definition


def test_rates_of_scoring() -> None:
    assert Rate.of([]) is None
    assert Rate.of([(0.0, 10), (1.0, 0)]) is None
    alone = Rate.of([(2.0, 100)])
    assert alone is not None
    assert (alone.middle, alone.high / alone.middle, alone.middle / alone.low) == (0.02, LONE_FACTOR, LONE_FACTOR)
    found = Rate.of([(1.0, 100), (6.0, 100), (2.0, 100)])
    assert found == Rate(middle=0.02, low=0.01, high=0.06, count=3)


def test_a_measured_run_tells_the_next_one(client: Client, iris: Dataset, bob: User) -> None:
    """One model was run: of the same model on the same rows the estimate is what was measured."""
    before = choice(iris).total
    assert (before.scoring, before.memory, before.at_once, before.unknown) == (None, None, 1, 3)
    client.force_login(bob)
    client.post("/bring/run", {"dataset": "iris", "models": ["raw-a"]})
    run_all()
    scored = Outcome.objects.get(kind="transferability")
    passed = Outcome.objects.get(kind="features")
    Outcome.objects.filter(pk=scored.pk).update(provenance={**scored.provenance, "wall_seconds": 6.0})
    found = choice(iris)
    assert found.open_count == 2
    # Two models are left, each of 150 rows × 4 columns, as the one that was timed.
    assert found.total.scoring == pytest.approx((12.0, 6.0, 24.0))
    assert found.total.scoring_runs == 1
    assert found.total.whole[0] == pytest.approx(12.0 + found.total.seconds)
    assert found.total.memory == pytest.approx(passed.provenance["peak_memory_bytes"], abs=100)
    page = client.get("/bring/?dataset=iris").content.decode()
    assert "by 1 run with these metrics here" in page
    assert jobs_at_once() == 1
    # Other metrics were never timed.
    other = candidates_of(iris, query=QueryDict(""), metrics=["sfda"], user=None)
    assert other.total.scoring is None
    assert "were not timed here yet" in client.get("/bring/?dataset=iris&metrics=sfda").content.decode()


def test_metrics_are_chosen_and_checked(client: Client, iris: Dataset, bob: User) -> None:
    client.force_login(bob)
    usual = metrics_for(iris, bob)
    assert {"h_score", "nce", "logme"} <= set(usual), "what the shipped evidence can blend"
    page = client.get("/bring/?dataset=iris&metrics=knn&metrics=sve").content.decode()
    assert page.count('type="hidden" name="metrics"') == 2, "the form that runs takes the choice along"
    wrong = client.get("/bring/?dataset=iris&metrics=luck")
    assert wrong.status_code == 400
    assert "There is no metric &#x27;luck&#x27;" in wrong.content.decode()
    assert client.post("/bring/run", {"dataset": "iris", "models": ["raw-a"], "metrics": ["luck"]}).status_code == 400
    client.post("/bring/run", {"dataset": "iris", "models": ["raw-a"], "metrics": ["knn", "sve"]})
    run_all()
    assert Outcome.objects.get(kind="transferability").params["metrics"] == ["knn", "sve"]


@pytest.mark.parametrize("task", ["regression", "multi-label"])
def test_metrics_without_a_meaning_for_the_labels_are_not_offered(iris: Dataset, task: str) -> None:
    iris.task = task
    names = metrics_for(iris, None)
    assert "logme" in names
    assert all(task in METRICS.get(name).tasks for name in names)
    assert all(task in entry.tasks for entry in metrics_offered(iris))
    assert ("knn_numbers" in names) == (task == "regression")


def test_models_that_are_not_here_are_counted(client: Client, iris: Dataset) -> None:
    hub = Source.objects.create(kind="hub", location="https://hub.example", title="A hub")
    for number in range(3):
        model = Model.objects.create(slug=f"far/m{number}", title=f"M{number}", modality="table", source=hub)
        if number:
            model.current_revision = Revision.objects.create(model=model, digest=f"d{number}")
            Revision.objects.filter(pk=model.current_revision.pk).update(is_local=False)
            model.save(update_fields=["current_revision"])
    assert choice(iris).elsewhere == 3
    assert choice(iris, "q=m1").elsewhere == 1
    assert "3 of this search cannot be run here" in client.get("/bring/?dataset=iris").content.decode()
