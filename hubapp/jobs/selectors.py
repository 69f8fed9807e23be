"""Reading jobs and schedules: lists, counts by state, queue positions, what a job page shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Max, Q, QuerySet
from django.utils import timezone

from hubapp.catalog.models.model import is_insider
from hubapp.jobs.kinds import kind_get, kind_list, kind_title
from hubapp.jobs.models import Job, LogLine, Schedule
from hubapp.jobs.services import MOST_MODELS, claimable, runs_next, schedule_models
from hubapp.jobs.visibility import Person, children_visible_to, jobs_visible_to, links_cut, schedules_visible_to
from workers.kit import UserError

LOG_TAIL = 200
PAGE_ROWS = 50
STATES = tuple(Job.Status.values)


@dataclass(frozen=True, kw_only=True)
class JobQuery:
    """A search of the job list, as its URL holds it; what is not known is left aside.

    is_all  show the jobs of batches as rows of their own too; without it they stand behind their batch
    """

    status: str = ""
    kind: str = ""
    model: str = ""
    dataset: str = ""
    is_all: bool = False

    @classmethod
    def parse(cls, parameters: Mapping[str, str]) -> JobQuery:
        """Read the page's query."""
        status, kind = parameters.get("status", ""), parameters.get("kind", "")
        return cls(
            status=status if status in STATES else "",
            kind=kind if kind in {entry.name for entry in kind_list()} else "",
            model=parameters.get("model", "").strip().replace("\x00", "")[:120],
            dataset=parameters.get("dataset", "").strip().replace("\x00", "")[:120],
            is_all=parameters.get("all", "") in {"1", "on", "true"},
        )

    @property
    def sentence(self) -> str:
        """What is shown, in words."""
        kind = f"“{kind_title(self.kind)}” " if self.kind else ""
        what = f"{self.status} {kind}jobs".strip()
        of = f" of models named like “{self.model}”" if self.model else ""
        on = f" on data sets named like “{self.dataset}”" if self.dataset else ""
        are = (
            "each on its own" if self.is_all or self.model or self.dataset else "the jobs of a batch behind their batch"
        )
        text = f"{what}{of}{on}, {are}, newest first."
        return text[0].upper() + text[1:]


def job_list(query: JobQuery, user: Person) -> QuerySet[Job]:
    """The jobs that a search finds and this person may know of, newest first."""
    return _found(query, user).filter(Q(status=query.status) if query.status else Q())


def _found(query: JobQuery, user: Person) -> QuerySet[Job]:
    jobs = jobs_visible_to(user).select_related(
        "revision__model", "dataset_revision__dataset", "requested_by", "parent"
    )
    if query.kind:
        jobs = jobs.filter(kind=query.kind)
    if query.model:
        jobs = jobs.filter(
            Q(revision__model__slug__icontains=query.model) | Q(revision__model__title__icontains=query.model)
        )
    if query.dataset:
        jobs = jobs.filter(
            Q(dataset_revision__dataset__slug__icontains=query.dataset)
            | Q(dataset_revision__dataset__title__icontains=query.dataset)
        )
    if not (query.is_all or query.model or query.dataset):
        jobs = jobs.filter(parent__isnull=True)
    return jobs


def status_counts(query: JobQuery, user: Person) -> dict[str, int]:
    """How many jobs the search finds in each state, whichever state it asks for."""
    counts = dict.fromkeys(STATES, 0)
    rows = _found(query, user).order_by().values_list("status").annotate(number=Count("pk"))
    return counts | dict(rows)


def progress_of_parents(parents: Iterable[Job], user: Person) -> dict[UUID, dict[str, int]]:
    """For each of these batches how many of its jobs, linked ones included, are in each state; two queries.

    Jobs that this person may not know of do not count.
    """
    ids = [job.pk for job in parents if job.is_parent]
    counts: dict[UUID, dict[str, int]] = defaultdict(lambda: dict.fromkeys(STATES, 0))
    if not ids:
        return {}
    visible = children_visible_to(user)
    own = Job.objects.filter(visible, parent__in=ids).order_by().values_list("parent_id", "status")
    linked = Job.objects.filter(visible, linked_from__in=ids).order_by().values_list("linked_from", "status")
    for rows in (own, linked):
        for parent_id, status, number in rows.annotate(number=Count("pk")):
            if parent_id is not None:
                counts[parent_id][status] += number
    return {pk: counts[pk] for pk in ids}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A job as lists show it; a batch's progress counts its jobs."""

    job: Job
    kind_title: str
    done: int
    total: int
    failed: int = 0

    def plain(self) -> dict[str, Any]:
        """The row for the JSON twin."""
        return {**job_plain(self.job), "progress_done": self.done, "progress_total": self.total}


