"""The pages and their twins: what they show, who may change what, and how many queries they cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from hubapp.catalog.models import Dataset, Model
from hubapp.catalog.services import dataset_profile_store, model_archive
from hubapp.catalog.sources import folder_add
from tests.catalog.conftest import DatasetMaker, ModelMaker, write_checkpoint
from tests.catalog.scans import scan

pytestmark = pytest.mark.django_db


def text(client: Client, path: str, *, status: int = 200) -> str:
    response = client.get(path)
    assert response.status_code == status, path
    return " ".join(response.content.decode().split())


def queries(client: Client, path: str) -> int:
    client.get(path)  # the first request fills caches
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path).status_code == 200
    return len(captured)


def test_pages_of_an_empty_catalogue_say_what_to_do(client: Client) -> None:
    assert "The catalogue is empty" in text(client, "/models/")
    assert "No data set yet" in text(client, "/datasets/")
    assert "No source yet" in text(client, "/sources/")
    assert "Nothing matches" in text(client, "/models/?q=x")
    assert client.get("/models.json").json()["models"] == []
    assert client.get("/datasets.json").json() == {"sentence": "0 data sets, by title.", "datasets": []}
    assert client.get("/sources.json").json() == {"sources": []}


def test_model_list_page_and_twin(client: Client, make_model: ModelMaker) -> None:
    make_model("alpha-net", meaning="Sees <b>cats</b>.", is_control=True)
    make_model("beta-net", modality="text", licence="")
    page = text(client, "/models/?q=net&modality=image&sort=-parameters")
    assert "1 model with “net” in the text, modality image, by parameters, descending." in page
    assert "Sees &lt;b&gt;cats&lt;/b&gt;." in page
    assert 'data-compare-slug="alpha-net"' in page
    assert "beta-net" not in page
    twin = client.get("/models.json?q=net").json()
    assert twin["count"] == 2
    assert [model["slug"] for model in twin["models"]] == ["alpha-net", "beta-net"]
    assert twin["facets"][0] == {
        "name": "modality",
        "is_exact": True,
        "values": [
            {"value": "image", "count": 1, "is_chosen": False},
            {"value": "text", "count": 1, "is_chosen": False},
        ],
    }


def test_model_list_has_pages_of_fifty(client: Client, make_model: ModelMaker) -> None:
    for number in range(55):
        make_model(f"net-{number:02d}", tensors=0)
    assert "Page 1 of 2" in text(client, "/models/")
    second = client.get("/models.json?page=2").json()
    assert (second["page"], second["pages"], len(second["models"])) == (2, 2, 5)
    assert client.get("/models.json?page=9").json()["page"] == 2
    assert 'href="?sort=size&amp;page=2"' in text(client, "/models/?sort=size")


@pytest.mark.parametrize("path", ["/models/", "/models.json", "/datasets/", "/sources/", "/sources.json"])
def test_queries_do_not_grow_with_the_catalogue(
    client: Client, make_model: ModelMaker, make_dataset: DatasetMaker, path: str
) -> None:
    for number in range(10):
        make_model(f"a-{number}", tensors=1)
        make_dataset(f"a-{number}")
    few = queries(client, path)
    for number in range(50):
        make_model(f"b-{number}", tensors=1)
        make_dataset(f"b-{number}")
    assert queries(client, path) == few
    assert few <= 8


def test_corrupt_model_says_why_and_offers_nothing(client: Client, folder: Path) -> None:
    path = write_checkpoint(folder / "bad.safetensors")
    path.write_bytes(path.read_bytes()[:60])
    scan(folder_add(str(folder)))
    page = text(client, "/models/bad/")
    assert "Its weights cannot be read. bad.safetensors" in page
    assert "Run an analysis" not in page
    assert "unreadable" in text(client, "/models/")
    assert client.get("/models/bad.json").json()["error"]


def test_unknown_model_and_dataset(client: Client, make_model: ModelMaker, make_dataset: DatasetMaker) -> None:
    make_model("squeezenet-1-1")
    make_dataset("digits")
    page = text(client, "/models/squeezenet/", status=404)
    assert "There is no model named “squeezenet”" in page
    assert 'href="/models/squeezenet-1-1/"' in page
    twin = client.get("/models/squeezenet.json")
    assert twin.status_code == 404
    assert twin.json()["near"] == ["squeezenet-1-1"]
    assert 'href="/datasets/digits/"' in text(client, "/datasets/digit/", status=404)


def test_dataset_page_without_a_revision(client: Client) -> None:
    Dataset.objects.create(slug="bare", title="Bare")
    assert "Bare" in text(client, "/datasets/bare/")
    assert "Bare" in text(client, "/datasets/")
    assert client.get("/datasets/bare.json").json()["revision"] is None


def test_dataset_page_and_twin(client: Client, make_dataset: DatasetMaker) -> None:
    dataset = make_dataset("digits", licence="BSD-3-Clause")
    page = text(client, "/datasets/digits/")
    assert "All 1,797 rows, images scaled to 112 × 112 pixels." in page
    assert "Rows per class are known once the data set is profiled." in page
    revision = dataset.current_revision
    assert revision is not None
    revision.config = {"sample": 1000, "seed": 7, "image_size": 112}
    revision.rows = 1000
    revision.save()
    profile = {
        "counts": [100] * 9 + [50],
        "source_rows": 1797,
        "warnings": ["Class 9 is small."],
        "sentence": "1,000 of 1,797 rows.",
    }
    dataset_profile_store(revision, profile)
    page = text(client, "/datasets/digits/")
    assert "A fixed stratified sample of 1,000 of 1,797 rows, seed 7, images scaled to 112 × 112 pixels." in page
    assert "Class 9 is small." in page
    assert 'value="0.500"' in page
    twin = client.get("/datasets/digits.json").json()
    assert twin["revision"]["config"]["seed"] == 7
    assert {"analysis": "dataset_profile", "model": None, "dataset": "digits", "fits": True, "reason": None} in twin[
        "analyses"
    ]


CHANGES = ("archive", "restore", "delete")


@pytest.mark.parametrize("action", CHANGES)
@pytest.mark.parametrize("room", ["models", "datasets"])
def test_strangers_change_nothing(
    client: Client, charlie: User, make_model: ModelMaker, make_dataset: DatasetMaker, room: str, action: str
) -> None:
    make_model("one")
    make_dataset("one")
    path = f"/change/{room}/{action}/one/"
    for login in (False, True):
        if login:
            client.force_login(charlie)
        response = client.post(path)
        assert response.status_code == 302
        assert response["Location"].startswith("/accounts/login/")
    assert client.get(path).status_code == 405
    assert Model.objects.get().archived_at is None
    assert Dataset.objects.get().archived_at is None


@pytest.mark.parametrize(("room", "kind"), [("models", Model), ("datasets", Dataset)])
def test_member_archives_and_restores_and_only_staff_deletes(
    client: Client, bob: User, staff: User, make_model: ModelMaker, make_dataset: DatasetMaker, room: str, kind: Any
) -> None:
    make_model("one")
    make_dataset("one")
    client.force_login(bob)
    response = client.post(f"/change/{room}/archive/one/", follow=True)
    assert "was archived" in response.content.decode()
    assert kind.objects.get().archived_at is not None
    client.post(f"/change/{room}/restore/one/")
    assert kind.objects.get().archived_at is None
    assert client.post(f"/change/{room}/delete/one/").status_code == 403
    assert kind.objects.count() == 1
    client.force_login(staff)
    response = client.post(f"/change/{room}/delete/one/", follow=True)
    assert "was deleted" in response.content.decode()
    assert kind.objects.count() == 0


def test_a_post_needs_a_csrf_token(bob: User, make_model: ModelMaker) -> None:
    make_model("one")
    client = Client(enforce_csrf_checks=True)
    client.force_login(bob)
    assert client.post("/change/models/archive/one/").status_code == 403
    assert Model.objects.get().archived_at is None


def test_restoring_what_has_gone_is_a_sentence(client: Client, bob: User, make_model: ModelMaker) -> None:
    model_archive(make_model("one", is_missing=True))
    client.force_login(bob)
    response = client.post("/change/models/restore/one/")
    assert response.status_code == 400
    assert "Put them back, then scan the folder." in response.content.decode()
