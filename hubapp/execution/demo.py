"""The demo: what it submits, how far it is, and whether it is complete."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import User

from hubapp.catalog.models import Dataset, DatasetRevision, Model, Revision
from hubapp.catalog.selectors import dataset_ref, model_ref
from hubapp.jobs.models import Job, Schedule
from hubapp.jobs.services import batch_submit, job_submit, schedule_save
from hubapp.results.models import Outcome
from hubapp.results.ranking import ranking_of
from workers.kit import ANALYSES

USER_NAME = "demo"
MODEL_KINDS = ("filterdb", "weights")
PAIR_KINDS = ("transferability", "fewshot")

Pair = tuple[Revision, DatasetRevision | None]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where the demo stands: jobs by state, what runs, and what failed (a sentence each)."""

    done: int = 0
    total: int = 0
    running: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to run."""
        return self.done >= self.total


def demo_user() -> tuple[User, str]:
    """The account that submits the demo; the password is given once, when it is created, and empty afterwards."""
    user, is_new = User.objects.get_or_create(username=USER_NAME, defaults={"is_staff": True, "is_superuser": True})
    if not is_new:
        return user, ""
    password = secrets.token_urlsafe(9)
    user.set_password(password)
    user.save(update_fields=["password"])
    return user, password


def _demo_models() -> list[Revision]:
    models = Model.objects.filter(source__kind="demo", archived_at__isnull=True, current_revision__isnull=False)
    return [
        model.current_revision for model in models.select_related("current_revision__model") if model.current_revision
    ]


def _demo_datasets() -> list[DatasetRevision]:
    rows = Dataset.objects.filter(archived_at__isnull=True, current_revision__isnull=False)
    return [
        dataset.current_revision
        for dataset in rows.select_related("current_revision__dataset")
        if dataset.current_revision
    ]


def wanted_pairs() -> Iterator[tuple[str, Pair]]:
    """Every (analysis, pair) of the demo that fits: each model through each analysis that can run on it."""
    datasets = _demo_datasets()
    for revision in _demo_models():
        model = model_ref(revision)
        for kind in MODEL_KINDS:
            if ANALYSES.get(kind).fits(model, None) is None:
                yield kind, (revision, None)
        for data in datasets:
            for kind in PAIR_KINDS:
                if ANALYSES.get(kind).fits(model, dataset_ref(data)) is None:
                    yield kind, (revision, data)


def demo_submit(*, requested_by: User) -> list[Job]:
    """Submit a parent job per analysis for what has neither a result nor an unfinished job."""
    for dataset_revision in _demo_datasets():
        job_submit(kind="dataset_profile", dataset_revision=dataset_revision, requested_by=requested_by)
    unfinished = Job.objects.filter(status__in=[Job.Status.QUEUED, Job.Status.RUNNING], is_parent=False)
    done = _with_outcome() | set(unfinished.values_list("kind", "revision_id", "dataset_revision_id"))
    by_kind: dict[str, list[Pair]] = {}
    for kind, (revision, data) in wanted_pairs():
        if (kind, revision.pk, data.pk if data else None) not in done:
            by_kind.setdefault(kind, []).append((revision, data))
    return [
        batch_submit(
            kind=kind,
            title=f"Demo: {ANALYSES.get(kind).title}",
            pairs=pairs,
            params={},
            requested_by=requested_by,
        )
        for kind, pairs in by_kind.items()
    ]


def demo_schedules(*, requested_by: User) -> None:
    """A nightly tidy-up, and the ranking of image models that are new, unless schedules of these names are there."""
    wanted: list[dict[str, Any]] = [
        {"title": "Tidy up", "cron": "30 3 * * *", "kind": "retention"},
        {
            "title": "New image models, every night",
            "cron": "0 2 * * *",
            "kind": "transferability",
            "search": "modality=image",
            "datasets": Dataset.objects.filter(archived_at__isnull=True, modality="image"),
        },
    ]
    for schedule in wanted:
        has_datasets = "datasets" not in schedule or schedule["datasets"].exists()
        if has_datasets and not Schedule.objects.filter(title=schedule["title"]).exists():
            schedule_save(timezone="UTC", requested_by=requested_by, **schedule)


def _with_outcome() -> set[tuple[str, int | None, int | None]]:
    """What was computed by the analyses as they are now, archived results included: they were hidden on purpose."""
    found = Outcome.objects.values_list("kind", "analysis_version", "revision_id", "dataset_revision_id")
    now = {entry.name: entry.version for entry in ANALYSES}
    return {(kind, revision, data) for kind, version, revision, data in found if now.get(kind) == version}


def demo_progress() -> Progress:
    """How far the demo's jobs are (all jobs that were ever submitted here, newest attempt of each piece of work)."""
    newest: dict[str, Job] = {}
    rows = Job.objects.filter(is_parent=False).select_related("revision__model", "dataset_revision__dataset")
    for job in rows.order_by("created_at"):
        newest[job.digest] = job
    jobs = list(newest.values())
    return Progress(
        done=sum(job.is_finished for job in jobs),
        total=len(jobs),
        running=[_running_words(job) for job in jobs if job.status == Job.Status.RUNNING],
        failed=[f"{job}: {job.error_message}" for job in jobs if job.status == Job.Status.FAILED],
    )


def _running_words(job: Job) -> str:
    if not job.progress_total:
        return str(job)
    return f"{job} ({job.progress_done} of {job.progress_total})"


def demo_missing() -> list[str]:
    """What the demo still lacks: a sentence for each (analysis, model, data set) that fits and has no outcome."""
    found = _with_outcome()
    missing = []
    for kind, (revision, data) in wanted_pairs():
        if (kind, revision.pk, data.pk if data else None) not in found:
            where = f" on {data.dataset.title}" if data else ""
            missing.append(f"{ANALYSES.get(kind).title} of {revision.model.title}{where} has no result.")
    return missing


def demo_findings() -> list[str]:
    """What was found, a sentence per data set that several models were ranked on."""
    rankings = [ranking_of(data.dataset) for data in _demo_datasets()]
    return [f"{ranking.dataset.title}: {ranking.sentence}" for ranking in rankings if len(ranking.places) > 1]
