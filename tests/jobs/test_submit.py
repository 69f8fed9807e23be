"""Submitting: validation, twins, waiting, races, a broker that is away."""

from __future__ import annotations

import json
import threading
import time
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from hubapp.catalog.models import DatasetRevision, Revision
from hubapp.jobs.models import Job
from hubapp.jobs.services import Submission, job_cancel, job_claim, job_finish, job_submit, jobs_publish
from tests.jobs.rows import make_revision
from workers.kit import UserError

pytestmark = pytest.mark.django_db(transaction=True)


def ids_in(queue: Any, name: str = "cpu") -> list[str]:
    return [json.loads(message)["headers"]["id"] for message in queue.lrange(name, 0, -1)]


def succeed(job: Job) -> None:
    claim = job_claim(job.pk, worker="test")
    assert claim is not None
    assert job_finish(job.pk, token=claim.token, store=lambda row: None)


def submit(revision: Revision | None, dataset: DatasetRevision | None, kind: str = "sample", **more: Any) -> Submission:
    return job_submit(kind=kind, revision=revision, dataset_revision=dataset, **more)


def test_a_new_job_is_queued_and_sent_after_the_commit(
    queue: Any, revision: Revision, dataset_revision: DatasetRevision, alice: Any
) -> None:
    submission = submit(revision, dataset_revision, params={"tag": 3}, requested_by=alice)
    job = Job.objects.get()
    assert (submission.is_new, submission.twin_kind, job.status) == (True, "", "queued")
    assert job.params == {"behaviour": "succeed", "seconds": 0.0, "batch_size": 8, "tag": 3}
    assert (job.title, job.requested_by) == ("Sample of Tiny Net on Tiny Set", alice)
    assert job.published_at is not None
    assert ids_in(queue) == [str(job.pk)]


def test_parameters_are_validated_with_the_field_at_fault(
    revision: Revision, dataset_revision: DatasetRevision
) -> None:
    with pytest.raises(UserError, match="'colour'") as unknown:
        submit(revision, dataset_revision, params={"colour": "red"})
    assert unknown.value.field == "colour"
    with pytest.raises(UserError, match="valid integer") as wrong:
        submit(revision, dataset_revision, params={"tag": "many"})
    assert wrong.value.field == "tag"
    assert not Job.objects.exists()


def test_an_unknown_kind_names_near_ones() -> None:
    with pytest.raises(UserError, match="Did you mean fewshot") as error:
        job_submit(kind="fewshots")
    assert error.value.field == "kind"


def test_what_does_not_fit_says_why(dataset_revision: DatasetRevision, revision: Revision) -> None:
    with pytest.raises(UserError, match="reads recordings"):
        submit(make_revision("ears", modality="audio"), dataset_revision)
    with pytest.raises(UserError, match="needs a data set"):
        submit(revision, None)
    with pytest.raises(UserError, match="needs a model"):
        submit(None, dataset_revision)


def test_a_corrupted_model_says_so(revision: Revision, dataset_revision: DatasetRevision) -> None:
    revision.error_message = "The file a.safetensors ends too early. Copy it again."
    with pytest.raises(UserError, match="ends too early"):
        submit(revision, dataset_revision)


def test_twins(queue: Any, revision: Revision, dataset_revision: DatasetRevision) -> None:
    first = submit(revision, dataset_revision).job
    again = submit(revision, dataset_revision)
    assert (again.job, again.is_new, again.twin_kind) == (first, False, "active")
    assert submit(revision, dataset_revision, params={"tag": 1}).is_new
    assert submit(revision, dataset_revision, seed=1).is_new
    assert submit(make_revision("other-net"), dataset_revision).is_new

    succeed(first)
    found = submit(revision, dataset_revision)
    assert (found.job, found.twin_kind) == (first, "finished")
    rerun = submit(revision, dataset_revision, rerun=True)
    assert rerun.is_new
    # A cancelled twin does not block.
    job_cancel(rerun.job.pk)
    assert submit(revision, dataset_revision, rerun=True).is_new


def test_for_site_jobs_only_active_twins_count(queue: Any, db: None) -> None:
    first = job_submit(kind="sample_site")
    assert job_submit(kind="sample_site").twin_kind == "active"
    succeed(first.job)
    assert job_submit(kind="sample_site").is_new


def test_two_equal_requests_at_once_make_one_job(
    queue: Any, revision: Revision, dataset_revision: DatasetRevision
) -> None:
    barrier = threading.Barrier(8)
    found: list[tuple[UUID, bool]] = []
    errors: list[BaseException] = []

    def request() -> None:
        try:
            barrier.wait()
            submission = submit(revision, dataset_revision, kind="sample_after")
            found.append((submission.job.pk, submission.is_new))
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=request) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len({pk for pk, _ in found}) == 1
    assert sum(is_new for _, is_new in found) == 1
    assert Job.objects.count() == 2  # the job and the one that it waits for


def test_a_job_that_waits_is_sent_when_the_other_has_succeeded(
    queue: Any, revision: Revision, dataset_revision: DatasetRevision
) -> None:
    job = submit(revision, dataset_revision, kind="sample_after", params={"tag": 5}).job
    before = job.waits_for
    assert before is not None
    assert (before.kind, before.params["tag"]) == ("sample", 5)
    assert ids_in(queue) == [str(before.pk)]
    assert job_claim(job.pk, worker="test") is None
    assert jobs_publish() == 0
    succeed(before)
    assert str(job.pk) in ids_in(queue)
    succeed(job)

    # A second job on the same pair finds the finished one and waits for nothing.
    next_one = submit(revision, dataset_revision, kind="sample_after", params={"tag": 5, "batch_size": 2}).job
    assert next_one.waits_for == before
    assert job_claim(next_one.pk, worker="test") is not None


@pytest.mark.parametrize("outage", ["no_broker", "hung_broker"])
def test_a_broker_that_is_away_loses_nothing_and_costs_little_time(
    outage: str, request: pytest.FixtureRequest, revision: Revision, dataset_revision: DatasetRevision
) -> None:
    request.getfixturevalue(outage)
    started = time.monotonic()
    submission = submit(revision, dataset_revision)
    assert time.monotonic() - started < 10
    job = Job.objects.get(pk=submission.job.pk)
    assert (job.status, job.published_at) == ("queued", None)


def test_a_job_that_was_not_sent_is_sent_by_the_ticker(
    queue: Any, revision: Revision, dataset_revision: DatasetRevision
) -> None:
    job = submit(revision, dataset_revision).job
    assert jobs_publish() == 0  # its message is there
    queue.delete("cpu")  # the broker forgot everything
    Job.objects.update(published_at=None)
    assert jobs_publish() == 1
    assert ids_in(queue) == [str(job.pk)]
    assert jobs_publish() == 0
