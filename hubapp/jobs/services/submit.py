"""Submitting: parameters are validated, twins are found, the row is made, the bell is rung after the commit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now

from hubapp.catalog.models import DatasetRevision, Revision
from hubapp.catalog.selectors import dataset_ref, model_ref, revision_named
from hubapp.jobs.kinds import kind_get, params_clean
from hubapp.jobs.models import Job, LogLine, Schedule
from hubapp.jobs.services.queue import job_publish
from hubapp.jobs.services.transitions import UNFINISHED, parent_close
from workers.kit import DatasetRef, JobEntry, ModelRef, Spec, UserError, digest_of

TwinKind = Literal["", "active", "finished"]
Pair = tuple[Revision | None, DatasetRevision | None]


@dataclass(frozen=True, kw_only=True)
class Submission:
    """The job that stands for a request.

    is_new     the job was made by this request
    twin_kind  "active" or "finished" when an equal job was there already, else ""
    """

    job: Job
    is_new: bool
    twin_kind: TwinKind = ""


@dataclass(frozen=True, kw_only=True)
class _Request:
    """A request whose parameters are clean and that fits."""

    entry: JobEntry
    spec: Spec
    revision: Revision | None
    dataset_revision: DatasetRevision | None
    seed: int

    @property
    def params(self) -> dict[str, Any]:
        """The parameters with every default written out."""
        return self.spec.model_dump(mode="json")

    @property
    def digest(self) -> str:
        """Equal work, equal digest: kind, version, parameters, revisions, seed."""
        revision, dataset = self.revision, self.dataset_revision
        return digest_of(
            {
                "kind": self.entry.name,
                "version": self.entry.version,
                "params": self.params,
                "model": f"{revision.model.slug}@{revision.digest}" if revision else None,
                "dataset": f"{dataset.dataset.slug}@{dataset.digest}" if dataset else None,
                "seed": self.seed,
            }
        )

    @property
    def title(self) -> str:
        """What people call the job: "Few-shot curves of SqueezeNet on Digits"."""
        of = f" of {self.revision.model.title}" if self.revision else ""
        if self.dataset_revision is None:
            return f"{self.entry.title}{of}"[:300]
        join = "on" if self.revision else "of"
        return f"{self.entry.title}{of} {join} {self.dataset_revision.dataset.title}"[:300]


def job_submit(
    *,
    kind: str,
    params: dict[str, Any] | None = None,
    revision: Revision | None = None,
    dataset_revision: DatasetRevision | None = None,
    requested_by: User | AnonymousUser | None = None,
    parent: Job | None = None,
    schedule: Schedule | None = None,
    due_at: datetime | None = None,
    rerun: bool = False,
    seed: int = 0,
) -> Submission:
    """The job for this work: a new one, or its twin where one is queued, running or (unless `rerun`) succeeded already.

    The job that this kind waits for is submitted first. Nothing is sent before the commit; when the broker is down,
    the row stays queued and the ticker sends it. Raises UserError (with the field) when the parameters are wrong, the
    model or data set is missing, a further model is unknown, or the kind does not fit them.
    """
    entry = kind_get(kind)
    request = _Request(
        entry=entry,
        spec=params_clean(entry, params).with_models(_pinned),
        revision=revision if "model" in entry.needs else None,
        dataset_revision=dataset_revision if "dataset" in entry.needs else None,
        seed=seed,
    )
    if reason := misfit(entry, revision, dataset_revision):
        raise UserError(reason, field="model" if "model" in entry.needs else None)
    if refusal := _refusal(request):
        raise refusal
    user = requested_by if isinstance(requested_by, User) else None
    with transaction.atomic():
        submission = _submit(request, user=user, parent=parent, schedule=schedule, due_at=due_at, rerun=rerun)
        if submission.is_new:
            transaction.on_commit(lambda: job_publish([submission.job.pk]))
    return submission


def _pinned(name: str) -> str:
    """A further model's name with its revision, so that equal parameters mean equal work."""
    revision = revision_named(name)
    return f"{revision.model.slug}@{revision.digest}"


