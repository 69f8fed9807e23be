"""Schedules: a cron line and a time zone → a batch over a search × data sets."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from django.contrib.auth.models import AnonymousUser, User
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone as clock

from hubapp.catalog.filters import ModelQuery
from hubapp.catalog.models import Dataset, DatasetRevision, Model, Revision
from hubapp.catalog.search.matching import matches
from hubapp.catalog.selectors import revisions_for_refs
from hubapp.jobs.kinds import kind_get, params_clean
from hubapp.jobs.models import Job, Schedule
from hubapp.jobs.services.submit import Pair, batch_submit
from workers.kit import UserError, digest_of

logger = logging.getLogger(__name__)

NEXT_SHOWN = 5
MOST_MODELS = 500  # of one run
CRON_HELP = (
    "Write five fields: minute, hour, day of month, month, day of week. “30 2 * * *” is 02:30 each day, “0 6 * * MON” "
    "06:00 each Monday, “*/15 * * * *” every quarter of an hour."
)


def zone_get(name: str) -> ZoneInfo:
    """The time zone of that name; raises UserError (field "timezone") if there is none."""
    if name not in available_timezones():
        raise UserError(
            f"There is no time zone named {name!r}. Use a name such as Europe/Berlin or UTC.", field="timezone"
        )
    return ZoneInfo(name)


def cron_check(cron: str) -> None:
    """Raise UserError (field "cron") unless this is a cron line of five fields that ever comes due."""
    if len(cron.split()) != 5:
        raise UserError(f"{cron!r} does not have five fields. {CRON_HELP}", field="cron")
    try:
        next(CronSim(cron, clock.now()))
    except CronSimError as error:
        raise UserError(f"{cron!r} is not a cron line ({str(error).lower()}). {CRON_HELP}", field="cron") from None
    except StopIteration:
        raise UserError(f"{cron!r} never comes due: there is no such day. {CRON_HELP}", field="cron") from None


def runs_next(cron: str, timezone: str, *, after: datetime, count: int = NEXT_SHOWN) -> list[datetime]:
    """The next due times after `after`, in the time zone; raises UserError when cron line or time zone is wrong.

    Clock changes follow Debian's cron: a time that is skipped runs right after the change, one that comes twice runs
    once.
    """
    zone = zone_get(timezone)
    cron_check(cron)
    return list(islice(CronSim(cron, after.astimezone(zone)), count))


def schedule_due_at(schedule: Schedule, *, now: datetime) -> datetime | None:
    """The latest time up to `now` at which the schedule came due and has not run; None if there is none.

    However many times were missed, only the latest one counts.
    """
    zone = zone_get(schedule.timezone)
    base = schedule.last_due_at or schedule.created_at
    # After a long standstill the last days say it sooner than a walk from the beginning.
    for start in (max(base, now - timedelta(days=2)), base):
        due = None
        for candidate in CronSim(schedule.cron, start.astimezone(zone)):
            if candidate > now:
                break
            due = candidate
        if due is not None:
            return due
    return None


def schedule_save(
    *,
    schedule: Schedule | None = None,
    title: str,
    cron: str,
    timezone: str,
    kind: str,
    params: dict[str, Any] | None = None,
    search: str = "",
    datasets: Iterable[Dataset] = (),
    requested_by: User | AnonymousUser | None = None,
) -> Schedule:
    """Create or change a schedule; times before now never count as missed. Raises UserError with the field at fault."""
    runs_next(cron, timezone, after=clock.now(), count=1)
    entry = kind_get(kind)
    chosen = list(datasets)
    if "dataset" in entry.needs and not chosen:
        raise UserError(f"{entry.title} needs a data set. Choose at least one.", field="datasets")
    row = schedule or Schedule()
    row.title, row.cron, row.timezone, row.kind = title, " ".join(cron.split()), timezone, kind
    row.params = params_clean(entry, params).model_dump(mode="json")
    row.search = search.lstrip("?")
    row.last_due_at = clock.now()
    if row.created_by_id is None and requested_by is not None and requested_by.is_authenticated:
        row.created_by_id = requested_by.pk
    with transaction.atomic():
        row.save()
        row.datasets.set(chosen)
    return row


def schedule_pause(schedule: Schedule, *, is_paused: bool) -> None:
    """Pause or resume; what came due during the pause is not made up for."""
    Schedule.objects.filter(pk=schedule.pk).exclude(is_paused=is_paused).update(is_paused=is_paused, last_due_at=Now())
    schedule.refresh_from_db()


def schedule_models(schedule: Schedule) -> QuerySet[Model]:
    """The models that a schedule finds: those of its search that are active and whose weights lie here."""
    found = matches(ModelQuery.parse(schedule.search))
    return Model.objects.filter(found, archived_at__isnull=True, current_revision__is_local=True).order_by()


def schedule_pairs(schedule: Schedule) -> list[Pair]:
    """The pairs that a run covers now: current revisions of the models it finds × those of its data sets.

    Of more than MOST_MODELS models, those that came here first.
    """
    needs = kind_get(schedule.kind).needs
    revisions: list[Revision | None] = [None]
    datasets: list[DatasetRevision | None] = [None]
    if "model" in needs:
        ids = sorted(schedule_models(schedule).values_list("current_revision_id", flat=True))[:MOST_MODELS]
        revisions = list(revisions_for_refs(Revision.objects.filter(pk__in=ids).order_by("pk")))
    if "dataset" in needs:
        chosen = schedule.datasets.filter(archived_at__isnull=True).select_related("current_revision__dataset")
        datasets = [dataset.current_revision for dataset in chosen if dataset.current_revision]
    return [(revision, dataset) for revision in revisions for dataset in datasets]


def schedule_run(
    schedule: Schedule,
    *,
    due_at: datetime | None = None,
    requested_by: User | AnonymousUser | None = None,
) -> Job:
    """Submit the schedule's batch, now or for a due time; only what is new is computed."""
    when = (due_at or clock.now()).astimezone(zone_get(schedule.timezone))
    return batch_submit(
        kind=schedule.kind,
        title=f"{schedule.title}, {when:%-d %b %Y %H:%M}",
        pairs=schedule_pairs(schedule),
        params=schedule.params,
        requested_by=requested_by or schedule.created_by,
        schedule=schedule,
        due_at=due_at,
    )


