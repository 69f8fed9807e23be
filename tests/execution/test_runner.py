"""The runner, with real analyses, a real heartbeat thread and real rows."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection

from hubapp.catalog.models import DatasetRevision, Revision
from hubapp.execution import runner
from hubapp.execution.context import TimeLimitExceeded
from hubapp.execution.patience import patiently
from hubapp.jobs.models import Job
from hubapp.jobs.services import job_cancel, job_submit
from hubapp.results.models import Outcome
from tests.jobs.conftest import dataset_revision, folders, queue, revision, sample_kinds

__all__ = ["dataset_revision", "folders", "queue", "revision", "sample_kinds"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("queue", "folders", "sample_kinds")]


@pytest.fixture
def make_job(revision: Revision, dataset_revision: DatasetRevision) -> Any:
    def make(kind: str = "sample", **params: Any) -> Job:
        return job_submit(kind=kind, revision=revision, dataset_revision=dataset_revision, params=params, seed=7).job

    return make


@pytest.fixture
def quick(settings: Any) -> None:
    settings.JOB_HEARTBEAT_SECONDS = 1
    settings.JOB_BACKOFF_SECONDS = 0


def run_in_thread(job: Job) -> threading.Thread:
    def act() -> None:
        try:
            runner.run(str(job.pk), worker="test")
        finally:
            connection.close()

    thread = threading.Thread(target=act)
    thread.start()
    return thread


def wait_for(job: Job, **wanted: Any) -> None:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        job.refresh_from_db()
        if all(getattr(job, name) == value for name, value in wanted.items()):
            return
        time.sleep(0.05)
    pytest.fail(f"{wanted} did not come; the job is {job.status}, {job.error_message}")


def test_a_run_stores_its_outcome_with_provenance_and_files(make_job: Any, folders: Path) -> None:
    job = make_job(tag=4, seconds=0.2)
    assert runner.run(str(job.pk), worker="worker-1") == "succeeded"
    job.refresh_from_db()
    outcome = Outcome.objects.get(job=job)
    assert (job.status, job.progress_done, job.progress_total, job.attempt) == ("succeeded", 4, 4, 1)
    assert outcome.summary == {"tag": 4, "ratio": None, "sentence": "It ran."}
    assert outcome.tables["steps"] == {"columns": ["step", "value"], "rows": [[0, 0.5], [1, None]]}
    score = outcome.scores.get()
    assert (score.metric, score.value, score.replicates) == ("sample", 2.0, [1.0, 3.0])
    artifact = outcome.artifacts.get()
    assert (folders / "files" / artifact.location).read_text() == "4 7"
    assert artifact.location == f"artifacts/{artifact.digest[:2]}/{artifact.digest}"
    facts = outcome.provenance
    assert facts["model"] == {"name": "tiny-net", "revision": job.revision.digest}
    assert facts["dataset"]["name"] == "tiny-set"
    assert facts["code"]["version"]
    assert len(facts["code"]["commit"]) == 40
    assert {"python", "numpy"} <= set(facts["libraries"])
    assert (facts["seed"], facts["device"], facts["worker"], facts["convention"]) == (
        7,
        "cpu",
        "worker-1",
        "mean of three",
    )
    assert facts["wall_seconds"] >= 0.2
    assert facts["peak_memory_bytes"] > 10_000_000
    assert [line.text for line in job.log.all()] == ["batch size 8"]
    assert list((folders / "work").iterdir()) == []


def test_a_second_message_for_the_same_job_does_nothing(make_job: Any) -> None:
    job = make_job()
    assert runner.run(str(job.pk)) == "succeeded"
    assert runner.run(str(job.pk)) is None
    assert Outcome.objects.count() == 1


def test_a_user_error_shows_its_sentence(make_job: Any) -> None:
    job = make_job(behaviour="user_error")
    assert runner.run(str(job.pk)) == "failed"
    job.refresh_from_db()
    assert (job.error_kind, job.error_message) == ("user", "The sample was asked to fail. Ask it to succeed.")
    assert not job.log.filter(level="error").exists()
    assert not Outcome.objects.exists()


def test_a_bug_shows_a_reference_and_the_log_keeps_the_traceback(make_job: Any) -> None:
    job = make_job(behaviour="bug")
    assert runner.run(str(job.pk)) == "failed"
    job.refresh_from_db()
    assert (job.error_kind, job.attempt) == ("bug", 1)
    assert job.error_reference in job.error_message
    assert "ZeroDivisionError" not in job.error_message
    text = job.log.get(level="error").text
    assert f"Reference {job.error_reference}" in text
    assert "tests/execution/sample_analyses.py" in text
    assert "ZeroDivisionError: a bug of the sample" in text
    assert "runner.py" not in text


def test_out_of_memory_tries_once_more_with_half_the_batch(make_job: Any, quick: None) -> None:
    job = make_job(behaviour="memory", batch_size=8)
    assert runner.run(str(job.pk)) == "queued"
    assert runner.run(str(job.pk)) == "succeeded"
    outcome = Outcome.objects.get(job=job)
    assert outcome.provenance["analysis"]["hints"] == {"batch_size": 4}
    assert outcome.params["batch_size"] == 8

    big = make_job(behaviour="memory", batch_size=64)
    assert runner.run(str(big.pk)) == "queued"
    assert runner.run(str(big.pk)) == "failed"
    big.refresh_from_db()
    assert (big.error_kind, big.attempt) == ("memory", 2)
    assert "more memory" in big.error_message


def test_a_transient_error_is_tried_again(make_job: Any, quick: None) -> None:
    job = make_job(behaviour="transient")
    assert runner.run(str(job.pk)) == "queued"
    assert runner.run(str(job.pk)) == "succeeded"
    assert Outcome.objects.get(job=job).provenance["attempt"] == 2


def test_a_run_past_its_deadline_times_out(make_job: Any) -> None:
    job = job_submit(kind="sample_site", params={"seconds": 30}).job
    started = time.monotonic()
    assert runner.run(str(job.pk)) == "failed"
    assert time.monotonic() - started < 20
    job.refresh_from_db()
    assert (job.error_kind, job.error_message.startswith("The job took longer")) == ("timeout", True)


def test_a_cancelled_run_stops_at_its_next_checkpoint(make_job: Any, quick: None) -> None:
    job = make_job(seconds=30)
    thread = run_in_thread(job)
    wait_for(job, status="running")
    job_cancel(job.pk)
    wait_for(job, status="cancelled")
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert not Outcome.objects.exists()


def test_a_run_that_lost_its_claim_stops_quietly(make_job: Any, quick: None) -> None:
    job = make_job(seconds=30)
    thread = run_in_thread(job)
    wait_for(job, status="running")
    Job.objects.filter(pk=job.pk).update(status="queued", claim_token=None)
    thread.join(timeout=10)
    assert not thread.is_alive()
    job.refresh_from_db()
    assert (job.status, Outcome.objects.exists()) == ("queued", False)


def test_progress_and_log_lines_show_while_the_job_runs(make_job: Any, quick: None) -> None:
    job = make_job(seconds=4)
    thread = run_in_thread(job)
    deadline = time.monotonic() + 3.5
    seen = 0
    while time.monotonic() < deadline and not (seen and job.log.exists()):
        job.refresh_from_db()
        seen = job.progress_done
        time.sleep(0.05)
    assert 0 < seen < job.progress_total == 80
    assert job.log.get().text == "batch size 8"
    job_cancel(job.pk)
    thread.join()


def test_the_database_restarts_while_a_job_runs(make_job: Any, quick: None) -> None:
    job = make_job(seconds=3)
    thread = run_in_thread(job)
    wait_for(job, status="running")
    for _ in range(3):  # every connection but this one, the heartbeat's included, as a restart does
        time.sleep(0.6)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
    thread.join(timeout=20)
    job.refresh_from_db()
    assert job.status == "succeeded"
    assert Outcome.objects.filter(job=job).count() == 1


def test_a_worker_that_is_told_to_stop_gives_the_job_back(
    make_job: Any, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told_to_stop(spec: Any, context: Any) -> None:
        raise SystemExit(0)

    job = make_job()
    monkeypatch.setattr("tests.execution.sample_analyses.run", told_to_stop)
    with pytest.raises(SystemExit):
        runner.run(str(job.pk))
    job.refresh_from_db()
    assert (job.status, job.attempt, job.not_before) == ("queued", 0, None)


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return monkeypatch


@pytest.mark.parametrize(("given", "device"), [("", "cpu"), ("-1", "cpu"), ("0", "cuda:0"), ("GPU-1f2e", "cuda:0")])
def test_a_card_is_used_only_where_the_worker_was_given_one(devices: Any, given: str, device: str) -> None:
    assert runner.device_choose() == "cpu"
    devices.setenv("CUDA_VISIBLE_DEVICES", given)
    assert runner.device_choose() == device


def test_torch_memory_errors_are_memory_errors() -> None:
    error = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes.")
    assert runner.is_memory_error(error)
    assert runner.is_memory_error(type("OutOfMemoryError", (RuntimeError,), {})())
    assert not runner.is_memory_error(RuntimeError("shapes differ"))
    assert not runner.is_memory_error(TimeLimitExceeded())


def test_patience_ends() -> None:
    def fail() -> None:
        raise OperationalError("still away")

    with pytest.raises(OperationalError):
        patiently(fail, seconds=0.2, pause_seconds=0.05)
