"""Starting what the pages offer: scoring chosen models, few-shot evaluations of the first of them."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib.auth.models import User
from django.db.models import Q

from hubapp.catalog.models import Dataset, Model
from hubapp.jobs.models import Job
from hubapp.jobs.services import UNFINISHED, batch_submit, job_cancel
from hubapp.jobs.visibility import Person
from hubapp.results.evidence.base import evidence_base
from hubapp.results.evidence.kept import metrics_judged
from workers.kit import ANALYSES, METRICS, UserError

KIND = "transferability"
TITLE = "Bring your data"
HEALTH = ("effective_rank", "sve")
MOST_FEWSHOT = 20


def metrics_for(dataset: Dataset, user: Person) -> tuple[str, ...]:
    """The metrics of a run: the usual ones, those light ones that the evidence can blend, and feature health.

    Of numbers and of several labels a row the usual ones alone; the analysis leaves out what it cannot compute.
    """
    usual: tuple[str, ...] = tuple(getattr(ANALYSES.get(KIND).params(), "metrics", ()))
    if not has_classes(dataset):
        return usual
    base = evidence_base(user)
    judged = [
        name for name in metrics_judged(base, base.metrics()) if name in METRICS and METRICS.get(name).cost != "heavy"
    ]
    return tuple(dict.fromkeys([*usual, *judged, *(name for name in HEALTH if name in METRICS)]))


def has_classes(dataset: Dataset) -> bool:
    """Whether every row has one class, and not a number or several labels."""
    stated = dataset.current_revision.config.get("task") if dataset.current_revision else ""
    return not {dataset.task, stated} & {"multi-label", "regression"}


def scoring_begin(dataset: Dataset, models: Sequence[Model], *, user: Person) -> Job:
    """One batch that scores these models; what is on its way or there already is linked, not computed again.

    A batch of the same person that does just this and has not ended is returned instead of a second one. Raises
    UserError where no model is named.
    """
    if not models:
        raise UserError("Choose at least one model.", field="models")
    metrics = metrics_for(dataset, user)
    wanted = {model.current_revision_id for model in models}
    for batch in batches_unfinished(dataset, user):
        if batch.params.get("metrics") == list(metrics) and wanted == _revisions_of(batch):
            return batch
    return batch_submit(
        kind=KIND,
        title=f"{TITLE}: {dataset.title}",
        pairs=[(model.current_revision, dataset.current_revision) for model in models],
        params={"metrics": metrics},
        requested_by=user,
    )


def batches_unfinished(dataset: Dataset, user: Person) -> list[Job]:
    """The batches that this person began here on the data set's revision and that have not ended, newest first."""
    if not isinstance(user, User):
        return []
    of_data = Q(children__dataset_revision=dataset.current_revision_id) | Q(
        linked__dataset_revision=dataset.current_revision_id
    )
    batches = Job.objects.filter(
        of_data, is_parent=True, kind=KIND, title__startswith=f"{TITLE}: ", status__in=UNFINISHED, requested_by=user
    )
    return list(batches.distinct().order_by("-created_at"))


def _revisions_of(batch: Job) -> set[int | None]:
    jobs = Job.objects.filter(Q(parent=batch) | Q(linked_from=batch), kind=KIND)
    return set(jobs.values_list("revision_id", flat=True))


def scoring_cancel(dataset: Dataset, user: Person) -> int:
    """Cancel those batches, with what nobody else waits for; how many there were."""
    batches = batches_unfinished(dataset, user)
    for batch in batches:
        job_cancel(batch.pk, requested_by=user)
    return len(batches)


def fewshot_begin(dataset: Dataset, models: Sequence[Model], *, user: Person) -> Job:
    """One batch of few-shot evaluations of these models, by the usual protocol. Raises UserError for none or many."""
    if not models:
        raise UserError("No model has a score here yet: score some first.", field="k")
    if len(models) > MOST_FEWSHOT:
        raise UserError(
            f"{len(models)} models cannot be told apart there; few-shot evaluations begin with {MOST_FEWSHOT} at most. "
            "Choose a smaller number, or order by a column that separates more.",
            field="k",
        )
    return batch_submit(
        kind="fewshot",
        title=f"Few labels on {dataset.title}",
        pairs=[(model.current_revision, dataset.current_revision) for model in models],
        requested_by=user,
    )
