"""The kill test: workers, Redis and PostgreSQL are killed while jobs run, and every job ends once."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connection

from hubapp.execution.processes import cpu_worker, ticker
from hubapp.execution.supervisor import Supervisor
from hubapp.jobs.models import Job
from hubapp.jobs.services import job_submit
from hubapp.results.models import Outcome
from tests.faults.conftest import QUICK
from tests.jobs.rows import make_dataset, make_revision

JOBS = 16
TASK_SECONDS = 6.0
VISIBILITY_SECONDS = 4  # below the task's length on purpose: each message comes a second time
WORKER_KILLS = 5
LIMIT_SECONDS = 240
ENVIRONMENT = {**QUICK, "HUBSCOPE_VISIBILITY_TIMEOUT_SECONDS": str(VISIBILITY_SECONDS), "HUBSCOPE_FAULT_TEST": "1"}


def answer(query: Callable[[], Any]) -> Any:
    """What the database answers; None while it is away."""
    try:
        return query()
    except (OperationalError, InterfaceError):
        connection.close()
        return None


def states() -> Counter[str]:
    return Counter(answer(lambda: list(Job.objects.values_list("status", flat=True))) or [])


@pytest.mark.faults
@pytest.mark.timeout(LIMIT_SECONDS + 60)
def test_every_job_ends_once_whatever_is_killed(data: Path) -> None:
    dice = random.Random(20260823)
    said: list[str] = []
    workers = [cpu_worker(number=number, concurrency=1, queues="cpu,gpu") for number in range(2)]
    supervisor = Supervisor(
        data=data, processes=[*workers, ticker()], prepare=False, environment=ENVIRONMENT, report=said.append
    )
    revision, dataset_revision = make_revision(), make_dataset()
    supervisor.start()
    try:
        for tag in range(JOBS):
            job_submit(
                kind="sample",
                revision=revision,
                dataset_revision=dataset_revision,
                params={"tag": tag, "seconds": TASK_SECONDS},
            )
        victims = [dice.choice(workers).name for _ in range(WORKER_KILLS)]
        victims.insert(2, "redis")
        victims.insert(5, "postgresql")
        started = time.monotonic()
        kill_at = started + 8
        while time.monotonic() - started < LIMIT_SECONDS:
            if victims and time.monotonic() >= kill_at:
                supervisor.kill(victims.pop(0))
                kill_at = time.monotonic() + dice.uniform(6, 10)
            if not victims and states()["succeeded"] + states()["failed"] == JOBS:
                break
            time.sleep(0.25)
        seconds = time.monotonic() - started
        connection.close()  # the one that PostgreSQL's death may have left broken
        jobs = list(Job.objects.all())
        outcomes = list(Outcome.objects.prefetch_related("artifacts"))
    finally:
        supervisor.stop()

    assert Counter(job.status for job in jobs) == {"succeeded": JOBS}, [job.error_message for job in jobs]
    assert sorted(outcome.summary["tag"] for outcome in outcomes) == list(range(JOBS))
    assert {outcome.job_id for outcome in outcomes} == {job.pk for job in jobs}
    for outcome in outcomes:
        (artifact,) = outcome.artifacts.all()  # fetched before the database stopped
        assert (data / "files" / artifact.location).read_text() == f"{outcome.summary['tag']} 0"
    # The test tested something: kills hit running jobs, and messages came twice.
    logs = "".join(path.read_text(errors="replace") for path in (data / "logs").glob("worker-*.log"))
    starts = sum(job.attempt for job in jobs)
    assert not victims
    assert starts > JOBS
    assert "is not to be taken" in logs
    assert sum("ended" in sentence for sentence in said) >= WORKER_KILLS + 2
    print(f"{JOBS} jobs, {starts} starts, {logs.count('is not to be taken')} doubled messages, {seconds:.0f} s")  # noqa: T201
