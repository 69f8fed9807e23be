"""Starting what the pages offer: scoring chosen models, few-shot evaluations of the first of them."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib.auth.models import User
from django.db.models import Q
from django.http import QueryDict

from hubapp.catalog.models import Dataset, Model
from hubapp.jobs.models import Job
from hubapp.jobs.services import UNFINISHED, batch_submit, job_cancel
from hubapp.jobs.visibility import Person
from hubapp.results.evidence.base import evidence_base
from hubapp.results.evidence.kept import metrics_judged
from workers.kit import ANALYSES, METRICS, MetricEntry, UserError

KIND = "transferability"
TITLE = "Bring your data"
HEALTH = ("effective_rank", "sve")
MOST_FEWSHOT = 20


def metrics_for(dataset: Dataset, user: Person) -> tuple[str, ...]:
    """The metrics of a run unless others are chosen: the usual ones, those light ones that the evidence can blend, and
    feature health; of numbers every light one that orders models. Only such as have a meaning for the labels.
    """
    usual: tuple[str, ...] = tuple(getattr(ANALYSES.get(KIND).params(), "metrics", ()))
    base = evidence_base(user)
    light = {entry.name: entry for entry in metrics_offered(dataset) if entry.cost != "heavy"}
    judged = [name for name in metrics_judged(base, base.metrics()) if name in light]
    numbers = [name for name, entry in light.items() if entry.role == "ranking" and task_of(dataset) == "regression"]
    return tuple(name for name in dict.fromkeys([*usual, *judged, *numbers, *HEALTH]) if name in light)


def metrics_offered(dataset: Dataset) -> list[MetricEntry]:
    """The metrics that have a meaning for the labels: those that order models first, by title."""
    roles = ("ranking", "health", "part")
    fitting = (entry for entry in METRICS if task_of(dataset) in entry.tasks)
    return sorted(fitting, key=lambda entry: (roles.index(entry.role), entry.title.lower()))


def metrics_of(query: QueryDict, dataset: Dataset, user: Person) -> tuple[str, ...]:
    """The metrics that an address or form names, else the usual ones; UserError for one that does not fit."""
    named = tuple(dict.fromkeys(query.getlist("metrics")))
    known = {entry.name for entry in metrics_offered(dataset)}
    for name in named:
        if name not in known:
            raise UserError(
                f"There is no metric {name[:60]!r} for labels like these. Known: {', '.join(sorted(known))}.",
                field="metrics",
            )
    return named or metrics_for(dataset, user)


def task_of(dataset: Dataset) -> str:
    """What the labels are: "classification", "multi-label" or "regression"."""
    stated = dataset.current_revision.config.get("task") if dataset.current_revision else ""
    return next((one for one in (stated, dataset.task) if one in {"multi-label", "regression"}), "classification")


def scoring_begin(dataset: Dataset, models: Sequence[Model], *, metrics: Sequence[str], user: Person) -> Job:
    """One batch that scores these models; what is on its way or there already is linked, not computed again.

    A batch of the same person that does just this and has not ended is returned instead of a second one. Raises
    UserError where no model is named.
    """
    if not models:
        raise UserError("Choose at least one model.", field="models")
    wanted = {model.current_revision_id for model in models}
    for batch in batches_unfinished(dataset, user):
        if batch.params.get("metrics") == list(metrics) and wanted == _revisions_of(batch):
            return batch
    return batch_submit(
        kind=KIND,
        title=f"{TITLE}: {dataset.title}",
        pairs=[(model.current_revision, dataset.current_revision) for model in models],
        params={"metrics": list(metrics)},
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
