"""Fetching and removing weights by people: who may, what they see, and that a worker brings what a job then runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from safetensors.numpy import save
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

from hubapp.catalog.models import Model, Revision, WeightsCopy
from hubapp.catalog.refreshing import source_refresh
from hubapp.catalog.sources import hub_add
from hubapp.catalog.sync import source_sync
from hubapp.execution.runner import run
from hubapp.jobs.models import Job
from hubapp.jobs.services import job_submit
from tests.catalog.refresh_files import tensors
from tests.hub_server import TOKEN, HubServer
from tests.jobs.conftest import folders, queue
from tests.jobs.rows import make_dataset
from tests.sources.tiny_models import SMALL, saved

__all__ = ["folders", "queue"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("queue", "folders")]
FETCH, REMOVE, PAGE = "/api/weights/fetch/ada/leaf", "/api/weights/remove/ada/leaf", "/models/ada/leaf/"
FILES = {"model.safetensors": save(tensors()), "config.json": b'{"architectures": ["LeafNet"]}'}


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A hub without models that knows a token."""
    with HubServer(token=TOKEN) as made:
        yield made


def brought(hub: HubServer, files: dict[str, bytes], **options: Any) -> Model:
    """The model ada/leaf of the hub after a sync."""
    hub.add("ada/leaf", files, **options)
    source_sync(hub_add(hub.url, title="Here", token=TOKEN, allows_private=True))
    return Model.objects.get(slug="ada/leaf")


def revision() -> Revision:
    found = Model.objects.select_related("current_revision").get(slug="ada/leaf").current_revision
    assert found is not None
    return found


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def panel(client: Client) -> str:
    """The words of the panel, blanks made one."""
    answer = client.get(PAGE)
    assert answer.status_code == 200
    (found,) = re.findall(r'<section[^>]*id="weights".*?</section>', answer.content.decode(), flags=re.DOTALL)
    return " ".join(found.split())


def test_a_worker_fetches_and_the_model_is_ranked_like_any_other(hub: HubServer, bob: User, tmp_path: Path) -> None:
    model = ViTForImageClassification(ViTConfig(**SMALL, image_size=32, patch_size=8, num_labels=3))
    processor = ViTImageProcessor(size={"height": 32, "width": 32}, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    folder = saved(tmp_path / "vit", model, processor=processor)
    brought(hub, {path.name: path.read_bytes() for path in folder.iterdir()})
    client = signed_in(bob)
    assert "Its files are not known yet" in panel(client)
    assert FETCH in client.get(PAGE).content.decode()
    answer = client.post(FETCH)
    job = Job.objects.get()
    assert (answer.status_code, answer.headers["Location"]) == (303, job.get_absolute_url())
    assert (job.kind, job.queue, job.requested_by) == ("weights_fetch", "housekeeping", bob)
    assert client.post(FETCH).headers["Location"] == job.get_absolute_url()
    assert run(str(job.pk)) == "succeeded"
    words = panel(client)
    assert "The weights are here:" in words
    assert "in 3 files" in words
    assert "every 3s" not in words
    assert FETCH not in words
    job.refresh_from_db()
    assert job.progress_done == job.progress_total > 0
    twin = client.get("/models/ada/leaf.json").json()
    assert (twin["weights"]["state"], twin["revision"]["loader"]) == ("here", "transformers")

    found = revision()
    digits = make_dataset("digits")
    digits.source, digits.config = "digits", {"image_size": 0, "seed": 0, "sample": 40}
    digits.save()
    features = job_submit(kind="features", revision=found, dataset_revision=digits).job
    refused = client.post(REMOVE, {"revision": found.digest})
    assert (refused.status_code, "Jobs on ada/leaf are queued or running" in refused.content.decode()) == (400, True)
    assert run(str(features.pk)) == "succeeded"
    removed = client.post(REMOVE, {"revision": found.digest})
    assert (removed.status_code, removed.headers["Location"]) == (303, PAGE)
    assert "The weights lie at the hub only" in panel(client)
    assert client.post(REMOVE, {"revision": found.digest}).status_code == 400
    assert client.post(REMOVE, {"revision": "nothing"}).status_code == 404


def test_private_models_stay_out_of_sight(hub: HubServer, bob: User, charlie: User) -> None:
    model = brought(hub, FILES, is_private=True)
    assert model.is_restricted
    for client in (Client(), signed_in(charlie)):
        assert client.get(PAGE).status_code == 404
        assert client.post(FETCH).headers["Location"].startswith("/accounts/login/")
    client = signed_in(bob)
    job = Job.objects.get(pk=client.post(FETCH).headers["Location"].strip("/").split("/")[-1])
    assert run(str(job.pk)) == "succeeded"
    assert Client().get(job.get_absolute_url()).status_code == 404
    assert Client().get(PAGE).status_code == 404
    assert "The weights are here" in panel(client)


def test_outsiders_read_but_do_not_fetch(hub: HubServer, bob: User) -> None:
    model = brought(hub, FILES)
    source_refresh(model.source, model_name=model.slug)
    words = panel(Client())
    assert "To fetch: <code>model.safetensors</code> with 1 small file that running it takes, 2.36" in words
    assert "Whoever is signed in can fetch them." in words
    assert "<form" not in words
    assert Client().post(FETCH).headers["Location"].startswith("/accounts/login/")
    assert Client().post(REMOVE).headers["Location"].startswith("/accounts/login/")
    assert signed_in(bob).get(FETCH).status_code == 405
    assert not Job.objects.exists()


def test_a_job_that_failed_says_why_and_goes_on(hub: HubServer, bob: User) -> None:
    model = brought(hub, FILES)
    source_refresh(model.source, model_name=model.slug)
    hub.fault("status", path="resolve.*safetensors", status=403, headers={"X-Error-Code": "GatedRepo"})
    client = signed_in(bob)
    client.post(FETCH)
    job = Job.objects.get()
    assert run(str(job.pk)) == "failed"
    job.refresh_from_db()
    assert job.error_kind == "user"
    assert "is gated" in job.error_message
    words = panel(client)
    assert "is gated. Ask its owner for access" in words
    assert ">Go on</button>" in words
    assert ">Discard what came</button>" in words
    client.post(FETCH)
    assert run(str(Job.objects.exclude(pk=job.pk).get().pk)) == "succeeded"
    assert "2.36" in panel(client)


def test_progress_is_shown_while_files_come(hub: HubServer, bob: User, settings: Any) -> None:
    model = brought(hub, FILES)
    source_refresh(model.source, model_name=model.slug)
    copy = WeightsCopy.objects.create(revision=revision(), files=2, size_bytes=2_360_000, done_bytes=1_000_000)
    words = panel(signed_in(bob))
    assert 'hx-trigger="every 3s"' in words
    assert 'max="2360000" value="1000000"' in words
    assert "<button" not in words
    assert signed_in(bob).post(REMOVE, {"revision": revision().digest}).status_code == 400  # it is at work
    WeightsCopy.objects.update(touched_at=timezone.now() - timezone.timedelta(minutes=5))
    words = panel(signed_in(bob))
    assert "came before the fetch stopped. Its process ended. What came is kept" in words
    copy.delete()
    settings.WEIGHTS_BYTES = 1000
    assert "more than the 1.00 kB of one model that are fetched here" in panel(signed_in(bob))
    assert FETCH not in panel(signed_in(bob))
