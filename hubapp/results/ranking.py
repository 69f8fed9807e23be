"""The ranking of models on one data set: their scores, and which places mean nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from django.db.models import Prefetch

from hubapp.catalog.models import Dataset, DatasetRevision, Model, Revision, Tensor
from hubapp.catalog.selectors import dataset_ref, model_ref
from hubapp.jobs.visibility import Person
from hubapp.results.blending import BLEND, BlendShown, blend_shown, compared
from hubapp.results.evidence.base import Base, evidence_base
from hubapp.results.evidence.kept import Mark, marks_of
from hubapp.results.models import Score
from hubapp.results.pairing import Pairs, Scored
from hubapp.results.selectors import (
    GROUPS,
    RANKED_KINDS,
    Column,
    Measured,
    jobs_unfinished,
    models_for,
    outcomes_measured,
    ranking_columns,
    score_of,
)
from hubapp.results.truth import Truth, truth_of
from workers.kit import ANALYSES, UserError
from workers.statistics.ranks import place_ranges, rank_agreement


@dataclass(frozen=True, kw_only=True)
class Place:
    """One model's row of a ranking.

    scores    by column key; a missing key means not run
    best, worst   the places it can hold, given what can be told apart; None without a score
    not_separable   slugs of the models that cannot be told apart from it
    reason    why nothing can be computed for it, where that is so
    is_running   a job of it on this data set is queued or running
    """

    model: Model
    scores: dict[str, Score]
    best: int | None = None
    worst: int | None = None
    not_separable: tuple[str, ...] = ()
    reason: str = ""
    is_running: bool = False


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The models of a data set in the order of one column, best first; those without a score at the end."""

    dataset: Dataset
    columns: list[Column]
    by: Column
    places: list[Place]
    left_out: list[Place] = field(default_factory=list)
    more: int = 0  # models that could be run and are not shown
    agreement: dict[str, float | None] = field(
        default_factory=dict
    )  # τ-b of the columns that rank with the sort column
    convention: str = ""
    pairs_kind: str = ""  # how pairs were compared, in words
    unpaired: str = ""  # why they were not, in a sentence
    blend: BlendShown | None = None
    marks: Mapping[str, Mark] = field(default_factory=dict)  # by column key, what the evidence says of its metric
    truth: Truth | None = None  # how the sort column agrees with accuracies measured here

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Headings over the columns, each with how many it spans."""
        keys = [column.group for column in self.columns]
        return [(title, keys.count(key)) for key, title in GROUPS.items() if key in keys]

    @property
    def marked(self) -> list[tuple[Column, Mark]]:
        """The columns whose metric does not beat the static list on the evidence."""
        return [
            (one, self.marks[one.key])
            for one in self.columns
            if one.key in self.marks and self.marks[one.key].is_marked
        ]

    @property
    def caption(self) -> str:
        """What the chart shows, in words."""
        return f"{self.by.title} on {self.dataset.title}, with 95% intervals. {self.by.meaning}"

    @property
    def chart_height(self) -> int:
        """Pixels that the chart needs: a line a model."""
        return 90 + 34 * len([place for place in self.places if self.by.key in place.scores])

    @property
    def sentence(self) -> str:
        """What is shown, in words."""
        scored = [place for place in self.places if self.by.key in place.scores]
        if not scored:
            return f"No model has been scored on {self.dataset.title} yet."
        first = scored[0]
        if len(self.places) == 1:
            return f"{scored[0].model.title} is the only model here that can read {self.dataset.title}."
        text = f"{len(scored)} of {len(self.places)} models that can read {self.dataset.title}, by “{self.by.title}”."
        if not self.by.is_ranked:
            if self.by.group == "part":
                return f"{text} It is a part of a published combination over many models: by itself it orders nothing."
            return f"{text} It describes the features: neither high nor low is better."
        if first.not_separable:
            titles = {place.model.slug: place.model.title for place in scored}
            names = [titles[slug] for slug in first.not_separable if slug in titles]
            leaders = {first.model.slug, *first.not_separable}
            has_control = any(place.model.is_control for place in scored if place.model.slug in leaders)
            warning = (
                " An untrained net does as well: this says little about what training was worth." if has_control else ""
            )
            return f"{text} {first.model.title} leads, not separable from {_enumerate(names)}.{warning}"
        if len(scored) == 1:
            return text
        if not self.pairs_kind:
            return f"{text} {first.model.title} leads. {self.unpaired}"
        return f"{text} {first.model.title} leads, separable from all others."


def _enumerate(names: Sequence[str]) -> str:
    if len(names) <= 1:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def ranking_of(dataset: Dataset, *, by: str = "", user: Person = None) -> Ranking:
    """The ranking of a data set's current revision, sorted by the column of key `by`.

    By default by the blend that does best on the evidence, where there is one; else by measured accuracy, else by the
    first metric with scores. Of models that `user` may know of: the measured ones, and those whose weights lie here, up
    to a number. Raises UserError for an unknown column. Costs a constant number of queries; comparisons are cached by
    outcome, what the evidence says by its numbers.
    """
    revision = dataset.current_revision
    if revision is None:
        raise UserError(f"{dataset.title} has no revision yet. Import it again.")
    found = {
        kind: outcomes_measured(kind, user=user, dataset_revisions=[revision]).get(revision.pk, {})
        for kind in RANKED_KINDS
    }
    base = evidence_base(user)
    columns = ranking_columns((one for rows in found["transferability"].values() for one in rows), by=by)
    running = {job.revision_id for job in jobs_unfinished(dataset_revision=revision)}
    measured = {pk for one in found.values() for pk in one}
    models, more = models_for(dataset.modality, user=user, measured=measured)
    scores_by_model = {model.slug: _scores_of(model, columns, found) for model in models}
    blend = blend_shown(scores_by_model, columns, base, data_set=dataset.slug)
    if blend is not None and blend.column is not None:
        columns.insert(0, blend.column)
        for slug, score in blend.scores.items():
            scores_by_model[slug][BLEND] = score
    column = column_by(columns, by, found, blend)
    reasons = reasons_why_not([model for model in models if not scores_by_model[model.slug]], revision)
    places: list[Place] = []
    left_out: list[Place] = []
    for model in models:
        scores, reason = scores_by_model[model.slug], reasons.get(model.pk, "")
        place = Place(model=model, scores=scores, reason=reason, is_running=model.current_revision_id in running)
        (left_out if reason else places).append(place)
    ordered = _sorted(places, column)
    pairs = compared(
        [
            Scored(slug=place.model.slug, title=place.model.title, score=place.scores[column.key])
            for place in ordered
            if column.is_ranked and column.key in place.scores
        ],
        column,
        blend,
        scores_by_model,
    )
    agreement = {c.key: _agreement(ordered, column, c) for c in columns if c.key != column.key}
    return Ranking(
        dataset=dataset,
        columns=columns,
        by=column,
        places=_with_places(ordered, column, pairs),
        left_out=left_out,
        more=more,
        agreement={key: value for key, (value, words) in agreement.items() if words},
        convention=next((words for _, words in agreement.values() if words), ""),
        pairs_kind=pairs.kind,
        unpaired=pairs.unpaired,
        blend=blend,
        marks=_marks(columns, base),
        truth=truth_of(dataset.slug, column, {place.model: place.scores for place in places}, base),
    )


def _marks(columns: Sequence[Column], base: Base) -> dict[str, Mark]:
    by_key = {one.key: one.metric for one in columns if one.group == "ranking" and not one.params}
    marks = marks_of(base, list(by_key.values()))
    return {key: marks[metric] for key, metric in by_key.items() if metric in marks}


def reasons_why_not(models: Sequence[Model], data: DatasetRevision) -> dict[int, str]:
    """Why nothing can be computed for these models, by model; those that fit are left out."""
    wanted = [model.current_revision_id for model in models if model.current_revision_id is not None]
    data_ref = dataset_ref(data)
    fits = ANALYSES.get("transferability").fits
    # Whether a pair fits shows without the tensors, of which large models have thousands.
    without_tensors = Prefetch("tensors", queryset=Tensor.objects.none())
    revisions = Revision.objects.filter(pk__in=wanted).select_related("model")
    found = {}
    for one in revisions.prefetch_related("files", without_tensors):
        if reason := fits(model_ref(one), data_ref):
            found[one.model_id] = reason if one.loader else f"{reason} {one.loader_note}".rstrip()
    return found


def _scores_of(model: Model, columns: Sequence[Column], found: dict[str, Measured]) -> dict[str, Score]:
    scores = {}
    for column in columns:
        score = score_of(found[column.kind].get(model.current_revision_id or 0, []), column)
        if score is not None and score.value is not None:
            scores[column.key] = score
    return scores


def column_by(columns: list[Column], by: str, found: Mapping[str, Measured], blend: BlendShown | None) -> Column:
    """The column of key `by`, or the one that orders by default; see `ranking_of`."""
    by_key = {column.key: column for column in columns}
    # An address may ask for a blend that there is no longer: the page says why, in the usual order.
    if by and (by != BLEND or BLEND in by_key):
        if by in by_key:
            return by_key[by]
        raise UserError(f"There is no column {by!r}. Known: {', '.join(by_key)}.", field="by")
    first = by_key.get(BLEND) or by_key.get(blend.preferred if blend is not None else "")
    if first is not None:
        return first
    preferred = [column for column in columns if column.key == "accuracy@all"] + columns
    return next((column for column in preferred if column.is_ranked and _has_values(column, found)), columns[0])


def _has_values(column: Column, found: Mapping[str, Measured]) -> bool:
    scores = (score_of(outcomes, column) for outcomes in found[column.kind].values())
    return any(score is not None and score.value is not None for score in scores)


def _sorted(places: list[Place], column: Column) -> list[Place]:
    def key(place: Place) -> tuple[bool, float, str]:
        score = place.scores.get(column.key)
        value = score.value if score is not None and score.value is not None else 0.0
        return score is None, -column.sign * value, place.model.slug

    return sorted(places, key=key)


def _agreement(places: Sequence[Place], a: Column, b: Column) -> tuple[float | None, str]:
    if not (a.is_ranked and b.is_ranked):
        return None, ""
    both = [place for place in places if a.key in place.scores and b.key in place.scores]
    if len(both) < 3:
        return None, ""
    values = [[column.sign * (place.scores[column.key].value or 0.0) for place in both] for column in (a, b)]
    found = rank_agreement(values[0], values[1])
    return found.value, found.convention


def _with_places(places: list[Place], column: Column, pairs: Pairs) -> list[Place]:
    if not pairs:
        return places
    slugs = [place.model.slug for place in places if column.key in place.scores]
    separable = {names: pair.is_separable for names, pair in pairs.differences.items()}
    ranges = place_ranges(slugs, separable)
    ranked = []
    for place in places:
        slug = place.model.slug
        if slug not in ranges:
            ranked.append(place)
            continue
        same = tuple(
            other
            for other in slugs
            if other != slug and not separable.get((slug, other), separable.get((other, slug), True))
        )
        best, worst = ranges[slug]
        ranked.append(dataclasses.replace(place, best=best, worst=worst, not_separable=same))
    return ranked
