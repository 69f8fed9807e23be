"""Schedules: cron lines, time zones with their clock changes, what is due, what is covered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from hubapp.catalog.models import DatasetRevision
from hubapp.jobs.models import Job, Schedule
from hubapp.jobs.services import (
    job_claim,
    job_finish,
    runs_next,
    schedule_due_at,
    schedule_pause,
    schedule_run,
    schedule_save,
    schedules_submit_due,
)
from tests.jobs.rows import make_revision
from workers.kit import UserError

BERLIN = ZoneInfo("Europe/Berlin")


def texts(runs: list[datetime]) -> list[str]:
    return [run.isoformat() for run in runs]


def test_next_runs_are_in_the_time_zone() -> None:
    after = datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert texts(runs_next("30 2 * * *", "Europe/Berlin", after=after, count=2)) == [
        "2026-07-02T02:30:00+02:00",
        "2026-07-03T02:30:00+02:00",
    ]
    assert texts(runs_next("0 6 * * MON", "UTC", after=after, count=1)) == ["2026-07-06T06:00:00+00:00"]


def test_a_time_that_the_spring_change_skips_runs_right_after_it() -> None:
    # 29 March 2026: 02:00 becomes 03:00.
    runs = runs_next("30 2 * * *", "Europe/Berlin", after=datetime(2026, 3, 28, 12, tzinfo=BERLIN), count=2)
    assert texts(runs) == ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]


def test_a_time_that_the_autumn_change_repeats_runs_once() -> None:
    # 25 October 2026: 03:00 becomes 02:00.
    runs = runs_next("30 2 * * *", "Europe/Berlin", after=datetime(2026, 10, 24, 12, tzinfo=BERLIN), count=2)
    assert texts(runs) == ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]


@pytest.mark.parametrize(
    ("cron", "zone", "field", "says"),
    [
        ("every day", "UTC", "cron", "does not have five fields"),
        ("61 * * * *", "UTC", "cron", "not a cron line"),
        ("0 0 30 2 *", "UTC", "cron", "is not a cron line|never comes due"),
        ("0 0 * * *", "Europe/Atlantis", "timezone", "no time zone named"),
    ],
)
def test_a_wrong_cron_line_or_zone_is_named(cron: str, zone: str, field: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as error:
        runs_next(cron, zone, after=timezone.now())
    assert error.value.field == field


def test_of_many_missed_times_the_latest_counts_once() -> None:
    schedule = Schedule(cron="0 * * * *", timezone="UTC", last_due_at=datetime(2026, 1, 1, 0, tzinfo=UTC))
    now = datetime(2026, 1, 1, 5, 30, tzinfo=UTC)
    assert schedule_due_at(schedule, now=now) == datetime(2026, 1, 1, 5, tzinfo=UTC)
    schedule.last_due_at = datetime(2026, 1, 1, 5, tzinfo=UTC)
    assert schedule_due_at(schedule, now=now) is None
    # After a long standstill, also where the cron line comes due rarely.
    schedule.last_due_at = datetime(2025, 1, 1, tzinfo=UTC)
    assert schedule_due_at(schedule, now=now) == datetime(2026, 1, 1, 5, tzinfo=UTC)
    schedule.cron = "0 0 1 12 *"
    assert schedule_due_at(schedule, now=now) == datetime(2025, 12, 1, tzinfo=UTC)


@pytest.fixture
def schedule(queue: Any, dataset_revision: DatasetRevision, alice: Any) -> Schedule:
    make_revision("net-a")
    make_revision("net-b")
    make_revision("reader", modality="text")
    return schedule_save(
        title="Nightly",
        cron="0 2 * * *",
        timezone="UTC",
        kind="sample",
        search="?modality=image",
        datasets=[dataset_revision.dataset],
        requested_by=alice,
    )


def make_due(schedule: Schedule, days: int) -> None:
    Schedule.objects.filter(pk=schedule.pk).update(last_due_at=timezone.now() - timedelta(days=days))


@pytest.mark.django_db(transaction=True)
def test_a_due_schedule_runs_once_over_what_its_search_finds(schedule: Schedule) -> None:
    assert schedules_submit_due() == 0
    make_due(schedule, 3)
    assert schedules_submit_due() == 1
    assert schedules_submit_due() == 0
    run = Job.objects.get(is_parent=True)
    assert (run.schedule, run.requested_by) == (schedule, schedule.created_by)
    assert run.due_at is not None
    assert timezone.now() - run.due_at <= timedelta(days=1)
    children = run.children.all()
    assert {child.revision.model.slug for child in children if child.revision} == {"net-a", "net-b"}


@pytest.mark.django_db(transaction=True)
def test_only_what_is_new_is_computed(schedule: Schedule) -> None:
    first = schedule_run(schedule)
    for child in first.children.all():
        claim = job_claim(child.pk, worker="test")
        assert claim is not None
        job_finish(child.pk, token=claim.token, store=lambda job: None)
    make_revision("net-new")
    make_due(schedule, 1)
    assert schedules_submit_due() == 1
    run = schedule.runs.filter(is_parent=True).exclude(pk=first.pk).get()
    assert [child.revision.model.slug for child in run.children.all() if child.revision] == ["net-new"]
    assert run.linked.count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_paused_schedule_does_not_run_and_makes_up_for_nothing(schedule: Schedule) -> None:
    schedule_pause(schedule, is_paused=True)
    make_due(schedule, 3)
    assert schedules_submit_due() == 0
    schedule_pause(schedule, is_paused=False)
    assert schedules_submit_due() == 0


@pytest.mark.django_db(transaction=True)
def test_a_schedule_whose_parameters_are_refused_says_so_in_its_runs(schedule: Schedule) -> None:
    Schedule.objects.update(params={"colour": "red"})
    make_due(schedule, 1)
    assert schedules_submit_due() == 1
    run = Job.objects.get()
    assert (run.status, run.error_kind) == ("failed", "user")
    assert "no parameter 'colour'" in run.error_message
    assert schedules_submit_due() == 0


@pytest.mark.django_db
def test_saving_checks_every_field(dataset_revision: DatasetRevision) -> None:
    right: dict[str, Any] = {
        "title": "x", "cron": "0 2 * * *", "timezone": "UTC", "kind": "sample", "datasets": [dataset_revision.dataset],
    }  # fmt: skip
    wrong = {"cron": "x", "timezone": "Mars", "kind": "nothing", "datasets": []}
    for field, value in wrong.items():
        with pytest.raises(UserError) as error:
            schedule_save(**{**right, field: value})
        assert error.value.field == field
    assert not Schedule.objects.exists()
    assert schedule_save(**{**right, "cron": " 0  2 * * * "}).cron == "0 2 * * *"