def job_rows(jobs: Iterable[Job], user: Person) -> list[Row]:
    """The jobs with their progress, without links to what this person may not know of."""
    listed = links_cut(jobs, user)
    counts = progress_of_parents(listed, user)
    rows = []
    for job in listed:
        done, total, failed = job.progress_done, job.progress_total, 0
        if job.is_parent:
            states = counts[job.pk]
            total, failed = sum(states.values()), states["failed"]
            done = sum(states[status] for status in Job.FINISHED)
        rows.append(Row(job=job, kind_title=kind_title(job.kind), done=done, total=total, failed=failed))
    return rows


def job_plain(job: Job) -> dict[str, Any]:
    """A job for JSON. A bug shows its sentence and reference only, as on the page."""
    return {
        "id": job.pk,
        "title": str(job),
        "kind": job.kind,
        "status": job.status,
        "is_batch": job.is_parent,
        "model": job.revision.model.slug if job.revision else None,
        "dataset": job.dataset_revision.dataset.slug if job.dataset_revision else None,
        "params": job.params,
        "seed": job.seed,
        "queue": job.queue,
        "attempt": job.attempt,
        "worker": job.worker,
        "device": job.device,
        "progress_done": job.progress_done,
        "progress_total": job.progress_total,
        "progress_note": job.progress_note,
        "error_kind": job.error_kind,
        "error_message": job.error_message,
        "error_reference": job.error_reference,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "parent": job.parent_id,
        "waits_for": job.waits_for_id,
        "url": job.get_absolute_url(),
    }


def job_detail(pk: UUID, user: Person) -> Job | None:
    """A job with all that its page names; None if there is none that this person may know of."""
    rows = jobs_visible_to(user).select_related(
        "revision__model", "dataset_revision__dataset", "requested_by", "parent", "waits_for", "schedule", "outcome"
    )
    job = rows.filter(pk=pk).first()
    if job is None:
        return None
    if job.schedule is not None and not schedules_visible_to(user).filter(pk=job.schedule.pk).exists():
        job.schedule = None
    return links_cut([job], user)[0]


def outcome_id(job: Job) -> UUID | None:
    """The id of the job's outcome. Results know jobs, not the other way round: only the id is passed on."""
    return getattr(getattr(job, "outcome", None), "pk", None)


def elapsed(job: Job) -> timedelta | None:
    """How long the job has run, or ran in its last attempt; None before it began."""
    if job.started_at is None or (job.status == Job.Status.QUEUED):
        return None
    return (job.finished_at or timezone.now()) - job.started_at


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a queued job stands, in words; `place` counts from 1 among those that may run now, None if it may not."""

    sentence: str
    place: int | None = None


def queue_position(job: Job, user: Person) -> Position | None:
    """Where a queued job stands, among those that this person may know of; None for any other job."""
    if job.status != Job.Status.QUEUED or job.is_parent:
        return None
    now = timezone.now()
    if job.waits_for is not None and job.waits_for.status != Job.Status.SUCCEEDED:
        return Position(sentence=f"Waits for “{job.waits_for}”, whose result it reads.")
    if job.not_before is not None and job.not_before > now:
        seconds = max(1, round((job.not_before - now).total_seconds()))
        return Position(
            sentence=f"Tried {job.attempt} of {settings.JOB_ATTEMPTS} times; the next attempt begins in {seconds} s."
        )
    waiting = claimable(Job.objects.filter(children_visible_to(user), queue=job.queue))
    place = waiting.filter(created_at__lt=job.created_at).count() + 1
    sentence = f"Number {place} of {max(place, waiting.count())} in the queue “{job.queue}”."
    if job.published_at is None:
        sentence += " The queue could not be reached yet; the job is kept and sent as soon as it answers."
    return Position(sentence=sentence, place=place)


def log_tail(job: Job, user: Person, *, with_errors: bool, lines: int = LOG_TAIL) -> list[LogLine]:
    """The last lines of the log in their order; tracebacks (level "error") only for staff.

    The log of a batch names the models that were left out, whoever may know of them: outsiders do not see it.
    """
    if job.is_parent and not is_insider(user):
        return []
    kept = job.log.all() if with_errors else job.log.exclude(level="error")
    return list(reversed(kept.order_by("-pk")[:lines]))


def child_list(job: Job, user: Person) -> list[Job]:
    """A batch's jobs: its own, then the linked ones that were there already; what failed or runs comes first."""
    jobs = Job.objects.filter(Q(parent=job) | Q(linked_from=job), children_visible_to(user)).distinct()
    order = {status: place for place, status in enumerate(("failed", "running", "queued", "cancelled", "succeeded"))}
    found = jobs.select_related("revision__model", "dataset_revision__dataset", "parent")
    return sorted(found, key=lambda child: (order[child.status], child.title))


