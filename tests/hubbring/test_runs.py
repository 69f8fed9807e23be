"""Runs from the page: one batch however often it is asked for, stopped by whom it belongs to, never said to be free."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from hubapp.catalog.models import Dataset
from hubapp.jobs.models import Job
from tests.hubbring.test_bring import choice, folders, iris, queue, run_all

__all__ = ["folders", "iris", "queue"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("queue", "folders")]


def batches() -> list[Job]:
    return list(Job.objects.filter(is_parent=True).order_by("created_at"))


def test_a_second_click_is_the_same_batch_and_another_choice_is_not(client: Client, iris: Dataset, bob: User) -> None:
    client.force_login(bob)
    both = {"dataset": "iris", "models": ["raw-a", "raw-b"]}
    for _ in range(3):
        assert client.post("/bring/run", both).status_code == 303
    assert len(batches()) == 1
    client.post("/bring/run", {"dataset": "iris", "models": ["raw-a"]})
    assert len(batches()) == 2, "one of the two models is another choice"
    run_all()
    client.post("/bring/run", both)
    assert len(batches()) == 3, "what has ended is asked for anew"
    assert batches()[-1].status == Job.Status.SUCCEEDED
    assert not batches()[-1].children.exists()


def test_a_batch_is_cancelled_by_whom_it_belongs_to(client: Client, iris: Dataset, alice: User, bob: User) -> None:
    client.force_login(bob)
    client.post("/bring/run", {"dataset": "iris", "models": ["raw-a", "raw-b"]})
    assert 'action="/bring/iris/cancel"' in client.get("/bring/iris/part").content.decode()
    client.force_login(alice)
    assert 'action="/bring/iris/cancel"' not in client.get("/bring/iris/part").content.decode()
    client.post("/bring/iris/cancel")
    assert batches()[0].status == Job.Status.RUNNING, "it is bob's"
    client.force_login(bob)
    answer = client.post("/bring/iris/cancel", {"use": "commercial"})
    assert (answer.status_code, answer["Location"]) == (303, "/bring/iris/?use=commercial")
    assert set(Job.objects.values_list("status", flat=True)) == {"cancelled"}
    part = client.get("/bring/iris/part").content.decode()
    assert "hx-trigger" not in part
    assert "failed:" not in part
    client.logout()
    assert client.post("/bring/iris/cancel").status_code == 302
    assert client.get("/bring/iris/cancel").status_code == 405


def test_features_of_an_older_version_are_no_reason_to_call_a_run_free(
    client: Client, iris: Dataset, bob: User
) -> None:
    client.force_login(bob)
    client.post("/bring/run", {"dataset": "iris", "models": ["raw-a"]})
    run_all()
    found = {one.model.slug: one for one in choice(iris).found}["raw-a"]
    assert (found.cost.basis, found.cost.seconds) == ("stored", 0)
    Job.objects.filter(kind="features").update(analysis_version="0")
    found = {one.model.slug: one for one in choice(iris).found}["raw-a"]
    assert found.cost.basis == "measured"
    assert found.cost.seconds
    assert found.cost.low < found.cost.seconds < found.cost.high


def test_the_part_asks_for_the_usual_order_until_another_is_chosen(client: Client, iris: Dataset, bob: User) -> None:
    client.force_login(bob)
    client.post("/bring/run", {"dataset": "iris", "models": ["raw-a", "raw-b"]})
    usual = client.get("/bring/iris/").content.decode()
    assert 'hx-get="/bring/iris/part?"' in usual
    chosen = client.get("/bring/iris/?by=knn&use=research").content.decode()
    assert 'hx-get="/bring/iris/part?by=knn&amp;use=research"' in chosen
    assert "No model has been scored on Iris yet." in client.get("/bring/iris/part").content.decode()
