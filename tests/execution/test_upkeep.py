"""What follows from a mark or a sync by itself: a job, once, and not again at once."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from hubapp.catalog.models import SyncRun
from hubapp.catalog.refreshing import refresh_request
from hubapp.catalog.sources import hub_add
from hubapp.execution.upkeep import upkeep_submit
from hubapp.insights.services import insights_refresh
from hubapp.jobs.models import Job
from tests.jobs.conftest import no_broker

__all__ = ["no_broker"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_broker")]


def test_nothing_follows_from_nothing() -> None:
    assert upkeep_submit() == 0


def test_a_mark_is_seen_to_once(django_assert_max_num_queries: Any) -> None:
    source = hub_add("https://hub.example")
    hub_add("https://other.example")
    refresh_request(source, names=["ada/net"])
    assert upkeep_submit() == 1
    job = Job.objects.get()
    assert (job.kind, job.params["source"]) == ("source_refresh", source.pk)
    with django_assert_max_num_queries(14):
        assert upkeep_submit() == 0
    # It failed, and its mark stands: its hub is asked again only after a while.
    Job.objects.update(status=Job.Status.FAILED, finished_at=timezone.now())
    assert upkeep_submit() == 0
    Job.objects.update(created_at=timezone.now() - dt.timedelta(hours=1))
    assert upkeep_submit() == 1


def test_the_figures_of_the_hub_follow_a_sync() -> None:
    source = hub_add("https://hub.example")
    run = SyncRun.objects.create(source=source, status=SyncRun.Status.SUCCEEDED, finished_at=timezone.now())
    assert upkeep_submit() == 1
    assert Job.objects.get().kind == "hub_insights"
    Job.objects.all().delete()
    insights_refresh()
    assert upkeep_submit() == 0
    run.finished_at = timezone.now()
    run.save()
    assert upkeep_submit() == 1
