"""The state machine: every transition is one conditional UPDATE, guarded by status and, while running, by the token.

    queued → running → succeeded | failed | cancelled        queued → cancelled | failed
    running → queued   (worker lost, transient error, out of memory; at most JOB_ATTEMPTS starts)

Zero rows changed means that somebody else was first: the caller stops quietly.
"""

from __future__ import annotations

import enum
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.db import transaction
from django.db.models import DateTimeField, Exists, ExpressionWrapper, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from hubapp.jobs.models import Job
from hubapp.jobs.services.log import log_add
from hubapp.jobs.services.queue import claimable, job_publish

Status, ErrorKind = Job.Status, Job.ErrorKind
UNFINISHED = (Status.QUEUED, Status.RUNNING)


class Beat(enum.Enum):
    """What a heartbeat learns."""

    GO_ON = "go on"
    CANCEL = "cancel"
    LOST = "lost"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A worker's right to run a job, for as long as `token` is the row's token."""

    job: Job
    token: UUID


def job_claim(job_id: UUID | str, *, worker: str, device: str = "") -> Claim | None:
    """queued → running. None when the job is not to be taken: taken already, ended, not due, or waiting for another."""
    token = uuid.uuid4()
    changed = claimable(Job.objects.filter(pk=job_id)).update(
        status=Status.RUNNING,
        claim_token=token,
        attempt=F("attempt") + 1,
        worker=worker[:200],
        device=device[:100],
        started_at=Now(),
        heartbeat_at=Now(),
        deadline_at=ExpressionWrapper(
            Now() + F("time_limit_seconds") * timedelta(seconds=1), output_field=DateTimeField()
        ),
        not_before=None,
        progress_done=0,
        progress_total=0,
        progress_note="",
        error_kind="",
        error_message="",
        error_reference="",
    )
    if not changed:
        return None
    job = (
        Job.objects.select_related("revision__model", "dataset_revision__dataset")
        .filter(pk=job_id, claim_token=token)
        .first()
    )
    return Claim(job=job, token=token) if job else None


def _claimed(job_id: UUID, token: UUID) -> QuerySet[Job]:
    return Job.objects.filter(pk=job_id, claim_token=token, status=Status.RUNNING)


def job_heartbeat(
    job_id: UUID, *, token: UUID, done: int | None = None, total: int = 0, note: str = "", device: str = ""
) -> Beat:
    """Say that the run is alive and, where `done` is given, how far; learn whether to go on."""
    changes: dict[str, Any] = {"heartbeat_at": Now()}
    if done is not None:
        changes |= {"progress_done": done, "progress_total": total, "progress_note": note[:300]}
    if device:
        changes["device"] = device[:100]
    if not _claimed(job_id, token).update(**changes):
        return Beat.LOST
    is_cancelled = _claimed(job_id, token).filter(cancel_requested_at__isnull=False).exists()
    return Beat.CANCEL if is_cancelled else Beat.GO_ON


def job_finish(job_id: UUID, *, token: UUID, store: Callable[[Job], object]) -> bool:
    """running → succeeded, and `store(job)` writes the outcome in the same transaction.

    False when the claim was lost. Harmless when repeated after a connection was lost in the middle of the commit.
    """
    with transaction.atomic():
        changed = _claimed(job_id, token).update(
            status=Status.SUCCEEDED, finished_at=Now(), heartbeat_at=Now(), progress_done=F("progress_total")
        )
        if not changed:
            return Job.objects.filter(pk=job_id, claim_token=token, status=Status.SUCCEEDED).exists()
        store(Job.objects.select_related("revision__model", "dataset_revision__dataset").get(pk=job_id))
        transaction.on_commit(lambda: after_end(job_id))
    return True


def job_fail(
    job_id: UUID,
    *,
    token: UUID,
    kind: str,
    message: str,
    reference: str = "",
    retry: bool = False,
    hints: dict[str, Any] | None = None,
) -> str | None:
    """running → failed, or with `retry` → queued again while attempts are left.

    Returns the new status, None if the claim was lost. A retry waits for the backoff (doubled each time, ± half of it
    at random). `hints` tells the next attempt how to run.
    """
    job = _claimed(job_id, token).only("attempt", "hints").first()
    if job is None:
        return None
    if retry and job.attempt < settings.JOB_ATTEMPTS:
        return Status.QUEUED if requeue(_claimed(job_id, token), job, hints=hints) else None
    with transaction.atomic():
        changed = _claimed(job_id, token).update(
            status=Status.FAILED,
            finished_at=Now(),
            error_kind=kind,
            error_message=message,
            error_reference=reference,
        )
        if changed:
            transaction.on_commit(lambda: after_end(job_id))
    return Status.FAILED if changed else None


def requeue(rows: QuerySet[Job], job: Job, *, hints: dict[str, Any] | None = None) -> bool:
    """running → queued, due after the backoff; `rows` carries the guard."""
    wait = settings.JOB_BACKOFF_SECONDS * 2 ** max(0, job.attempt - 1) * random.uniform(0.5, 1.5)  # noqa: S311
    return bool(
        rows.update(
            status=Status.QUEUED,
            claim_token=None,
            deadline_at=None,
            published_at=None,
            not_before=Now() + timedelta(seconds=wait),
            hints={**job.hints, **(hints or {})},
        )
    )


def job_release(job_id: UUID, *, token: UUID) -> bool:
    """running → queued at once, without counting the attempt: the worker was told to stop."""
    return bool(
        _claimed(job_id, token).update(
            status=Status.QUEUED,
            claim_token=None,
            deadline_at=None,
            published_at=None,
            not_before=None,
            attempt=F("attempt") - 1,
        )
    )


def job_stop(job_id: UUID, *, token: UUID) -> bool:
    """running → cancelled, by the run itself after it learned of the request."""
    with transaction.atomic():
        changed = (
            _claimed(job_id, token)
            .filter(cancel_requested_at__isnull=False)
            .update(status=Status.CANCELLED, finished_at=Now())
        )
        if changed:
            transaction.on_commit(lambda: after_end(job_id))
    return bool(changed)


def job_cancel(job_id: UUID, *, requested_by: User | AnonymousUser | None = None) -> Job:
    """Cancel: a queued job ends at once, a running one at its next checkpoint, a parent with all its own children.

    A child that another job or parent counts on goes on without this parent. Nothing happens to a job that has ended.
    Raises Job.DoesNotExist.
    """
    job = Job.objects.get(pk=job_id)
    if job.is_finished:
        return job
    by = f" by {requested_by}" if requested_by is not None else ""
    if job.is_parent:
        if Job.objects.filter(pk=job_id, status__in=UNFINISHED).update(cancel_requested_at=Now()):
            log_add(job_id, f"Cancelled{by}.")
        children = Job.objects.filter(parent_id=job_id, status__in=UNFINISHED)
        needed = Job.objects.filter(waits_for_id=OuterRef("pk"), status__in=UNFINISHED).exclude(parent_id=job_id)
        linked = Job.linked.through.objects.filter(to_job_id=OuterRef("pk"), from_job__status__in=UNFINISHED)
        children.filter(Q(Exists(needed)) | Q(Exists(linked))).update(parent=None)
        # What waits for another child goes first, so that it counts as cancelled and not as failed.
        for child in children.order_by(F("waits_for_id").asc(nulls_last=True)).values_list("pk", flat=True):
            job_cancel(child, requested_by=requested_by)
        parent_close(job_id)
    elif Job.objects.filter(pk=job_id, status=Status.QUEUED).update(
        status=Status.CANCELLED, finished_at=Now(), cancel_requested_at=Now()
    ):
        log_add(job_id, f"Cancelled{by} before it began.", attempt=job.attempt)
        transaction.on_commit(lambda: after_end(job_id))
    elif Job.objects.filter(pk=job_id, status=Status.RUNNING, cancel_requested_at__isnull=True).update(
        cancel_requested_at=Now()
    ):
        log_add(job_id, f"Asked to stop{by}.", attempt=job.attempt)
    job.refresh_from_db()
    return job


def after_end(job_id: UUID) -> None:
    """What follows from a job's end, after its commit: jobs that wait for it start or fail, its parents close.

    A process that dies before this loses nothing: the ticker does the same for every row.
    """
    job = Job.objects.only("status").get(pk=job_id)
    if job.status == Status.SUCCEEDED:
        job_publish(Job.objects.filter(waits_for_id=job_id, status=Status.QUEUED).values_list("pk", flat=True))
    else:
        waiting_fail(Job.objects.filter(waits_for_id=job_id))
    for parent in Job.objects.filter(
        Q(children=job_id) | Q(linked=job_id), is_parent=True, status__in=UNFINISHED
    ).distinct():
        parent_close(parent.pk)


def waiting_fail(jobs: QuerySet[Job]) -> int:
    """queued → failed for those of `jobs` whose awaited job failed or was cancelled; returns how many."""
    ended = jobs.filter(status=Status.QUEUED, waits_for__status__in=(Status.FAILED, Status.CANCELLED)).select_related(
        "waits_for"
    )
    count = 0
    for job in ended:
        awaited = job.waits_for
        assert awaited is not None  # noqa: S101 - the filter says so
        what = "was cancelled" if awaited.status == Status.CANCELLED else "failed"
        why = f": {awaited.error_message}" if awaited.error_kind == ErrorKind.USER and awaited.error_message else "."
        with transaction.atomic():
            changed = Job.objects.filter(pk=job.pk, status=Status.QUEUED, waits_for_id=awaited.pk).update(
                status=Status.FAILED,
                finished_at=Now(),
                error_kind=ErrorKind.USER,
                error_message=f"The job “{awaited}”, whose result this one reads, {what}{why}",
            )
            if changed:
                transaction.on_commit(lambda pk=job.pk: after_end(pk))  # type: ignore[misc]
        count += changed
    return count


def parent_close(parent_id: UUID) -> bool:
    """running → its end for a parent whose children and linked jobs have all ended; True for the call that closed it.

    Called after each child's commit: whichever child commits last sees all the others ended, so none closes too early
    and one always closes.
    """
    children = Job.objects.filter(parent_id=OuterRef("pk"))
    links = Job.linked.through.objects.filter(from_job_id=OuterRef("pk"))
    closable = (
        Job.objects.filter(pk=parent_id, is_parent=True, status__in=UNFINISHED)
        .exclude(Exists(children.filter(status__in=UNFINISHED)))
        .exclude(Exists(links.filter(to_job__status__in=UNFINISHED)))
    )
    if not closable.exists():
        return False
    counts = parent_counts(parent_id)
    failed, cancelled = counts[Status.FAILED], counts[Status.CANCELLED]
    parent = Job.objects.only("cancel_requested_at", "error_message").get(pk=parent_id)
    end: dict[str, Any] = {"status": Status.SUCCEEDED}
    if parent.cancel_requested_at is not None or (cancelled and not failed):
        end = {"status": Status.CANCELLED}
    elif failed:
        end = {
            "status": Status.FAILED,
            "error_kind": ErrorKind.USER,
            "error_message": f"{failed} of {sum(counts.values())} jobs failed; each says why below.",
        }
    elif not sum(counts.values()):
        end = {
            "status": Status.FAILED,
            "error_kind": ErrorKind.USER,
            "error_message": "Nothing to do: no model fits. The log names the reason for each.",
        }
    total = sum(counts.values())
    return bool(closable.update(finished_at=Now(), progress_done=total, progress_total=total, **end))


def parent_counts(parent_id: UUID) -> dict[str, int]:
    """How many of a parent's jobs (its own and the linked ones) are in each state."""
    counts = dict.fromkeys(Status.values, 0)
    jobs = Job.objects.filter(Q(parent_id=parent_id) | Q(linked_from=parent_id)).distinct()
    for status in jobs.values_list("pk", "status"):
        counts[status[1]] += 1
    return counts