def misfit(entry: JobEntry, revision: Revision | None, dataset_revision: DatasetRevision | None) -> str | None:
    """Why a kind cannot run on this pair, as a sentence that says what to do; None if it can."""
    model: ModelRef | None = None
    dataset: DatasetRef | None = None
    if "model" in entry.needs:
        if revision is None:
            return f"{entry.title} needs a model. Choose one."
        if revision.error_message:
            return f"The weights of {revision.model.title} cannot be read: {revision.error_message}"
        model = model_ref(revision) if revision.is_local or entry.reads_by_range else None
        if model is None or not (revision.is_local or model.hub):
            return f"The weights of {revision.model.title} do not lie here. Bring them here, then sync their source."
    if "dataset" in entry.needs:
        if dataset_revision is None:
            return f"{entry.title} needs a data set. Choose one."
        dataset = dataset_ref(dataset_revision)
    return entry.fits(model, dataset)


def _refusal(request: _Request) -> UserError | None:
    """What a kind has against parameters, before anything is queued."""
    data = dataset_ref(request.dataset_revision) if request.dataset_revision else None
    return request.entry.refuses(request.spec, data, Path(settings.FEATURES_DIR))


def _twin(request: _Request, *, rerun: bool) -> Submission | None:
    """The job that does, or did, the same work; failed and cancelled ones never count."""
    equals = Job.objects.filter(digest=request.digest, is_parent=False)
    if job := equals.filter(status__in=UNFINISHED).first():
        return Submission(job=job, is_new=False, twin_kind="active")
    if request.entry.reuse == "result" and not rerun:
        # The row must stand for this model, not for another one that had its name before.
        same = Q(revision=request.revision) & Q(dataset_revision=request.dataset_revision)
        if job := equals.filter(same, status=Job.Status.SUCCEEDED).order_by("-finished_at").first():
            return Submission(job=job, is_new=False, twin_kind="finished")
    return None


def _submit(
    request: _Request,
    *,
    user: User | None,
    parent: Job | None,
    schedule: Schedule | None,
    due_at: datetime | None,
    rerun: bool,
) -> Submission:
    """Twin or new row, within the caller's transaction; the unique constraint settles a race of two equal requests."""
    if twin := _twin(request, rerun=rerun):
        return twin
    entry = request.entry
    waits_for: Job | None = None
    if entry.waits_for:
        waits_for = _awaited(request, user=user, parent=parent)
    for _ in range(5):
        try:
            with transaction.atomic():
                job = Job.objects.create(
                    kind=entry.name,
                    title=request.title,
                    params=request.params,
                    digest=request.digest,
                    analysis_version=entry.version,
                    revision=request.revision,
                    dataset_revision=request.dataset_revision,
                    parent=parent,
                    waits_for=waits_for,
                    requested_by=user,
                    schedule=schedule,
                    due_at=due_at,
                    seed=request.seed,
                    queue=entry.queue,
                    time_limit_seconds=min(entry.time_limit_seconds, settings.JOB_TIME_LIMIT_SECONDS),
                )
            return Submission(job=job, is_new=True)
        except IntegrityError as error:
            if "job_one_active_twin" not in str(error):
                raise
            if twin := _twin(request, rerun=rerun):
                return twin
            # The twin ended, without a result, between the two look-ups: try again.
    raise UserError("The same job keeps being started and stopped at this moment. Try again in a few seconds.")


