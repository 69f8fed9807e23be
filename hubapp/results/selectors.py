"""What was found: the newest outcome of each analysis for each model and data set. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from hubapp.catalog.models import Dataset, DatasetRevision, Model, Revision
from hubapp.catalog.models.model import is_insider
from hubapp.jobs.choices import models_here
from hubapp.jobs.models import Job
from hubapp.jobs.visibility import Person, has_open_base
from hubapp.results.models import Outcome, Score
from workers.kit import ANALYSES, METRICS, MetricEntry

MOST_UNMEASURED = 100  # models without a result in a ranking
# Columns of models that no page of this room shows and every row would carry.
HEAVY = ("facets", "search", "card_words", "tags", "dataset_names")


@dataclass(frozen=True, kw_only=True)
class Column:
    """A number that a ranking or a comparison shows for each model.

    key     identifier in URLs ("knn", "accuracy@8", "logme[variant=eleven_steps]")
    title   heading
    meaning one sentence, shown on the heading
    kind    the analysis that measures it
    metric, head, shots   which of its scores
    params  the metric's parameters that are not its defaults
    version of the metric; "" where there is none
    group   a key of GROUPS
    sign    −1 where lower is better
    digits  decimals shown
    """

    key: str
    title: str
    meaning: str
    kind: str
    metric: str
    head: str = ""
    shots: int | None = None
    params: tuple[tuple[str, Any], ...] = ()
    version: str = ""
    group: str = "ranking"
    sign: int = 1
    digits: int = 3

    @property
    def is_ranked(self) -> bool:
        """False where neither high nor low is better (feature health, parts of a combination)."""
        return self.group not in {"part", "health"}

    @property
    def words(self) -> str:
        """What stands on the heading: meaning, version and parameters."""
        said = [f"version {self.version}"] if self.version else []
        said += [f"{name} = {value}" for name, value in self.params]
        direction = " Lower is better." if self.sign < 0 and self.is_ranked else ""
        return f"{self.meaning}{direction}" + (f" ({', '.join(said)})" if said else "")


GROUPS = {
    "blend": "Blend",
    "ranking": "Metrics that order models",
    "accuracy": "Measured accuracy",
    "part": "Parts of published combinations",
    "health": "Describes the features",
}
RANKED_KINDS = ("fewshot", "transferability")
Params = tuple[tuple[str, Any], ...]


def metric_params(outcome: Outcome, metric: str) -> Params:
    """The parameters of a metric in an outcome that are not its defaults."""
    return tuple(sorted((outcome.params.get("params") or {}).get(metric, {}).items()))


def ranking_columns(outcomes: Iterable[Outcome] = (), *, by: str = "") -> list[Column]:
    """The columns of a ranking: metrics, few-shot accuracy at 8 and all labels, then what describes the features.

    Of the metrics those that are computed by default, those with a value in one of the outcomes, and the one named
    `by`; other parameters than the defaults have a column of their own. Groups follow each other as in GROUPS.
    """
    measured = {
        (score.metric, metric_params(one, score.metric))
        for one in outcomes
        if one.kind == "transferability"
        for score in one.scores.all()
    }
    defaults = getattr(ANALYSES.get("transferability").params(), "metrics", ())
    wanted = {*((name, ()) for name in (*defaults, by)), *measured}
    columns = [_metric_column(METRICS.get(name), params) for name, params in wanted if name in METRICS]
    for shots, words in ((8, "8 labels a class"), (0, "all labels of the training pool")):
        columns.append(
            Column(
                key=f"accuracy@{shots or 'all'}",
                title=f"Accuracy, {shots or 'all'} {'shots' if shots else 'labels'}",
                meaning=f"Share of test rows that logistic regression on the frozen features gets right, with {words}.",
                kind="fewshot",
                metric="accuracy",
                head="logistic",
                shots=shots,
                group="accuracy",
            )
        )
    order = list(GROUPS)
    return sorted(columns, key=lambda one: (order.index(one.group), one.shots == 0, one.metric, one.key))


def _metric_column(entry: MetricEntry, params: Params) -> Column:
    said = ", ".join(f"{name}={value}" for name, value in params)
    return Column(
        key=f"{entry.name}[{said}]" if said else entry.name,
        title=f"{entry.title} ({said})" if said else entry.title,
        meaning=entry.meaning,
        kind="transferability",
        metric=entry.name,
        params=params,
        version=entry.version,
        group=entry.role,
        sign=1 if entry.higher_is_better else -1,
    )


def outcomes_visible_to(user: Person) -> QuerySet[Outcome]:
    """The outcomes that this person may know of: for outsiders those of open models and of data sets alone."""
    if is_insider(user):
        return Outcome.objects.all()
    of_dataset = Q(revision__isnull=True, dataset_revision__isnull=False)
    return Outcome.objects.filter(Q(revision__model__is_restricted=False) | of_dataset, has_open_base())


def outcome_list(
    kind: str,
    *,
    user: Person,
    revisions: Iterable[Revision | int] = (),
    dataset_revision: DatasetRevision | None = None,
) -> list[Outcome]:
    """The newest unarchived outcome of each (revision, data set revision) of an analysis, of those `user` may know of.

    Newest by time. Costs three queries (outcomes, scores, artifacts).
    """
    rows = outcomes_visible_to(user).filter(kind=kind, archived_at__isnull=True)
    wanted = list(revisions)
    if wanted:
        rows = rows.filter(revision__in=wanted)
    if dataset_revision is not None:
        rows = rows.filter(dataset_revision=dataset_revision)
    rows = (
        rows.order_by("revision_id", "dataset_revision_id", "-created_at")
        .distinct("revision_id", "dataset_revision_id")
        .select_related("revision__model", "dataset_revision__dataset")
        .prefetch_related("scores", "artifacts")
    )
    return list(rows)


# Of one analysis: the outcomes of each model revision on one data set revision, newest first.
Measured = dict[int, list[Outcome]]


def outcomes_measured(
    kind: str,
    *,
    user: Person,
    revisions: Iterable[Revision | int] = (),
    dataset_revisions: Iterable[DatasetRevision | int] = (),
) -> dict[int, Measured]:
    """By data set revision and model revision, the unarchived outcomes of an analysis that `user` may know of.

    Newest first, the newest of each set of parameters: a run with other metrics does not hide what an earlier one
    found. Costs three queries (outcomes, scores, artifacts).
    """
    rows = outcomes_visible_to(user).filter(
        kind=kind, archived_at__isnull=True, revision__isnull=False, dataset_revision__isnull=False
    )
    for name, wanted in (("revision__in", list(revisions)), ("dataset_revision__in", list(dataset_revisions))):
        if wanted:
            rows = rows.filter(**{name: wanted})
    keys = ("revision_id", "dataset_revision_id", "params")
    rows = (
        rows.order_by(*keys, "-created_at")
        .distinct(*keys)
        .select_related("revision__model", "dataset_revision__dataset")
        .prefetch_related("scores", "artifacts")
        .defer("tables")
    )
    found: dict[int, Measured] = {}
    for one in sorted(rows, key=lambda row: row.created_at, reverse=True):
        found.setdefault(one.dataset_revision_id or 0, {}).setdefault(one.revision_id or 0, []).append(one)
    return found


def outcome_latest(kind: str, *, revision: Revision, dataset_revision: DatasetRevision | None = None) -> Outcome | None:
    """The newest unarchived outcome of one analysis for one model revision (and data set revision)."""
    return (
        Outcome.objects.filter(
            kind=kind, revision=revision, dataset_revision=dataset_revision, archived_at__isnull=True
        )
        .select_related("revision__model", "dataset_revision__dataset", "job")
        .prefetch_related("scores")
        .order_by("-created_at")
        .first()
    )


def score_of(outcomes: Iterable[Outcome], column: Column) -> Score | None:
    """The score that a column shows: of the first of these outcomes that has it; reads the prefetched scores."""
    for outcome in outcomes:
        if column.kind == "transferability" and metric_params(outcome, column.metric) != column.params:
            continue
        for score in outcome.scores.all():
            if score.metric == column.metric and score.head == column.head and score.shots == column.shots:
                return score
    return None


def jobs_unfinished(*, revision: Revision | None = None, dataset_revision: DatasetRevision | None = None) -> list[Job]:
    """Queued and running jobs of a model revision and/or a data set revision."""
    rows = Job.objects.filter(status__in=[Job.Status.QUEUED, Job.Status.RUNNING], is_parent=False)
    if revision is not None:
        rows = rows.filter(revision=revision)
    if dataset_revision is not None:
        rows = rows.filter(dataset_revision=dataset_revision)
    return list(rows.select_related("revision__model", "dataset_revision__dataset"))


def job_failed_last(kind: str, *, revision: Revision) -> Job | None:
    """The last job of one analysis of a model revision that ended, if it failed; None if it did not."""
    ended = Job.objects.filter(
        kind=kind, revision=revision, is_parent=False, status__in=[Job.Status.SUCCEEDED, Job.Status.FAILED]
    )
    last = ended.order_by("-finished_at").first()
    return last if last is not None and last.status == Job.Status.FAILED else None


def models_for(modality: str, *, user: Person, measured: Iterable[int] = ()) -> tuple[list[Model], int]:
    """The active models of a modality that can be run here or were measured, by slug; how many more there are.

    measured  revisions with a result, whose models are all taken; of the others the first MOST_UNMEASURED
    """
    here = models_here(user).filter(modality=modality).values_list("slug", "current_revision_id")
    known = set(measured)
    slugs = sorted(slug for slug, revision in here if revision not in known)
    wanted = Q(slug__in=slugs[:MOST_UNMEASURED]) | Q(current_revision__in=known)
    rows = Model.objects.visible_to(user).filter(wanted, archived_at__isnull=True, modality=modality)
    models = rows.select_related("current_revision").defer(*HEAVY)
    return sorted(models, key=lambda model: model.slug), max(0, len(slugs) - MOST_UNMEASURED)


def datasets_for(modality: str) -> list[Dataset]:
    """The active data sets of a modality, with their current revision."""
    return list(
        Dataset.objects.filter(archived_at__isnull=True, modality=modality, current_revision__isnull=False)
        .select_related("current_revision")
        .order_by("slug")
    )


def outcome_json(outcome: Outcome) -> dict[str, object]:
    """An outcome as its JSON twin shows it, whole."""
    return {
        "id": str(outcome.pk),
        "kind": outcome.kind,
        "analysis_version": outcome.analysis_version,
        "params": outcome.params,
        "model": outcome.revision.model.slug if outcome.revision else None,
        "model_revision": outcome.revision.digest if outcome.revision else None,
        "dataset": outcome.dataset_revision.dataset.slug if outcome.dataset_revision else None,
        "dataset_revision": outcome.dataset_revision.digest if outcome.dataset_revision else None,
        "created_at": outcome.created_at.isoformat(),
        "summary": outcome.summary,
        "scores": [score_json(score) for score in outcome.scores.all()],
        "tables": outcome.tables,
        "artifacts": [
            {"name": artifact.name, "sha256": artifact.digest, "size_bytes": artifact.size_bytes}
            for artifact in outcome.artifacts.all()
        ],
        "provenance": outcome.provenance,
    }


def score_json(score: Score) -> dict[str, object]:
    """A score as JSON twins show it."""
    return {
        "metric": score.metric,
        "head": score.head or None,
        "shots": "all" if score.shots == 0 else score.shots,
        "value": score.value,
        "low": score.low,
        "high": score.high,
        "interval": score.interval,
        "replicates": score.replicates,
        "note": score.note,
    }


def table_rows(outcome: Outcome, name: str) -> list[dict[str, object]]:
    """The rows of a stored table as dictionaries; empty if the outcome has no such table."""
    table = outcome.tables.get(name)
    if not table:
        return []
    columns: Sequence[str] = table["columns"]
    return [dict(zip(columns, row, strict=True)) for row in table["rows"]]
