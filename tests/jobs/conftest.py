"""The sample analyses as kinds of jobs, one model, one data set, and a broker of the test's own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubapp.catalog.models import DatasetRevision, Revision
from hubapp.execution.embedded import servers_of
from hubapp.jobs.services.queue import broker_connection
from tests.execution.sample_analyses import ENTRIES
from tests.jobs.rows import make_dataset, make_revision
from workers.kit import ANALYSES

QUEUES = ("cpu", "gpu", "housekeeping")


@pytest.fixture(autouse=True)
def sample_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(ANALYSES)  # loaded, so that the samples come on top
    for entry in ENTRIES:
        monkeypatch.setitem(ANALYSES._entries, entry.name, entry)


@pytest.fixture
def folders(tmp_path: Path, settings: Any) -> Path:
    settings.DATA_DIR = tmp_path
    settings.FILES_DIR = tmp_path / "files"
    settings.FEATURES_DIR = tmp_path / "features"
    return tmp_path


@pytest.fixture
def queue(services: Path) -> Iterator[Any]:
    """Redis with empty queues; the value is its client."""
    with broker_connection() as connection:
        client = connection.default_channel.client
        client.delete(*QUEUES)
        yield client
        client.delete(*QUEUES)


@pytest.fixture
def no_broker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A Redis that is not there."""
    monkeypatch.setenv("CELERY_BROKER_URL", f"redis+socket://{tmp_path}/none.sock")


@pytest.fixture
def hung_broker(services: Path) -> Iterator[None]:
    """A Redis that takes connections and never answers."""
    pid = next(server.pid() for server in servers_of(services) if server.name == "redis")
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    yield
    os.kill(pid, signal.SIGCONT)


@pytest.fixture
def revision(db: None) -> Revision:
    return make_revision()


@pytest.fixture
def dataset_revision(db: None) -> DatasetRevision:
    return make_dataset()
