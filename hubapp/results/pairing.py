"""Models of a ranking or a comparison held against each other, pair by pair, on what they share."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.core.cache import cache
from redis.exceptions import RedisError

from hubapp.results.models import Outcome, Score
from hubapp.results.selectors import Column
from workers.kit import digest_of
from workers.statistics.bootstrap import bootstrap_weights
from workers.statistics.paired import Difference, combined_difference, holm_corrected, paired_difference

DRAWS = 1000
CACHE_SECONDS = 7 * 24 * 3600
_VERSION = 3  # raised when pairs are compared in another way


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One model of a column: its slug, its title and its score."""

    slug: str
    title: str
    score: Score


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Every pair of the scored models, Holm-corrected over the pairs; none where they share nothing to compare by.

    unpaired   why nothing could be compared, in a sentence; "" where it could, or where there is one model only
    """

    differences: dict[tuple[str, str], Difference] = field(default_factory=dict)
    unpaired: str = ""

    def __bool__(self) -> bool:
        return bool(self.differences)

    @property
    def kind(self) -> str:
        """How pairs were compared, in words."""
        return next((pair.kind for pair in self.differences.values()), "")


def pairs_of(scored: Sequence[Scored], *, column: Column) -> Pairs:
    """The models compared on one column; cached by outcome."""
    if len(scored) < 2:
        return Pairs()
    unpaired = "" if column.kind == "fewshot" else _unpaired(scored, column)
    if unpaired:
        return Pairs(unpaired=unpaired)
    key = digest_of([_VERSION, column.key, [str(one.score.outcome_id) for one in scored]])
    return paired(scored, key=key, compare=lambda: _differences([one.score for one in scored], column))


def paired(scored: Sequence[Scored], *, key: str, compare: Callable[[], list[Difference] | None]) -> Pairs:
    """The pairs that `compare` gives in the order of itertools.combinations (None: nothing was kept), kept by `key`."""
    stored = _cached(f"pairs:{key}")
    if stored is None:
        differences = compare()
        stored = [] if differences is None else list(holm_corrected(differences))
        _keep(f"pairs:{key}", stored)
    if not stored:
        return Pairs(unpaired="The runs saw different rows, so nothing says how surely.")
    names = itertools.combinations([one.slug for one in scored], 2)
    return Pairs(differences=dict(zip(names, stored, strict=True)))


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


def draws_of(score: Score) -> tuple[object, ...]:
    """What the replicates of a stored score were drawn by: with equal draws two models are compared pair by pair."""
    outcome = score.outcome
    halves = outcome.params.get("half_samples")
    return outcome.analysis_version, halves, outcome.provenance.get("seed"), len(score.replicates)


def _version(score: Score) -> str:
    said = (score.outcome.provenance.get("metrics") or {}).get(score.metric) or {}
    return str(said.get("version", ""))


def _unpaired(scored: Sequence[Scored], column: Column) -> str:
    """Why scores of a metric cannot be compared pair by pair; "" if they can."""
    bare = [one.title for one in scored if len(one.score.replicates) < 2]
    if bare:
        return f"No draws were kept for {_listed(bare)}, so nothing says how surely."
    for words, value in (("by another version of the metric", _version), ("on other halves or draws", draws_of)):
        values = [value(one.score) for one in scored]
        usual, count = Counter(values).most_common(1)[0]
        if count < len(values):
            odd = [one.title for one, found in zip(scored, values, strict=True) if found != usual]
            return (
                f"{_listed(odd)} {'was' if len(odd) == 1 else 'were'} scored {words} than the others, so nothing says "
                f"how surely: run {column.title} again with the same parameters on all of them."
            )
    return ""


def _listed(names: Sequence[str], most: int = 3) -> str:
    shown = list(names[:most]) + ([f"{len(names) - most} more"] if len(names) > most else [])
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def halves_compared(scores: Sequence[Score]) -> list[Difference]:
    """All pairs by the paired replicates of their scores, in the order of itertools.combinations."""
    return [
        paired_difference(a.replicates, b.replicates, a_score=a.value, b_score=b.value)
        for a, b in itertools.combinations(scores, 2)
    ]


def _differences(scores: Sequence[Score], column: Column) -> list[Difference] | None:
    if column.kind == "fewshot":
        return _fewshot_differences([score.outcome for score in scores], column)
    return halves_compared(scores)


def _fewshot_differences(outcomes: Sequence[Outcome], column: Column) -> list[Difference] | None:
    predictions = [fewshot_predictions(outcome, head=column.head, shots=column.shots or 0) for outcome in outcomes]
    kept = [found for found in predictions if found is not None]
    if len(kept) < len(predictions) or not all(kept[0].is_paired_with(other) for other in kept[1:]):
        return None
    weights = bootstrap_weights(len(kept[0].labels), draws=DRAWS, seed=0, groups=kept[0].groups)
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
    groups         (N,) patients, speakers or documents of the test rows, drawn whole; None where each row is its own
    """

    logits: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]
    test_rows: np.ndarray[Any, Any]
    train_rows: np.ndarray[Any, Any]
    groups: np.ndarray[Any, Any] | None = None

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
            groups=np.asarray(arrays["test_groups"]) if "test_groups" in arrays else None,
        )
