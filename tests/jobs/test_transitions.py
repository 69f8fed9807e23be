"""The state machine, one transition at a time, and what follows from a job's end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from hubapp.catalog.models import DatasetRevision, Revision
from hubapp.jobs.models import Job
from hubapp.jobs.services import (
    Beat,
    Claim,
    batch_submit,
    job_cancel,
    job_claim,
    job_fail,
    job_finish,
    job_heartbeat,
    job_release,
    job_stop,
    job_submit,
    jobs_fail_overdue,
    jobs_requeue_stale,
    jobs_settle,
    jobs_stop_unheard,
)
from tests.jobs.rows import make_revision

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("queue")]


@pytest.fixture
def job(queue: Any, revision: Revision, dataset_revision: DatasetRevision) -> Job:
    return job_submit(kind="sample", revision=revision, dataset_revision=dataset_revision).job


def claimed(job: Job) -> Claim:
    claim = job_claim(job.pk, worker="worker-1", device="cpu")
    assert claim is not None
    return claim


def store_nothing(job: Job) -> None:
    """An outcome is not what these tests are about."""


def age(job: Job, **seconds: float) -> None:
    Job.objects.filter(pk=job.pk).update(
        **{name: timezone.now() - timedelta(seconds=value) for name, value in seconds.items()}
    )


def in_threads(*actions: Callable[[], Any]) -> list[Any]:
    """Run the actions at the same moment, each on its own connection; their results in order."""
    barrier = threading.Barrier(len(actions))
    results: list[Any] = [None] * len(actions)

    def act(place: int, action: Callable[[], Any]) -> None:
        try:
            barrier.wait()
            results[place] = action()
        except BaseException as error:
            results[place] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=act, args=pair) for pair in enumerate(actions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_a_claim_sets_token_attempt_and_deadline(job: Job) -> None:
    claim = claimed(job)
    row = claim.job
    assert (row.status, row.attempt, row.worker, row.device, row.claim_token) == (
        "running", 1, "worker-1", "cpu", claim.token,
    )  # fmt: skip
    assert row.started_at is not None
    assert row.deadline_at is not None
    assert row.deadline_at - row.started_at == timedelta(seconds=120)
    assert job_claim(job.pk, worker="worker-2") is None


def test_only_one_of_many_claims_wins(job: Job) -> None:
    claims = in_threads(*[lambda name=name: job_claim(job.pk, worker=f"worker-{name}") for name in range(8)])
    winners = [claim for claim in claims if isinstance(claim, Claim)]
    assert len(winners) == 1
    assert [claim for claim in claims if claim is not None] == winners
    job.refresh_from_db()
    assert (job.attempt, job.claim_token) == (1, winners[0].token)


def test_a_job_that_is_not_due_cannot_be_claimed(job: Job) -> None:
    Job.objects.update(not_before=timezone.now() + timedelta(seconds=60))
    assert job_claim(job.pk, worker="worker-1") is None
    age(job, not_before=1)
    claimed(job)


def test_a_heartbeat_writes_progress_and_learns(job: Job) -> None:
    claim = claimed(job)
    age(job, heartbeat_at=50)
    assert job_heartbeat(job.pk, token=claim.token, done=3, total=9, note="rows") is Beat.GO_ON
    job.refresh_from_db()
    assert (job.progress_done, job.progress_total, job.progress_note) == (3, 9, "rows")
    assert job.heartbeat_at is not None
    assert timezone.now() - job.heartbeat_at < timedelta(seconds=5)
    job_cancel(job.pk)
    assert job_heartbeat(job.pk, token=claim.token) is Beat.CANCEL
    assert job_heartbeat(job.pk, token=uuid4()) is Beat.LOST


def test_finish_stores_in_the_same_transaction(job: Job) -> None:
    claim = claimed(job)
    stored: list[str] = []

    def break_down(row: Job) -> None:
        raise RuntimeError("the outcome cannot be stored")

    with pytest.raises(RuntimeError):
        job_finish(job.pk, token=claim.token, store=break_down)
    job.refresh_from_db()
    assert job.status == "running"

    assert job_finish(job.pk, token=claim.token, store=lambda row: stored.append(row.status))
    job.refresh_from_db()
    assert (job.status, stored) == ("succeeded", ["succeeded"])
    # Repeated after a commit whose answer was lost: done already, nothing is stored twice.
    assert job_finish(job.pk, token=claim.token, store=lambda row: stored.append("again"))
    assert stored == ["succeeded"]


def test_a_worker_that_lost_its_claim_changes_nothing(job: Job) -> None:
    lost = claimed(job)
    age(job, heartbeat_at=1000)
    assert jobs_requeue_stale() == 1
    Job.objects.update(not_before=None)
    claim = claimed(job)
    assert claim.token != lost.token
    assert job_heartbeat(job.pk, token=lost.token) is Beat.LOST
    assert not job_finish(job.pk, token=lost.token, store=store_nothing)
    assert job_fail(job.pk, token=lost.token, kind="bug", message="late") is None
    assert not job_release(job.pk, token=lost.token)
    assert not job_stop(job.pk, token=lost.token)
    job.refresh_from_db()
    assert (job.status, job.attempt, job.claim_token) == ("running", 2, claim.token)


def test_a_stale_job_is_queued_again_and_lost_after_the_last_attempt(job: Job, settings: Any) -> None:
    settings.JOB_ATTEMPTS = 2
    claimed(job)
    assert jobs_requeue_stale() == 0
    age(job, heartbeat_at=1000)
    assert jobs_requeue_stale() == 1
    job.refresh_from_db()
    assert (job.status, job.claim_token, job.deadline_at) == ("queued", None, None)
    assert job.not_before is not None
    wait = (job.not_before - timezone.now()).total_seconds()
    assert 0 < wait <= settings.JOB_BACKOFF_SECONDS * 1.5
    age(job, not_before=1)
    claimed(job)
    age(job, heartbeat_at=1000)
    assert jobs_requeue_stale() == 1
    job.refresh_from_db()
    assert (job.status, job.error_kind) == ("failed", "lost")
    assert "2 attempts" in job.error_message
    assert [line.level for line in job.log.all()] == ["warning", "warning"]


def test_two_sweeps_at_once_requeue_once(job: Job) -> None:
    claimed(job)
    age(job, heartbeat_at=1000)
    assert sorted(in_threads(jobs_requeue_stale, jobs_requeue_stale, jobs_requeue_stale)) == [0, 0, 1]


def test_an_overdue_job_times_out(job: Job) -> None:
    claim = claimed(job)
    assert jobs_fail_overdue() == 0
    age(job, deadline_at=1)
    assert jobs_fail_overdue() == 1
    job.refresh_from_db()
    assert (job.status, job.error_kind) == ("failed", "timeout")
    assert "2 minutes" in job.error_message
    assert job_heartbeat(job.pk, token=claim.token) is Beat.LOST


def test_a_retry_waits_and_brings_its_hints(job: Job, settings: Any) -> None:
    settings.JOB_BACKOFF_SECONDS = 10
    claim = claimed(job)
    status = job_fail(job.pk, token=claim.token, kind="memory", message="", retry=True, hints={"batch_size": 4})
    assert status == "queued"
    job.refresh_from_db()
    assert (job.hints, job.error_kind) == ({"batch_size": 4}, "")
    assert job.not_before is not None
    assert 4 < (job.not_before - timezone.now()).total_seconds() <= 15


def test_cancelling_a_queued_job_ends_it_at_once(job: Job, bob: Any) -> None:
    cancelled = job_cancel(job.pk, requested_by=bob)
    assert cancelled.status == "cancelled"
    assert cancelled.finished_at is not None
    assert job_claim(job.pk, worker="worker-1") is None
    assert job.log.get().text == "Cancelled by bob before it began."
    assert job_cancel(job.pk).status == "cancelled"


def test_cancelling_a_running_job_asks_it_to_stop(job: Job) -> None:
    claim = claimed(job)
    assert not job_stop(job.pk, token=claim.token)  # nobody asked
    assert job_cancel(job.pk).status == "running"
    assert job_stop(job.pk, token=claim.token)
    job.refresh_from_db()
    assert job.status == "cancelled"


def test_a_run_that_does_not_heed_a_cancel_request_is_written_off(job: Job) -> None:
    claimed(job)
    job_cancel(job.pk)
    assert jobs_stop_unheard() == 0
    age(job, cancel_requested_at=1000)
    assert jobs_stop_unheard() == 1
    job.refresh_from_db()
    assert job.status == "cancelled"


def test_a_cancelled_job_whose_worker_died_is_not_queued_again(job: Job) -> None:
    claimed(job)
    job_cancel(job.pk)
    age(job, heartbeat_at=1000)
    jobs_requeue_stale()
    job.refresh_from_db()
    assert job.status == "cancelled"


def test_a_released_job_is_to_be_had_at_once_and_keeps_its_attempts(job: Job) -> None:
    claim = claimed(job)
    assert job_release(job.pk, token=claim.token)
    assert claimed(job).job.attempt == 1


@pytest.mark.parametrize("end", ["fail", "cancel"])
def test_a_job_that_waits_for_one_that_failed_says_so(
    end: str, revision: Revision, dataset_revision: DatasetRevision
) -> None:
    job = job_submit(kind="sample_after", revision=revision, dataset_revision=dataset_revision).job
    before = job.waits_for
    assert before is not None
    if end == "fail":
        claim = claimed(before)
        job_fail(before.pk, token=claim.token, kind="user", message="Its data set has one class. Choose another.")
        said = "failed: Its data set has one class. Choose another."
    else:
        job_cancel(before.pk)
        said = "was cancelled."
    job.refresh_from_db()
    assert (job.status, job.error_kind) == ("failed", "user")
    assert job.error_message == f"The job “Sample of Tiny Net on Tiny Set”, whose result this one reads, {said}"


def make_pairs(dataset_revision: DatasetRevision, count: int) -> list[tuple[Revision, DatasetRevision]]:
    return [(make_revision(f"net-{number}"), dataset_revision) for number in range(count)]


def finish(child: Job) -> None:
    claim = claimed(child)
    assert job_finish(child.pk, token=claim.token, store=store_nothing)


def test_a_batch_links_twins_names_misfits_and_ends_with_its_last_child(dataset_revision: DatasetRevision) -> None:
    pairs = make_pairs(dataset_revision, 3)
    there = job_submit(kind="sample", revision=pairs[0][0], dataset_revision=dataset_revision).job
    finish(there)
    on_the_way = job_submit(kind="sample", revision=pairs[1][0], dataset_revision=dataset_revision).job
    ears = make_revision("ears", modality="audio")
    parent = batch_submit(kind="sample", title="All", pairs=[*pairs, (ears, dataset_revision)])
    assert (parent.status, parent.is_parent) == ("running", True)
    assert set(parent.linked.all()) == {there, on_the_way}
    child = parent.children.get()
    assert child.revision == pairs[2][0]
    texts = [line.text for line in parent.log.all()]
    assert texts[0].startswith("Sample of Ears on Tiny Set was left out: This model reads recordings")
    assert texts[1] == ("1 to compute, 1 there already, 1 on the way already, 1 left out because they do not fit.")
    finish(child)
    parent.refresh_from_db()
    assert parent.status == "running"
    finish(on_the_way)
    parent.refresh_from_db()
    assert (parent.status, parent.progress_done, parent.progress_total) == ("succeeded", 3, 3)


def test_a_batch_of_twins_only_ends_at_once(dataset_revision: DatasetRevision) -> None:
    pairs = make_pairs(dataset_revision, 2)
    for child in batch_submit(kind="sample", title="First", pairs=pairs).children.all():
        finish(child)
    assert batch_submit(kind="sample", title="Second", pairs=pairs).status == "succeeded"


def test_a_batch_in_which_nothing_fits_says_so(dataset_revision: DatasetRevision) -> None:
    parent = batch_submit(
        kind="sample", title="Ears", pairs=[(make_revision("ears", modality="audio"), dataset_revision)]
    )
    assert (parent.status, parent.error_kind) == ("failed", "user")
    assert "no model fits" in parent.error_message


def test_a_batch_counts_its_failures(dataset_revision: DatasetRevision) -> None:
    parent = batch_submit(kind="sample", title="Two", pairs=make_pairs(dataset_revision, 2))
    good, bad = parent.children.all()
    finish(good)
    job_fail(bad.pk, token=claimed(bad).token, kind="bug", message="It broke.")
    parent.refresh_from_db()
    assert (parent.status, parent.error_message) == ("failed", "1 of 2 jobs failed; each says why below.")


def test_the_last_children_end_at_the_same_moment_and_the_parent_closes_once(
    dataset_revision: DatasetRevision,
) -> None:
    for round_number in range(5):
        pairs = [(make_revision(f"net-{round_number}-{number}"), dataset_revision) for number in range(6)]
        parent = batch_submit(kind="sample", title="Race", pairs=pairs)
        claims = [claimed(child) for child in parent.children.all()]
        ended = in_threads(
            *[lambda c=claim: job_finish(c.job.pk, token=c.token, store=store_nothing) for claim in claims]
        )
        assert ended == [True] * 6
        parent.refresh_from_db()
        assert parent.status == "succeeded"


def test_the_ticker_closes_a_parent_that_a_dead_process_left_open(dataset_revision: DatasetRevision) -> None:
    parent = batch_submit(kind="sample", title="Two", pairs=make_pairs(dataset_revision, 2))
    parent.children.update(status="succeeded", finished_at=timezone.now())
    assert jobs_settle() == 1
    parent.refresh_from_db()
    assert parent.status == "succeeded"
    assert jobs_settle() == 0


def test_cancelling_a_batch_stops_its_children_but_not_what_others_need(dataset_revision: DatasetRevision) -> None:
    pairs = make_pairs(dataset_revision, 2)
    parent = batch_submit(kind="sample_after", title="Waiting", pairs=pairs)
    assert parent.children.count() == 4  # each with the job that it waits for
    shared = parent.children.get(kind="sample", revision=pairs[0][0])
    other = batch_submit(kind="sample", title="Other", pairs=pairs[:1])
    assert list(other.linked.all()) == [shared]
    assert job_cancel(parent.pk).status == "cancelled"
    shared.refresh_from_db()
    assert (shared.status, shared.parent) == ("queued", None)
    assert set(parent.children.values_list("status", flat=True)) == {"cancelled"}


def test_a_lost_connection_in_the_middle_of_a_commit_is_no_second_outcome(job: Job) -> None:
    claim = claimed(job)
    stored: list[int] = []

    def store_and_lose(row: Job) -> None:
        stored.append(1)
        transaction.on_commit(lose)

    def lose() -> None:
        raise OperationalError("server closed the connection unexpectedly")

    with pytest.raises(OperationalError):
        job_finish(job.pk, token=claim.token, store=store_and_lose)
    assert job_finish(job.pk, token=claim.token, store=store_and_lose)
    assert stored == [1]