def schedule_list(user: Person) -> QuerySet[Schedule]:
    """The schedules that this person may know of, by title, with how often each has run and when last.

    The two are `run_count` and `last_run_at`.
    """
    batches = Q(runs__is_parent=True)
    if not is_insider(user):
        of_schedules = jobs_visible_to(user).filter(is_parent=True, schedule__isnull=False)
        batches &= Q(runs__in=of_schedules.values("pk"))
    return (
        schedules_visible_to(user)
        .select_related("created_by")
        .annotate(run_count=Count("runs", filter=batches), last_run_at=Max("runs__created_at", filter=batches))
        .order_by("title", "pk")
    )


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a cron line and a time zone mean, or why they mean nothing."""

    sentence: str
    is_valid: bool
    runs: list[datetime] = field(default_factory=list)


def schedule_preview(cron: str, zone: str) -> Preview:
    """The next five runs of a cron line, or the sentence that says what is wrong with it."""
    try:
        runs = runs_next(cron, zone, after=timezone.now())
    except UserError as error:
        return Preview(sentence=error.message, is_valid=False)
    return Preview(sentence=f"The next {len(runs)} runs, in the time of {zone}:", is_valid=True, runs=runs)


def schedule_next(schedule: Schedule) -> list[datetime]:
    """The next five runs; none while the schedule is paused or its cron line is not valid any more."""
    return [] if schedule.is_paused else schedule_preview(schedule.cron, schedule.timezone).runs


def schedule_scope(schedule: Schedule, user: Person) -> str:
    """What the schedule covers now, of what this person may know of, in words."""
    try:
        needs = kind_get(schedule.kind).needs
    except UserError as error:
        return error.message
    parts, more = [], ""
    if "model" in needs:
        found = schedule_models(schedule)
        count = (found if is_insider(user) else found.filter(is_restricted=False)).count()
        if not count:
            return "Nothing at the moment: its search finds no model whose weights lie here."
        parts.append(f"{min(count, MOST_MODELS)} {'model' if count == 1 else 'models'}")
        if count > MOST_MODELS:
            more = f" It finds {count:,} models, and a run takes no more than {MOST_MODELS}: narrow its search."
    if "dataset" in needs:
        sets = schedule.datasets.filter(archived_at__isnull=True, current_revision__isnull=False).count()
        if not sets:
            return "Nothing at the moment: its data sets are archived."
        parts.append(f"{sets} {'data set' if sets == 1 else 'data sets'}")
    if not parts:
        return "A job of the site, on nothing in particular."
    return f"{' × '.join(parts)}; each run computes only what is new.{more}"


def schedule_plain(schedule: Schedule) -> dict[str, Any]:
    """A schedule for JSON."""
    return {
        "id": schedule.pk,
        "title": schedule.title,
        "cron": schedule.cron,
        "timezone": schedule.timezone,
        "kind": schedule.kind,
        "params": schedule.params,
        "search": schedule.search,
        "datasets": [dataset.slug for dataset in schedule.datasets.all()],
        "is_paused": schedule.is_paused,
        "next_runs": schedule_next(schedule),
        "url": schedule.get_absolute_url(),
    }
