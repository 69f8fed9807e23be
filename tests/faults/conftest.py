"""A data folder, services and a database of a fault test's own, so that nothing else notices what it kills."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from hubapp.execution.embedded import endpoints, ensure_running, runtime_dir
from tests.jobs.conftest import sample_kinds

__all__ = ["sample_kinds"]

# Seconds where a real installation has tens of them; the workers know the sample analyses.
QUICK = {
    "DJANGO_SETTINGS_MODULE": "tests.faults.settings",
    "HUBSCOPE_HEARTBEAT_SECONDS": "1",
    "HUBSCOPE_STALE_SECONDS": "3",
    "HUBSCOPE_TICK_SECONDS": "1",
    "HUBSCOPE_BACKOFF_SECONDS": "0",
    "HUBSCOPE_ATTEMPTS": "8",
    "HUBSCOPE_TIME_LIMIT_SECONDS": "120",
}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, django_db_blocker: Any, sample_kinds: None) -> Iterator[Path]:
    """A data folder with services and a database of its own, to which this process's connection leads meanwhile."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("HUBSCOPE_FSYNC", "1")  # what is committed has to survive a kill
    monkeypatch.setenv("CELERY_BROKER_URL", endpoints(folder).redis_url)
    lease = ensure_running(folder)
    before = dict(connection.settings_dict)
    connection.close()
    connection.settings_dict.update(endpoints(folder).database)
    with django_db_blocker.unblock():
        try:
            call_command("migrate", verbosity=0)
            yield folder
        finally:
            connection.close()
            connection.settings_dict.update(before)
            lease.stop()
            shutil.rmtree(runtime_dir(folder), ignore_errors=True)
