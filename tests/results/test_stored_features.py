"""The page of the feature store, and what goes when it is above its budget."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.test import Client
from django.utils import timezone

from hubapp.catalog.models import Model
from hubapp.jobs.models import Job
from hubapp.results import retention
from hubapp.results.entries import RetentionSpec
from hubapp.results.stored_features import features_shrink
from tests.results.conftest import Hub
from workers.kit import LocalContext
from workers.sources.store import FeatureStore, RowFacts, feature_key

DAY = 86_400


def put(store: FeatureStore, model: Model, dataset: Any, *, rows: int, days: float, gone: bool = False) -> str:
    """Features of a model of the hub, last used so many days ago."""
    key = feature_key(model.slug, dataset.slug, {"gone": gone}, "1")
    facts = RowFacts(labels=np.zeros(rows, dtype=np.int64), row_ids=np.arange(rows), classes=("0",))
    revision = model.current_revision
    assert revision is not None
    with store.writer(key, shape=(64,), rows=facts) as writer:
        writer.append(np.ones((rows, 64), dtype=np.float32))
        writer.commit(
            {
                "model": {"name": model.slug, "revision": "0" * 64 if gone else revision.digest},
                "dataset": {"name": dataset.slug, "revision": dataset.current_revision.digest},
                "reading": {"layer": "features.6", "pooling": "mean", "precision": "auto"},
                "encoding_seconds": 2.0,
                "copied_rows": 100,
            }
        )
    os.utime(store.root / "done" / key[:2] / key / "manifest.json", (time.time() - days * DAY,) * 2)
    return key


@pytest.fixture
def kept(hub: Hub, settings: Any, tmp_path: Path) -> dict[str, str]:
    settings.FEATURES_DIR = tmp_path / "features"
    store = FeatureStore(settings.FEATURES_DIR)
    days = {"pixels": 5.0, "copies": 3.0, "noise": 1.0}
    return {name: put(store, hub.models[name], hub.dataset, rows=500, days=age) for name, age in days.items()}


def test_the_page_says_what_is_stored(client: Client, kept: dict[str, str]) -> None:
    text = client.get("/features/").content.decode()
    assert "3 sets of features of 3 models on 1 data set take" in text
    assert "of the budget of 20.0\u00a0GB" in text
    assert "500 × 64" in text
    assert "features.6, mean, auto" in text
    assert 'href="/models/pixels/"' in text
    assert "/delete/" not in text, "nobody but staff may delete"
    found = client.get("/features.json").json()
    assert [row["model"] for row in found["features"]] == ["noise", "copies", "pixels"]
    assert found["features"][0]["rows_a_second"] == 200
    assert found["size_bytes"] == sum(row["size_bytes"] for row in found["features"])
    by_name = client.get("/features.json?sort=model").json()["features"]
    assert [row["model"] for row in by_name] == ["copies", "noise", "pixels"]
    assert client.get("/features/?sort=colour").status_code == 400


@pytest.mark.django_db
def test_an_empty_store_says_so(client: Client, settings: Any, tmp_path: Path) -> None:
    settings.FEATURES_DIR = tmp_path
    assert "No features are stored yet" in client.get("/features/").content.decode()
    assert client.get("/features.json").json()["features"] == []


def test_outsiders_learn_of_no_restricted_model_and_of_none_that_is_gone(
    client: Client, kept: dict[str, str], hub: Hub, settings: Any, bob: Any
) -> None:
    put(FeatureStore(settings.FEATURES_DIR), hub.models["copies"], hub.dataset, rows=7, days=2, gone=True)
    Model.objects.filter(slug="noise").update(is_restricted=True)
    found = client.get("/features.json").json()
    assert {row["model"] for row in found["features"]} == {"pixels", "copies"}
    assert found["count"] == 2
    assert found["size_bytes"] == sum(row["size_bytes"] for row in found["features"])
    client.force_login(bob)
    assert client.get("/features.json").json()["count"] == 4
    assert "no longer in the catalogue" in client.get("/features/").content.decode()


def test_staff_may_delete_what_no_job_needs(
    client: Client, kept: dict[str, str], hub: Hub, settings: Any, bob: Any, admin_user: Any
) -> None:
    address = f"/features/{kept['pixels']}/delete/"
    assert client.post(address).status_code == 302
    client.force_login(bob)
    assert client.post(address).status_code == 403
    client.force_login(admin_user)
    job = Job.objects.create(kind="features", digest="1", dataset_revision=hub.dataset.current_revision)
    assert "a job may read it" in client.get("/features/").content.decode()
    refused = client.post(address)
    assert refused.status_code == 400
    assert "delete them when it has ended" in refused.content.decode()
    job.delete()
    assert len(list(FeatureStore(settings.FEATURES_DIR))) == 3
    done = client.post(address, follow=True)
    assert "The features were deleted." in done.content.decode()
    assert {entry.key for entry in FeatureStore(settings.FEATURES_DIR)} == {kept["copies"], kept["noise"]}
    assert client.post(address).status_code == 404
    assert client.post("/features/nothing/delete/").status_code == 404


def test_retention_keeps_to_the_budget(kept: dict[str, str], settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR, settings.FEATURES_BUDGET_GB = tmp_path, 1
    store = FeatureStore(settings.FEATURES_DIR)
    assert retention.run(RetentionSpec(), LocalContext()).summary["features"] == 0
    settings.FEATURES_BUDGET_GB = (store.size_bytes() - 1) / 10**9
    summary = retention.run(RetentionSpec(), LocalContext()).summary
    assert summary["features"] == 1
    assert summary["sentence"].endswith("Above the budget, 1 of the stored features went: 0.0 GB.")
    assert {entry.key for entry in store} == {kept["copies"], kept["noise"]}, "the longest unused went"


def test_what_jobs_may_read_stays(kept: dict[str, str], hub: Hub, settings: Any) -> None:
    settings.FEATURES_BUDGET_GB = 0
    store = FeatureStore(settings.FEATURES_DIR)
    data = hub.dataset.current_revision
    waiting = Job.objects.create(kind="transferability", digest="1", dataset_revision=data)
    assert features_shrink() == [], "a waiting job will read its data set's features"
    waiting.delete()
    assert data is not None
    other = hub.dataset.revisions.create(digest="1" * 64, source="digits", rows=1, classes=["0"])
    Job.objects.create(
        kind="pairs",
        digest="2",
        dataset_revision=other,
        status="running",
        started_at=timezone.now() - timedelta(days=2),
    )
    assert {entry.key for entry in features_shrink()} == {kept["pixels"], kept["copies"]}
    assert [entry.key for entry in store] == [kept["noise"]], "opened since that job began"
