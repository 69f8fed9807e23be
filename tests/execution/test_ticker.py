"""The ticker: what it does in a round, and that an outage or a second ticker does no harm."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as site
from django.core.management import call_command
from django.db import OperationalError, connection
from django.utils import timezone

from hubapp.catalog.models import DatasetRevision, Revision
from hubapp.execution import ticker as module
from hubapp.execution.checks import check_jobs
from hubapp.execution.ticker import Ticker
from hubapp.jobs.models import Job
from hubapp.jobs.services import job_claim, job_submit, schedule_save
from tests.jobs.conftest import dataset_revision, no_broker, queue, revision, sample_kinds

__all__ = ["dataset_revision", "no_broker", "queue", "revision", "sample_kinds"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("sample_kinds")]


@pytest.fixture
def stale_job(queue: Any, revision: Revision, dataset_revision: DatasetRevision) -> Job:
    job = job_submit(kind="sample", revision=revision, dataset_revision=dataset_revision).job
    queue.delete("cpu")
    assert job_claim(job.pk, worker="a worker that died")
    Job.objects.update(heartbeat_at=timezone.now() - timedelta(seconds=1000))
    return job


def test_a_round_requeues_and_publishes(stale_job: Job, queue: Any, settings: Any) -> None:
    settings.JOB_BACKOFF_SECONDS = 0
    done = Ticker().round()
    assert (done["requeued"], done["published"]) == (1, 1)
    assert queue.llen("cpu") == 1
    assert not any(Ticker().round().values())


def test_a_redis_outage_stops_only_the_publishing(stale_job: Job, no_broker: None) -> None:
    done = Ticker().round()
    assert (done["requeued"], done["published"]) == (1, 0)
    stale_job.refresh_from_db()
    assert stale_job.status == "queued"


def test_after_a_database_outage_no_job_is_called_stale_at_once(
    stale_job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> int:
        raise OperationalError("the server closed the connection")

    ticker = Ticker()
    with monkeypatch.context() as patch:
        patch.setattr(module, "jobs_fail_overdue", away)
        assert "requeued" in ticker.round()
    assert "requeued" not in ticker.round()
    ticker._calm_until = 0.0
    assert "requeued" in ticker.round()


def test_a_machine_that_slept_calls_no_job_stale_at_once(stale_job: Job) -> None:
    ticker = Ticker()
    ticker._round_at = timezone.now().timestamp() - 3600
    assert "requeued" not in ticker.round()


def test_two_tickers_run_a_due_schedule_once(queue: Any, revision: Revision, dataset_revision: DatasetRevision) -> None:
    schedule = schedule_save(
        title="Each minute",
        cron="* * * * *",
        timezone="UTC",
        kind="sample",
        datasets=[dataset_revision.dataset],
    )
    submitted = 0
    for minutes in (3, 2, 1):
        type(schedule).objects.update(last_due_at=timezone.now() - timedelta(minutes=minutes))
        barrier = threading.Barrier(3)
        counts: list[int] = []

        def tick(barrier: threading.Barrier = barrier, counts: list[int] = counts) -> None:
            try:
                barrier.wait()
                counts.append(Ticker().round()["scheduled"])
            finally:
                connection.close()

        threads = [threading.Thread(target=tick) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        submitted += sum(counts)
    runs = schedule.runs.filter(is_parent=True)
    # One run for each minute that came due meanwhile: one, or two where the clock's minute changed.
    assert 1 <= submitted <= 2
    assert runs.count() == submitted == runs.values("due_at").distinct().count()
    assert Job.objects.filter(kind="sample", is_parent=False).count() == 1


def test_the_command_does_one_round(stale_job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("tick", "--once")
    assert "requeued 1" in capsys.readouterr().out


def test_intervals_that_contradict_are_refused_at_start(settings: Any) -> None:
    assert check_jobs(None) == []
    settings.JOB_VISIBILITY_TIMEOUT_SECONDS = settings.JOB_TIME_LIMIT_SECONDS
    assert [message.id for message in check_jobs(None)] == ["hubscope.E001"]
    settings.JOB_FAULT_TEST = True
    assert check_jobs(None) == []
    settings.JOB_STALE_SECONDS = settings.JOB_HEARTBEAT_SECONDS
    assert [message.id for message in check_jobs(None)] == ["hubscope.E002"]
    settings.JOB_STALE_SECONDS = 2 * settings.JOB_HEARTBEAT_SECONDS
    assert [message.id for message in check_jobs(None)] == ["hubscope.W001"]


@pytest.mark.parametrize("module_name", ["hubapp.wsgi", "hubapp.execution.tasks", "hubapp.execution.ticker"])
def test_neither_the_site_nor_the_celery_parent_nor_the_ticker_imports_torch(module_name: str) -> None:
    code = (
        "import sys, django; django.setup(); import importlib; "
        f"importlib.import_module({module_name!r}); "
        "from hubapp.jobs.kinds import kind_list; list(kind_list()); "
        "print(sorted({'torch', 'sklearn', 'torchvision'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(site.BASE_DIR), capture_output=True, text=True, check=True,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "hubapp.settings"},
    )  # fmt: skip
    assert answer.stdout.strip() == "[]"
