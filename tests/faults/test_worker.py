"""A real worker: limits, jobs that heed nothing, an orderly stop, and a parent that never holds torch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubapp.catalog.models import DatasetRevision, Revision
from hubapp.execution.processes import cpu_worker, housekeeping_worker, ticker
from hubapp.execution.supervisor import Supervisor
from hubapp.jobs.models import Job
from hubapp.jobs.services import job_cancel, job_submit
from hubapp.results.models import Outcome
from tests.faults.conftest import QUICK
from tests.jobs.rows import make_dataset, make_revision

pytestmark = pytest.mark.faults


@pytest.fixture
def supervisor(data: Path) -> Iterator[Supervisor]:
    processes = [cpu_worker(concurrency=1, queues="cpu,gpu"), housekeeping_worker(), ticker()]
    running = Supervisor(data=data, processes=processes, prepare=False, environment=QUICK)
    running.start()
    yield running
    running.stop()


def submit(pair: tuple[Revision, DatasetRevision], **params: Any) -> Job:
    return job_submit(kind="sample", revision=pair[0], dataset_revision=pair[1], params=params).job


def wait_for(job: Job, *statuses: str, seconds: float = 40) -> str:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        job.refresh_from_db()
        if job.status in statuses:
            return job.status
        time.sleep(0.1)
    pytest.fail(f"{job} is {job.status}, not {' or '.join(statuses)}: {job.error_message}")


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_what_a_worker_does_with_difficult_jobs(supervisor: Supervisor) -> None:
    pair = (make_revision(), make_dataset())

    # A job past its soft limit ends with its sentence, though it never reaches a checkpoint.
    late = job_submit(kind="sample_site", params={"behaviour": "stubborn", "seconds": 60}).job

    # A job that heeds no cancel request is killed with its process; the next job gets a new one.
    deaf = submit(pair, behaviour="stubborn", seconds=110)
    wait_for(deaf, "running")
    pid = supervisor.pids()["worker-cpu"]
    before = children_of(pid)
    job_cancel(deaf.pk)
    assert wait_for(deaf, "cancelled", seconds=20) == "cancelled"
    after = submit(pair, tag=1)
    assert wait_for(after, "succeeded") == "succeeded"
    assert supervisor.pids()["worker-cpu"] == pid, "only the child was killed"
    assert not set(before) & set(children_of(pid))
    assert wait_for(late, "failed") == "failed"
    assert late.error_kind == "timeout"

    # Told to stop, a worker gives its job back at once; the attempt does not count.
    long = submit(pair, seconds=100, tag=2)
    wait_for(long, "running")
    started = time.monotonic()
    supervisor.restart("worker-cpu")
    assert time.monotonic() - started < 45
    wait_for(long, "running")
    assert long.attempt == 1
    job_cancel(long.pk)
    wait_for(long, "cancelled")
    assert Outcome.objects.count() == 1

    # The parent never imports torch: none of its libraries is mapped.
    for name in ("worker-cpu", "housekeeping", "ticker"):
        assert "libtorch" not in Path(f"/proc/{supervisor.pids()[name]}/maps").read_text(), name
