"""A job's log, which people read."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from django.db.models.functions import Now

from hubapp.jobs.models import Job, LogLine

LONGEST_LINE = 20_000


def log_add(job_id: UUID, text: str, *, level: str = "info", attempt: int = 0) -> None:
    """Add one line."""
    log_add_many(job_id, [(level, text)], attempt=attempt)


def log_add_many(job_id: UUID, lines: Iterable[tuple[str, str]], *, attempt: int = 0) -> None:
    """Add lines as (level, text) in their order, in one query."""
    LogLine.objects.bulk_create(
        LogLine(job_id=job_id, attempt=attempt, level=level[:10], text=text.replace("\x00", "")[:LONGEST_LINE])
        for level, text in lines
    )


def log_delete_old(*, days: int) -> int:
    """Delete the lines of jobs that ended more than `days` days ago, but errors; returns how many went."""
    old = Job.objects.filter(finished_at__lt=Now() - timedelta(days=days))
    return LogLine.objects.filter(job__in=old).exclude(level="error").delete()[0]
