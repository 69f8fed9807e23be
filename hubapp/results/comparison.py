"""Two to six models side by side: facts, filters, and scores on every data set that one of them was measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.http import QueryDict

from hubapp.catalog.models import Dataset, Model
from hubapp.jobs.visibility import Person
from hubapp.results.models import Outcome, Score
from hubapp.results.pairing import Scored, pairs_of
from hubapp.results.selectors import (
    HEAVY,
    RANKED_KINDS,
    Column,
    Measured,
    outcomes_measured,
    outcomes_visible_to,
    ranking_columns,
    score_of,
)
from workers.kit import UserError

LEAST, MOST = 2, 6


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """One column of a data set over the compared models; `best` are the slugs that nothing shown beats separably."""

    column: Column
    scores: list[Score | None]
    models: list[Model]
    best: tuple[str, ...]
    sentence: str

    @property
    def cells(self) -> list[tuple[Model, Score | None]]:
        """Each model with its score."""
        return list(zip(self.models, self.scores, strict=True))


@dataclass(frozen=True, kw_only=True)
class DatasetComparison:
    """The compared models on one data set."""

    dataset: Dataset
    rows: list[ScoreRow]

    @property
    def has_curves(self) -> bool:
        """Whether a few-shot evaluation was measured."""
        return any(row.column.kind == "fewshot" for row in self.rows)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What the comparison page shows; lists follow the order of `models`."""

    models: list[Model]
    filters: list[Outcome | None]
    weights: list[Outcome | None]
    datasets: list[DatasetComparison]

    @property
    def curve_query(self) -> str:
        """The query of the few-shot page that shows these models under logistic regression."""
        return "?" + urlencode([("heads", "logistic"), *(("models", model.slug) for model in self.models)])

    @property
    def sentence(self) -> str:
        """What is shown, in words."""
        names = ", ".join(model.title for model in self.models)
        count = len(self.datasets)
        return f"{len(self.models)} models ({names}) over {count} data set{'' if count == 1 else 's'} with results."


def models_compared(slugs: Sequence[str], *, user: Person = None) -> list[Model]:
    """The models of these slugs with their current revisions, in this order; one query.

    Raises UserError for fewer than two, more than six, or unknown models: those that `user` may not know of are such.
    """
    wanted = list(dict.fromkeys(slug for slug in slugs if slug))
    if not LEAST <= len(wanted) <= MOST:
        raise UserError(f"Choose {LEAST} to {MOST} models to compare; {len(wanted)} are chosen.", field="models")
    by_slug = {
        model.slug: model
        for model in Model.objects.visible_to(user)
        .filter(slug__in=wanted, archived_at__isnull=True)
        .select_related("current_revision", "source")
        .defer(*HEAVY)
    }
    unknown = [slug for slug in wanted if slug not in by_slug]
    if unknown:
        raise UserError(f"There is no model {unknown[0]!r}. Look it up in the list of models.", field="models")
    return [by_slug[slug] for slug in wanted]


def outcomes_compared(
    models: Sequence[Model], kind: str, *, user: Person, with_tables: bool = False
) -> list[Outcome | None]:
    """The newest outcome of each model's current revision under one analysis, in the models' order; one query.

    Their tables are read only where they are asked for: they can be large.
    """
    rows = outcomes_visible_to(user).filter(
        kind=kind, archived_at__isnull=True, revision__in=[model.current_revision_id for model in models]
    )
    rows = rows.order_by("revision_id", "-created_at").distinct("revision_id").defer("provenance")
    found = {one.revision_id: one for one in (rows if with_tables else rows.defer("tables"))}
    return [found.get(model.current_revision_id) for model in models]


def slugs_compared(query: QueryDict) -> list[str]:
    """The models that an address names: `?models=a,b`, or the field several times."""
    return [slug.strip() for value in query.getlist("models") for slug in value.split(",") if slug.strip()]


def comparison_of(slugs: Sequence[str], *, user: Person = None) -> Comparison:
    """Compare the models of these slugs, in this order. Raises UserError as `models_compared` does."""
    models = models_compared(slugs, user=user)
    revisions = [model.current_revision for model in models if model.current_revision is not None]
    return Comparison(
        models=models,
        filters=outcomes_compared(models, "filterdb", user=user),
        weights=outcomes_compared(models, "weights", user=user),
        datasets=_datasets(models, [revision.pk for revision in revisions], user),
    )


def _datasets(models: Sequence[Model], revisions: Sequence[int], user: Person) -> list[DatasetComparison]:
    if not revisions:
        return []
    found = {kind: outcomes_measured(kind, user=user, revisions=revisions) for kind in RANKED_KINDS}
    datasets: dict[int, Dataset] = {}
    for measured in found.values():
        for key, outcomes in measured.items():
            data = next(iter(outcomes.values()))[0].dataset_revision
            if data is not None and data.dataset.current_revision_id == key:
                datasets[key] = data.dataset
    columns = ranking_columns(
        one for key in datasets for rows in found["transferability"].get(key, {}).values() for one in rows
    )
    compared = []
    for key, dataset in sorted(datasets.items(), key=lambda item: item[1].slug):
        rows = [
            row
            for column in columns
            if (row := _row(models, column=column, measured=found[column.kind].get(key, {}))) is not None
        ]
        compared.append(DatasetComparison(dataset=dataset, rows=rows))
    return compared


def _row(models: Sequence[Model], *, column: Column, measured: Measured) -> ScoreRow | None:
    scores = [score_of(measured.get(model.current_revision_id or 0, []), column) for model in models]
    scored = [
        Scored(slug=model.slug, title=model.title, score=score)
        for model, score in zip(models, scores, strict=True)
        if score is not None and score.value is not None
    ]
    if not scored:
        return None
    if not column.is_ranked:
        sentence = "It describes the features: neither high nor low is better."
        if column.group == "part":
            sentence = "It is a part of a published combination over many models: by itself it orders nothing."
        return ScoreRow(column=column, models=list(models), scores=scores, best=(), sentence=sentence)
    scored.sort(key=lambda one: -column.sign * (one.score.value or 0.0))
    pairs = pairs_of(scored, column=column)
    leader = scored[0].slug
    best = [leader]
    best += [names[1] for names, pair in pairs.differences.items() if names[0] == leader and not pair.is_separable]
    return ScoreRow(
        column=column,
        models=list(models),
        scores=scores,
        best=tuple(best),
        sentence=_sentence(scored, best, unpaired=pairs.unpaired),
    )


def _sentence(scored: Sequence[Scored], best: Sequence[str], *, unpaired: str) -> str:
    if len(scored) == 1:
        return f"Only {scored[0].title} was measured."
    if unpaired:
        return f"{scored[0].title} leads. {unpaired}"
    titles = {one.slug: one.title for one in scored}
    if len(best) == 1:
        return f"{titles[best[0]]} leads, separable from the rest."
    if len(best) == len(scored):
        return "Not separable."
    return f"{titles[best[0]]} leads, not separable from {', '.join(titles[slug] for slug in best[1:])}."
