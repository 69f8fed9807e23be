"""What the front page reads: counts, what runs now, the newest results. Each costs a constant number of queries."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.db.models import Count, F, IntegerField, Q, QuerySet, Sum
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce
from django.utils import timezone

from hubapp.catalog.models import Dataset, Model, Source
from hubapp.catalog.models.model import is_insider
from hubapp.catalog.search.counting import SMALL, catalogue
from hubapp.insights.models import Snapshot
from hubapp.jobs.models import Job
from hubapp.jobs.visibility import Person, jobs_visible_to
from workers.kit import ANALYSES

ACTIVE = (Job.Status.QUEUED, Job.Status.RUNNING)
PREPARATION = "features"  # computed for other analyses to read; not a finding of its own


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What is here. `parameters` and `filters` count each model's current revision once.

    parameters  None where nobody has counted them
    made_at     when models and parameters were counted; None: now
    """

    models: int
    parameters: int | None
    sources: int
    datasets: int
    analyses: int
    filters: int
    made_at: dt.datetime | None = None

    @property
    def about(self) -> str:
        """The sign before a number that may have changed since it was counted."""
        return "≈ " if self.made_at else ""


@dataclass(frozen=True, kw_only=True)
class Running:
    """What is running: the jobs that a worker holds, and how many more wait."""

    jobs: list[Job]
    running: int
    queued: int

    @property
    def unfinished(self) -> int:
        """Jobs that have not ended."""
        return self.running + self.queued

    @property
    def sentence(self) -> str:
        """What is shown, in words."""
        if not self.unfinished:
            return "Nothing is running."
        waits = f"{self.queued} {'waits' if self.queued == 1 else 'wait'} for a worker"
        if not self.running:
            return f"{waits}."
        text = f"{self.running} {'job runs' if self.running == 1 else 'jobs run'}"
        return f"{text}, {waits}." if self.queued else f"{text}."


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A finished analysis, in words: what was done to what, and what came out."""

    job: Job
    title: str
    sentence: str


def hub_counts(user: Person) -> Counts:
    """Models, parameters, sources, data sets, finished analyses, filters looked at; archived models do not count.

    Of large catalogues models and parameters stand in roll-ups: only what was analysed is counted anew.
    """
    models, parameters, made_at = _models(user)
    newest = (
        jobs_visible_to(user)
        .filter(
            kind="filterdb",
            status=Job.Status.SUCCEEDED,
            revision__model__archived_at__isnull=True,
            revision__model__current_revision=F("revision"),
            outcome__archived_at__isnull=True,
        )
        .order_by("revision_id", "-finished_at")
        .distinct("revision_id")
    )
    filters = newest.values_list(Cast(KeyTextTransform("filters", "outcome__summary"), IntegerField()), flat=True)
    return Counts(
        models=models,
        parameters=parameters,
        sources=Source.objects.count(),
        datasets=Dataset.objects.filter(archived_at__isnull=True).count(),
        analyses=_finished(user).count(),
        filters=sum(number or 0 for number in filters),
        made_at=made_at,
    )


def _models(user: Person) -> tuple[int, int | None, dt.datetime | None]:
    """Models and parameters; when they were counted, where that was not now."""
    state = catalogue()
    if state.is_small:
        found = Model.objects.visible_to(user).filter(archived_at__isnull=True)
        sums = found.aggregate(
            models=Count("pk"), parameters=Sum(Coalesce("parameters", "current_revision__parameters"))
        )
        return sums["models"], sums["parameters"] or 0, None
    snapshot = Snapshot.objects.order_by("-pk").only("made_at", "figures_all", "figures_open").first()
    if snapshot is None:
        rollup = state.rollup
        models = (rollup.models_all if is_insider(user) else rollup.models_open) if rollup else SMALL
        return models, None, rollup.made_at if rollup else timezone.now()
    figures = snapshot.figures_for(is_insider=is_insider(user))
    return figures["models"], figures["parameters"], snapshot.made_at


def _finished(user: Person) -> QuerySet[Job]:
    """Jobs whose outcome is shown to this person. It is reached by the job: this room imports no results."""
    return (
        jobs_visible_to(user)
        .filter(
            status=Job.Status.SUCCEEDED,
            is_parent=False,
            revision__model__archived_at__isnull=True,
            outcome__isnull=False,
            outcome__archived_at__isnull=True,
        )
        .exclude(kind=PREPARATION)
    )


def running_now(user: Person, *, limit: int = 5) -> Running:
    """What runs, of what this person may know of: the jobs, longest running first, and how many run and wait."""
    single = jobs_visible_to(user).filter(is_parent=False, status__in=ACTIVE)
    counts = single.aggregate(
        running=Count("pk", filter=Q(status=Job.Status.RUNNING)), queued=Count("pk", filter=Q(status=Job.Status.QUEUED))
    )
    jobs = single.filter(status=Job.Status.RUNNING).order_by("started_at")[:limit]
    return Running(jobs=list(jobs), running=counts["running"], queued=counts["queued"])


def finding_list(user: Person, *, limit: int = 8) -> list[Finding]:
    """The newest results in sentences."""
    jobs = _finished(user).select_related("revision__model", "dataset_revision__dataset", "outcome")
    return [
        Finding(
            job=job,
            title=ANALYSES.get(job.kind).title if job.kind in ANALYSES else job.kind,
            sentence=str(job.outcome.summary.get("sentence", "")),
        )
        for job in jobs.order_by("-finished_at")[:limit]
    ]