def schedules_submit_due() -> int:
    """Run what has come due, once each, however many tickers ask; returns how many batches were submitted."""
    count = 0
    for schedule in Schedule.objects.filter(is_paused=False).select_related("created_by"):
        try:
            due_at = schedule_due_at(schedule, now=clock.now())
            if due_at is not None:
                count += _submit_due(schedule, due_at)
        except UserError as error:
            logger.warning("Schedule %s (%s): %s", schedule.pk, schedule, error)
        except IntegrityError:
            logger.info("Schedule %s: another ticker was first", schedule.pk)
    return count


def _submit_due(schedule: Schedule, due_at: datetime) -> bool:
    with transaction.atomic():
        row = Schedule.objects.filter(pk=schedule.pk, is_paused=False, last_due_at=schedule.last_due_at)
        if schedule.last_due_at is None:
            row = Schedule.objects.filter(pk=schedule.pk, is_paused=False, last_due_at__isnull=True)
        if not row.update(last_due_at=due_at):
            return False
        try:
            with transaction.atomic():
                schedule_run(schedule, due_at=due_at)
        except UserError as error:
            _run_refused(schedule, due_at, error)
    return True


def _run_refused(schedule: Schedule, due_at: datetime, error: UserError) -> None:
    """A row that says why a due run could not be submitted, so that the schedule's page shows it."""
    Job.objects.create(
        kind=schedule.kind,
        title=f"{schedule.title}, not submitted",
        params=schedule.params,
        digest=digest_of({"schedule": schedule.pk, "due_at": due_at.isoformat()}),
        is_parent=True,
        schedule=schedule,
        due_at=due_at,
        requested_by=schedule.created_by,
        status=Job.Status.FAILED,
        started_at=Now(),
        finished_at=Now(),
        error_kind=Job.ErrorKind.USER,
        error_message=error.message,
    )
