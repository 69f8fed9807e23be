"""Site jobs that follow from what happened: marked models, figures that a sync made old, intervals of new filters."""

from __future__ import annotations

import datetime as dt

from django.utils import timezone

from hubapp.catalog.models import Source, SyncRun
from hubapp.catalog.refreshing import marked_sources
from hubapp.filterdb.intervals import intervals_are_due
from hubapp.insights.models import Snapshot
from hubapp.jobs.models import Job
from hubapp.jobs.services import job_submit

# A model whose refresh fails keeps its mark; its hub is not asked every half minute.
REFRESH_PAUSE = dt.timedelta(minutes=15)
INSIGHTS_PAUSE = dt.timedelta(minutes=10)
# Analyses of many models come one after another; the intervals wait for some of them.
INTERVALS_PAUSE = dt.timedelta(minutes=15)


def upkeep_submit() -> int:
    """Submit what is due; returns how many jobs. Twice at once does no harm: the second finds the first one's job."""
    return _refreshes() + _insights() + _intervals()


def _refreshes() -> int:
    """A job for every source that has marked models, unless one was there a moment ago."""
    submitted = 0
    for source in marked_sources():
        if not _was_there("source_refresh", REFRESH_PAUSE, source=source):
            job_submit(kind="source_refresh", params={"source": source.pk})
            submitted += 1
    return submitted


def _insights() -> int:
    """A job for the figures of the whole hub, where a sync has ended since they were made."""
    newest = SyncRun.objects.filter(status=SyncRun.Status.SUCCEEDED).order_by("-finished_at").first()
    made = Snapshot.objects.order_by("-pk").first()
    if newest is None or newest.finished_at is None or (made is not None and made.made_at >= newest.finished_at):
        return 0
    if _was_there("hub_insights", INSIGHTS_PAUSE):
        return 0
    job_submit(kind="hub_insights")
    return 1


def _intervals() -> int:
    """A job for the intervals of the filter DB, where results came or went since they were made."""
    if not intervals_are_due() or _was_there("filter_intervals", INTERVALS_PAUSE):
        return 0
    job_submit(kind="filter_intervals")
    return 1


def _was_there(kind: str, pause: dt.timedelta, *, source: Source | None = None) -> bool:
    """Whether such a job is at work, or was submitted a moment ago."""
    jobs = Job.objects.filter(kind=kind)
    if source is not None:
        jobs = jobs.filter(params__source=source.pk)
    is_recent = jobs.filter(created_at__gt=timezone.now() - pause).exists()
    return is_recent or jobs.filter(status__in=(Job.Status.QUEUED, Job.Status.RUNNING)).exists()
