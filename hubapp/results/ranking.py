"""The ranking of models on one data set: their scores, and which places mean nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.core.cache import cache
from django.db.models import Prefetch
from redis.exceptions import RedisError

from hubapp.catalog.models import Dataset, DatasetRevision, Model, Revision, Tensor
from hubapp.catalog.selectors import dataset_ref, model_ref
from hubapp.jobs.visibility import Person
from hubapp.results.models import Outcome, Score
from hubapp.results.selectors import (
    RANKED_KINDS,
    Column,
    jobs_unfinished,
    models_for,
    outcome_list,
    ranking_columns,
    score_of,
)
from workers.kit import ANALYSES, METRICS, UserError, digest_of
from workers.statistics.bootstrap import bootstrap_weights
from workers.statistics.paired import Difference, combined_difference, holm_corrected, paired_difference
from workers.statistics.ranks import place_ranges, rank_agreement

DRAWS = 1000
CACHE_SECONDS = 7 * 24 * 3600


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
    agreement: dict[str, float | None] = field(default_factory=dict)  # τ-b of each column with the sort column
    convention: str = ""
    pairs_kind: str = ""  # how pairs were compared, in words

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
            return f"{text} {first.model.title} leads; the runs saw different rows, so nothing says how surely."
        return f"{text} {first.model.title} leads, separable from all others."


def _enumerate(names: Sequence[str]) -> str:
    if len(names) <= 1:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def ranking_of(dataset: Dataset, *, by: str = "", user: Person = None) -> Ranking:
    """The ranking of a data set's current revision, sorted by the column of key `by` (default: the first with scores).

    Of models that `user` may know of: the measured ones, and those whose weights lie here, up to a number. Raises
    UserError for an unknown column. Costs a constant number of queries; comparisons are cached by outcome.
    """
    revision = dataset.current_revision
    if revision is None:
        raise UserError(f"{dataset.title} has no revision yet. Import it again.")
    found = {kind: _by_model(kind, revision, user) for kind in RANKED_KINDS}
    columns = ranking_columns(found["transferability"].values(), by=by)
    column = _column_by(columns, by, found)
    running = {job.revision_id for job in jobs_unfinished(dataset_revision=revision)}
    measured = {pk for outcomes in found.values() for pk in outcomes}
    models, more = models_for(dataset.modality, user=user, measured=measured)
    scores_by_model = {model.pk: _scores_of(model, columns, found) for model in models}
    reasons = _reasons([model for model in models if not scores_by_model[model.pk]], revision)
    places: list[Place] = []
    left_out: list[Place] = []
    for model in models:
        scores, reason = scores_by_model[model.pk], reasons.get(model.pk, "")
        place = Place(model=model, scores=scores, reason=reason, is_running=model.current_revision_id in running)
        (left_out if reason else places).append(place)
    ordered = _sorted(places, column)
    ranked = [place for place in ordered if column.is_ranked and column.key in place.scores]
    pairs = pairs_of(ranked, column=column, found=found[column.kind])
    agreement = {c.key: _agreement(ordered, column, c) for c in columns if c.key != column.key}
    return Ranking(
        dataset=dataset,
        columns=columns,
        by=column,
        places=_with_places(ordered, column, pairs),
        left_out=left_out,
        more=more,
        agreement={key: value for key, (value, _) in agreement.items()},
        convention=next((words for _, words in agreement.values() if words), ""),
        pairs_kind=next((pair.kind for pair in pairs.values()), ""),
    )


def _reasons(models: Sequence[Model], data: DatasetRevision) -> dict[int, str]:
    """Why nothing can be computed for these models, by model; those that fit are left out."""
    wanted = [model.current_revision_id for model in models if model.current_revision_id is not None]
    data_ref = dataset_ref(data)
    fits = ANALYSES.get("transferability").fits
    # Whether a pair fits shows without the tensors, of which large models have thousands.
    without_tensors = Prefetch("tensors", queryset=Tensor.objects.none())
    revisions = Revision.objects.filter(pk__in=wanted).select_related("model")
    refs = {one.model_id: model_ref(one) for one in revisions.prefetch_related("files", without_tensors)}
    return {key: reason for key, ref in refs.items() if (reason := fits(ref, data_ref))}


def _by_model(kind: str, revision: DatasetRevision, user: Person) -> dict[int, Outcome]:
    outcomes = outcome_list(kind, user=user, dataset_revision=revision)
    return {outcome.revision_id: outcome for outcome in outcomes if outcome.revision_id is not None}


def _scores_of(model: Model, columns: Sequence[Column], found: dict[str, dict[int, Outcome]]) -> dict[str, Score]:
    scores = {}
    for column in columns:
        outcome = found[column.kind].get(model.current_revision_id or 0)
        score = score_of(outcome, column) if outcome else None
        if score is not None and score.value is not None:
            scores[column.key] = score
    return scores


def _column_by(columns: list[Column], by: str, found: dict[str, dict[int, Outcome]]) -> Column:
    if by:
        for column in columns:
            if column.key == by:
                return column
        raise UserError(f"There is no column {by!r}. Known: {', '.join(column.key for column in columns)}.", field="by")
    preferred = [column for column in columns if column.key == "accuracy@all"] + columns
    return next((column for column in preferred if column.is_ranked and found[column.kind]), columns[0])


def _sorted(places: list[Place], column: Column) -> list[Place]:
    sign = -1 if column.kind != "transferability" or METRICS.get(column.metric).higher_is_better else 1

    def key(place: Place) -> tuple[bool, float, str]:
        score = place.scores.get(column.key)
        value = score.value if score is not None and score.value is not None else 0.0
        return score is None, sign * value, place.model.slug

    return sorted(places, key=key)


def _agreement(places: Sequence[Place], a: Column, b: Column) -> tuple[float | None, str]:
    both = [place for place in places if a.key in place.scores and b.key in place.scores]
    if len(both) < 3:
        return None, ""
    values = [[place.scores[column.key].value or 0.0 for place in both] for column in (a, b)]
    found = rank_agreement(values[0], values[1])
    return found.value, found.convention


def _with_places(places: list[Place], column: Column, pairs: dict[tuple[str, str], Difference]) -> list[Place]:
    slugs = [place.model.slug for place in places if column.key in place.scores]
    if not pairs:
        return places
    separable = {names: pair.is_separable for names, pair in pairs.items()}
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
        ranked.append(
            Place(
                model=place.model,
                scores=place.scores,
                best=ranges[slug][0],
                worst=ranges[slug][1],
                not_separable=same,
                is_running=place.is_running,
            )
        )
    return ranked


def pairs_of(
    places: Sequence[Place], *, column: Column, found: dict[int, Outcome]
) -> dict[tuple[str, str], Difference]:
    """Every pair of models compared on one column, Holm-corrected over the pairs shown; cached by outcome."""
    if len(places) < 2:
        return {}
    outcomes = [found[place.model.current_revision_id or 0] for place in places]
    names = list(itertools.combinations([place.model.slug for place in places], 2))
    key = "pairs:" + digest_of([column.key, [str(outcome.pk) for outcome in outcomes]])
    stored = _cached(key)
    if stored is None:
        differences = _differences(outcomes, column)
        stored = [] if differences is None else list(holm_corrected(differences))
        _keep(key, stored)
    return dict(zip(names, stored, strict=True)) if stored else {}


def _cached(key: str) -> list[Difference] | None:
    """What the cache holds; nothing while Redis is away, so that pages outlive it."""
    try:
        found = cache.get(key)
    except RedisError:
        return None
    return None if found is None else [Difference(**values) for values in found]


def _keep(key: str, differences: Sequence[Difference]) -> None:
    with contextlib.suppress(RedisError):
        cache.set(key, [dataclasses.asdict(difference) for difference in differences], CACHE_SECONDS)


def _differences(outcomes: Sequence[Outcome], column: Column) -> list[Difference] | None:
    """Differences of all pairs in the order of itertools.combinations; None where nothing was kept to compare by."""
    if column.kind == "fewshot":
        return _fewshot_differences(outcomes, column)
    scores = [score_of(outcome, column) for outcome in outcomes]
    if any(score is None or len(score.replicates) < 2 for score in scores):
        return None
    # The halves follow from version, number and seed: other halves are no pairs, however many they are.
    halves = {(one.analysis_version, one.params.get("half_samples"), one.provenance.get("seed")) for one in outcomes}
    if len(halves) > 1 or len({len(score.replicates) for score in scores if score is not None}) > 1:
        return None
    differences = [
        paired_difference(a.replicates, b.replicates, a_score=a.value, b_score=b.value)
        for a, b in itertools.combinations([score for score in scores if score is not None], 2)
    ]
    if METRICS.get(column.metric).interval == "halves":
        return differences
    # The same arithmetic on draws of the rows' terms.
    draws = len(scores[0].replicates) if scores[0] is not None else 0
    words = f"paired bootstrap of the rows' terms, {draws} draws, normal"
    return [dataclasses.replace(one, kind=words) for one in differences]


def _fewshot_differences(outcomes: Sequence[Outcome], column: Column) -> list[Difference] | None:
    predictions = [fewshot_predictions(outcome, head=column.head, shots=column.shots or 0) for outcome in outcomes]
    kept = [found for found in predictions if found is not None]
    if len(kept) < len(predictions) or not all(kept[0].is_paired_with(other) for other in kept[1:]):
        return None
    weights = bootstrap_weights(len(kept[0].labels), draws=DRAWS, seed=0)
    return [
        combined_difference(a.logits, b.logits, a.labels, metric=column.metric, weights=weights)
        for a, b in itertools.combinations(kept, 2)
    ]


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """What a few-shot outcome kept for one head and k.

    logits         (R, N, C) of the replicates on the test rows
    labels         (N,) as indices of C
    test_rows      (N,) row ids of the test rows
    train_rows     (R, n) row ids of each replicate's shots
    """

    logits: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]
    test_rows: np.ndarray[Any, Any]
    train_rows: np.ndarray[Any, Any]

    def is_paired_with(self, other: Predictions) -> bool:
        """Whether both saw the same shots and the same test rows, so that their scores can be compared pair by pair."""
        return (
            self.logits.shape == other.logits.shape
            and np.array_equal(self.test_rows, other.test_rows)
            and np.array_equal(self.train_rows, other.train_rows)
        )


def fewshot_predictions(outcome: Outcome, *, head: str, shots: int) -> Predictions | None:
    """The predictions of a few-shot outcome for one head and k; None where they were not kept."""
    artifact = next((kept for kept in outcome.artifacts.all() if kept.name == "predictions.npz"), None)
    if artifact is None:
        return None
    path = Path(settings.FILES_DIR) / artifact.location
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as arrays:
        if f"{head}.k{shots}.logits" not in arrays:
            return None
        return Predictions(
            logits=np.asarray(arrays[f"{head}.k{shots}.logits"]),
            labels=np.searchsorted(arrays["present_classes"], arrays["labels"]),
            test_rows=np.asarray(arrays["test_row_ids"]),
            train_rows=np.asarray(arrays[f"k{shots}.train_row_ids"]),
        )
