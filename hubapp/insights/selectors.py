"""What the front page reads: counts, what runs now, the newest results. Each costs a constant number of queries."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, IntegerField, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from hubapp.catalog.models import Dataset, Model, Source
from hubapp.jobs.models import Job
from workers.kit import ANALYSES

ACTIVE = (Job.Status.QUEUED, Job.Status.RUNNING)
PREPARATION = "features"  # computed for other analyses to read; not a finding of its own


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What is here. `parameters` and `filters` count each model's current revision once."""

    models: int
    parameters: int
    sources: int
    datasets: int
    analyses: int
    filters: int


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


def hub_counts() -> Counts:
    """Models, parameters, sources, data sets, finished analyses, filters looked at; archived models do not count."""
    newest = Job.objects.filter(
        kind="filterdb",
        status=Job.Status.SUCCEEDED,
        revision=OuterRef("current_revision"),
        outcome__archived_at__isnull=True,
    ).order_by("-finished_at")
    filters = newest.annotate(number=Cast(KeyTextTransform("filters", "outcome__summary"), IntegerField())).values(
        "number"
    )[:1]
    models = (
        Model.objects.filter(archived_at__isnull=True)
        .annotate(filters=Subquery(filters))
        .aggregate(
            models=Count("pk"),
            parameters=Sum("current_revision__parameters"),
            looked_at=Sum("filters"),
        )
    )
    return Counts(
        models=models["models"],
        parameters=models["parameters"] or 0,
        sources=Source.objects.count(),
        datasets=Dataset.objects.filter(archived_at__isnull=True).count(),
        analyses=_finished().count(),
        filters=models["looked_at"] or 0,
    )


def _finished() -> QuerySet[Job]:
    """Jobs whose outcome is shown. The outcome is reached through the job's row: this room does not import results."""
    return Job.objects.filter(
        status=Job.Status.SUCCEEDED,
        is_parent=False,
        revision__model__archived_at__isnull=True,
        outcome__isnull=False,
        outcome__archived_at__isnull=True,
    ).exclude(kind=PREPARATION)


def running_now(*, limit: int = 5) -> Running:
    """The jobs that run, longest running first, and the counts of those that run and wait."""
    single = Job.objects.filter(is_parent=False, status__in=ACTIVE)
    counts = single.aggregate(
        running=Count("pk", filter=Q(status=Job.Status.RUNNING)), queued=Count("pk", filter=Q(status=Job.Status.QUEUED))
    )
    jobs = single.filter(status=Job.Status.RUNNING).order_by("started_at")[:limit]
    return Running(jobs=list(jobs), running=counts["running"], queued=counts["queued"])


def finding_list(*, limit: int = 8) -> list[Finding]:
    """The newest results in sentences."""
    jobs = _finished().select_related("revision__model", "dataset_revision__dataset", "outcome")
    return [
        Finding(
            job=job,
            title=ANALYSES.get(job.kind).title if job.kind in ANALYSES else job.kind,
            sentence=str(job.outcome.summary.get("sentence", "")),
        )
        for job in jobs.order_by("-finished_at")[:limit]
    ]
