"""Starting what the pages offer: scoring chosen models, few-shot evaluations of the first of them."""

from __future__ import annotations

from collections.abc import Sequence

from hubapp.catalog.models import Dataset, Model
from hubapp.jobs.models import Job
from hubapp.jobs.services import batch_submit
from hubapp.jobs.visibility import Person
from hubapp.results.evidence.base import evidence_base
from hubapp.results.evidence.kept import metrics_judged
from workers.kit import ANALYSES, METRICS, UserError

HEALTH = ("effective_rank", "sve")
MOST_FEWSHOT = 20


def metrics_for(dataset: Dataset, user: Person) -> tuple[str, ...]:
    """The metrics of a run: the usual ones, those light ones that the evidence can blend, and feature health.

    Of numbers and of several labels a row the usual ones alone; the analysis leaves out what it cannot compute.
    """
    usual: tuple[str, ...] = tuple(getattr(ANALYSES.get("transferability").params(), "metrics", ()))
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

    Raises UserError where no model is named.
    """
    if not models:
        raise UserError("Choose at least one model.", field="models")
    return batch_submit(
        kind="transferability",
        title=f"Bring your data: {dataset.title}",
        pairs=[(model.current_revision, dataset.current_revision) for model in models],
        params={"metrics": metrics_for(dataset, user)},
        requested_by=user,
    )


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
