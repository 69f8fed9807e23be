"""Asking for a model to be read again."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from hubapp.catalog.models import Model, Source
from hubapp.catalog.sources import hub_add
from hubapp.jobs.models import Job
from tests.jobs.conftest import folders, queue

__all__ = ["folders", "queue"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("queue", "folders")]
ADDRESS = "/api/refresh/ada/leaf"


@pytest.fixture
def model() -> Model:
    source = hub_add("https://hub.example", title="Here")
    return Model.objects.create(slug="ada/leaf", title="ada/leaf", source=source)


def test_signed_in_people_get_a_job(model: Model, bob: User) -> None:
    client = Client()
    assert client.post(ADDRESS).headers["Location"].startswith("/accounts/login/")
    client.force_login(bob)
    assert client.get(ADDRESS).status_code == 405
    answer = client.post(ADDRESS)
    job = Job.objects.get()
    assert (answer.status_code, answer.headers["Location"]) == (303, job.get_absolute_url())
    assert (job.kind, job.params["model"], job.requested_by) == ("source_refresh", "ada/leaf", bob)
    model.refresh_from_db()
    assert model.refresh_requested_at is not None
    assert client.post(ADDRESS).status_code == 303
    assert Job.objects.count() == 1
    assert ADDRESS in client.get("/models/ada/leaf/").content.decode()


def test_a_model_of_no_hub_is_refused_in_a_sentence(model: Model, bob: User) -> None:
    demo = Source.objects.create(kind=Source.Kind.DEMO, title="Demo")
    Model.objects.filter(pk=model.pk).update(source=demo)
    client = Client()
    client.force_login(bob)
    answer = client.post(ADDRESS)
    assert "ada/leaf comes from no hub" in answer.content.decode()
    assert client.post("/api/refresh/ada/unknown").status_code == 404
    assert not Job.objects.exists()