def _awaited(request: _Request, *, user: User | None, parent: Job | None) -> Job:
    """The job whose result this one reads: same model and data set, submitted now unless it is there already."""
    entry = request.entry
    awaited = kind_get(entry.waits_for or "")
    wanted = entry.waits_for_params(request.spec) if entry.waits_for_params else {}
    if reason := misfit(awaited, request.revision, request.dataset_revision):
        raise UserError(reason, field="model")
    before = _Request(
        entry=awaited,
        spec=params_clean(awaited, wanted),
        revision=request.revision if "model" in awaited.needs else None,
        dataset_revision=request.dataset_revision if "dataset" in awaited.needs else None,
        seed=0,
    )
    submission = _submit(before, user=user, parent=parent, schedule=None, due_at=None, rerun=False)
    if submission.is_new:
        transaction.on_commit(lambda: job_publish([submission.job.pk]))
    return submission.job


def batch_submit(
    *,
    kind: str,
    title: str,
    pairs: Iterable[Pair],
    params: dict[str, Any] | None = None,
    requested_by: User | AnonymousUser | None = None,
    schedule: Schedule | None = None,
    due_at: datetime | None = None,
    seed: int = 0,
) -> Job:
    """A parent row with one child for each pair that fits; twins are linked instead of computed again.

    Why a pair does not fit stands in the parent's log. The parent ends with its last child, at once where nothing is
    left to compute. Raises UserError when the kind or its parameters are wrong, IntegrityError for a second
    (schedule, due_at).
    """
    entry = kind_get(kind)
    spec = params_clean(entry, params).with_models(_pinned)
    user = requested_by if isinstance(requested_by, User) else None
    new: list[Job] = []
    linked: list[Job] = []
    lines: list[tuple[str, str]] = []
    with transaction.atomic():
        parent = Job.objects.create(
            kind=entry.name,
            title=title[:300],
            params=spec.model_dump(mode="json"),
            digest=digest_of({"batch": entry.name, "title": title}),
            analysis_version=entry.version,
            is_parent=True,
            status=Job.Status.RUNNING,
            started_at=Now(),
            requested_by=user,
            schedule=schedule,
            due_at=due_at,
            seed=seed,
            queue=entry.queue,
        )
        # Every batch takes its pairs in the same order, so that two of them cannot wait for each other's rows.
        for revision, dataset_revision in sorted(pairs, key=_pair_key):
            request = _Request(
                entry=entry,
                spec=spec,
                revision=revision if "model" in entry.needs else None,
                dataset_revision=dataset_revision if "dataset" in entry.needs else None,
                seed=seed,
            )
            if reason := misfit(entry, revision, dataset_revision):
                lines.append(("warning", f"{request.title} was left out: {reason}"))
                continue
            if refusal := _refusal(request):
                lines.append(("warning", f"{request.title} was left out: {refusal.message}"))
                continue
            try:
                submission = _submit(request, user=user, parent=parent, schedule=schedule, due_at=None, rerun=False)
            except UserError as error:
                lines.append(("warning", f"{request.title} was left out: {error.message}"))
                continue
            (new if submission.is_new else linked).append(submission.job)
        parent.linked.add(*linked)
        lines.append(("info", _batch_sentence(new, linked, left_out=len(lines))))
        LogLine.objects.bulk_create(LogLine(job=parent, level=level, text=text) for level, text in lines)
        transaction.on_commit(lambda: _batch_begin(parent, new))
    parent.refresh_from_db()
    return parent


def _batch_begin(parent: Job, new: list[Job]) -> None:
    job_publish([job.pk for job in new])
    # Linked jobs may have ended before the link was committed, and with nothing to compute there is no last child.
    parent_close(parent.pk)


def _pair_key(pair: Pair) -> tuple[int, int]:
    revision, dataset_revision = pair
    return (dataset_revision.pk if dataset_revision else 0, revision.pk if revision else 0)


def _batch_sentence(new: list[Job], linked: list[Job], *, left_out: int) -> str:
    finished = sum(job.status == Job.Status.SUCCEEDED for job in linked)
    parts = [f"{len(new)} to compute"]
    if finished:
        parts.append(f"{finished} there already")
    if active := len(linked) - finished:
        parts.append(f"{active} on the way already")
    if left_out:
        parts.append(f"{left_out} left out because they do not fit")
    return ", ".join(parts) + "."
