"""What the ticker does each round. Every step is safe to run twice at once, in one ticker or in two."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from hubapp.jobs.models import Job
from hubapp.jobs.services.log import log_add
from hubapp.jobs.services.transitions import (
    UNFINISHED,
    ErrorKind,
    Status,
    after_end,
    parent_close,
    requeue,
    waiting_fail,
)

logger = logging.getLogger(__name__)


def jobs_requeue_stale() -> int:
    """running → queued, or failed as lost after JOB_ATTEMPTS starts, where the last heartbeat is too old."""
    limit = Now() - timedelta(seconds=settings.JOB_STALE_SECONDS)
    stale = Job.objects.filter(status=Status.RUNNING, is_parent=False, heartbeat_at__lt=limit)
    count = 0
    for job in stale.only("attempt", "claim_token", "hints", "worker", "cancel_requested_at"):
        row = stale.filter(pk=job.pk, claim_token=job.claim_token)
        if job.cancel_requested_at is not None:
            changed = _end(row, job, status=Status.CANCELLED)
            text = "Cancelled; the worker had stopped answering."
        elif job.attempt < settings.JOB_ATTEMPTS:
            changed = requeue(row, job)
            text = f"The worker {job.worker} stopped answering in attempt {job.attempt}; the job is queued again."
        else:
            text = (
                f"The worker stopped answering in each of {job.attempt} attempts. Most often the machine ran out of "
                "memory: look at the worker's log, then press “Run again”."
            )
            changed = _end(row, job, status=Status.FAILED, error_kind=ErrorKind.LOST, error_message=text)
        if changed:
            count += 1
            log_add(job.pk, text, level="warning", attempt=job.attempt)
            logger.warning("Job %s: %s", job.pk, text)
    return count


def jobs_fail_overdue() -> int:
    """running → failed (timeout) for runs past their deadline; the worker learns of it with its next heartbeat."""
    overdue = Job.objects.filter(status=Status.RUNNING, is_parent=False, deadline_at__lt=Now())
    count = 0
    for job in overdue.only("attempt", "claim_token", "time_limit_seconds"):
        changed = _end(
            overdue.filter(pk=job.pk, claim_token=job.claim_token),
            job,
            status=Status.FAILED,
            error_kind=ErrorKind.TIMEOUT,
            error_message=timeout_sentence(job.time_limit_seconds),
        )
        count += changed
    return count


def jobs_stop_unheard() -> int:
    """running → cancelled for runs that have not heeded a cancel request for JOB_STALE_SECONDS; returns how many."""
    limit = Now() - timedelta(seconds=settings.JOB_STALE_SECONDS)
    unheard = Job.objects.filter(status=Status.RUNNING, is_parent=False, cancel_requested_at__lt=limit)
    return sum(
        _end(unheard.filter(pk=job.pk, claim_token=job.claim_token), job, status=Status.CANCELLED)
        for job in unheard.only("claim_token")
    )


def jobs_settle() -> int:
    """Do what a process that died right after a commit left undone: fail waiting jobs, close parents."""
    count = waiting_fail(Job.objects.all())
    parents = Job.objects.filter(is_parent=True, status__in=UNFINISHED)
    return count + sum(parent_close(pk) for pk in parents.values_list("pk", flat=True))


def timeout_sentence(seconds: int) -> str:
    """What a person reads when a job took too long."""
    limit = f"{seconds // 60} minutes" if seconds >= 120 else f"{seconds} seconds"
    return f"The job took longer than its limit of {limit}. Use a smaller data set or fewer repeats, then run it again."


def _end(rows: QuerySet[Job], job: Job, *, status: str, error_kind: str = "", error_message: str = "") -> bool:
    with transaction.atomic():
        changed = rows.update(status=status, finished_at=Now(), error_kind=error_kind, error_message=error_message)
        if changed:
            transaction.on_commit(lambda: after_end(job.pk))
    return bool(changed)
