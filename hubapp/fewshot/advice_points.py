"""What a learning curve is fitted to: stored scores by labels a class, with the draws of their test rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from django.core.cache import cache
from redis.exceptions import RedisError

from hubapp.fewshot.curves import Curve
from hubapp.fewshot.drawings import rows_of
from hubapp.fewshot.predictions import kept_of
from hubapp.fewshot.selectors import predictions_path
from hubapp.results.models import Outcome, Score
from workers.kit import digest_of
from workers.statistics.bootstrap import bootstrap_weights
from workers.statistics.learning_curve import CurvePoint
from workers.statistics.replicates import row_values

DRAWS = 1000
LEAST_DIFFERENT = 0.9  # share of different rows below which a number of labels is not what was labelled
MOST_BYTES = 400_000_000  # of predictions that a page reads
AGREES = 1e-6
CACHE_SECONDS = 7 * 24 * 3600
_VERSION = 1  # raised when draws are made in another way
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """The labelled rows at one number of labels, over all draws and sub-tasks.

    rows, different  training rows, and how many of them are different
    validation       validation rows of one draw (of one sub-task), which a head's setting is chosen by
    """

    rows: int
    different: int
    validation: int

    @property
    def is_filled(self) -> bool:
        """Whether so many rows are there twice that k labels a class were not given."""
        return self.different < LEAST_DIFFERENT * self.rows


@dataclass(frozen=True, kw_only=True)
class Tables:
    """What the stored tables of the outcomes say, by outcome and number of labels (and head and metric)."""

    drawn: Mapping[tuple[Any, int], Drawn]
    test_errors: Mapping[tuple[Any, str, int, str], float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Points:
    """The points of one curve.

    points   in the order of labels
    filled   scores that are left out as too many of their rows are there twice
    has_draws  whether the points hold the draws of their test rows, the same for all models
    """

    points: tuple[CurvePoint, ...]
    filled: tuple[Score, ...]
    has_draws: bool


def bounds_of(metric: str, classes: int) -> tuple[float, float]:
    """The range of a metric; Brier scores of more than two classes run to 2."""
    return (0.0, 2.0) if metric == "brier" and classes != 2 else (0.0, 1.0)


def tables_of(curves: Iterable[Curve]) -> Tables:
    """The tables of the curves' outcomes, by one query."""
    outcomes = {point.outcome_id for curve in curves for point in curve.points}
    drawn: dict[tuple[Any, int], Drawn] = {}
    errors: dict[tuple[Any, str, int, str], float] = {}
    found = Outcome.objects.filter(pk__in=outcomes).values_list("pk", "tables__shots", "tables__intervals")
    for pk, shots, intervals in found:
        for row in rows_of(shots):
            before = drawn.get((pk, row["k"]), Drawn(rows=0, different=0, validation=0))
            drawn[pk, row["k"]] = Drawn(
                rows=before.rows + row["train_rows"],
                different=before.different + row["unique_rows"],
                validation=max(before.validation, row["validation_rows"]),
            )
        for row in rows_of(intervals):
            if not row["sub_task"] and row["test_standard_error"] is not None:
                errors[pk, row["head"], row["k"], row["metric"]] = float(row["test_standard_error"])
    return Tables(drawn=drawn, test_errors=errors)


def points_of(curve: Curve, *, metric: str, tables: Tables) -> Points:
    """The points of a curve that a number of labels stands behind: neither "all" nor without labels."""
    few = [point for point in curve.points if point.shots and point.value is not None]
    filled = [point for point in few if _is_filled(point, tables)]
    used = [point for point in few if point not in filled]
    draws = _draws(used, metric=metric)
    points = []
    for place, score in enumerate(used):
        shots = score.shots or 0
        points.append(
            CurvePoint(
                k=shots,
                value=float(score.value or 0.0),
                replicates=tuple(score.replicates),
                draws=draws[place] if draws is not None else None,
                standard_error=_error(score),
                test_error=tables.test_errors.get((score.outcome_id, score.head, shots, metric), 0.0),
            )
        )
    return Points(points=tuple(points), filled=tuple(filled), has_draws=draws is not None)


def _is_filled(score: Score, tables: Tables) -> bool:
    drawn = tables.drawn.get((score.outcome_id, score.shots or 0))
    return drawn is not None and drawn.is_filled


def _error(score: Score) -> float:
    """Where replicates are not known: from the stored interval, as if it were normal."""
    if score.low is None or score.high is None:
        return 0.0
    return (score.high - score.low) / (2 * 1.959964)


def _draws(scores: Sequence[Score], *, metric: str) -> list[Array] | None:
    """(DRAWS,) of each score over the same draws of the test rows; None where the metric is no mean over rows, or the
    predictions are not there or do not give the scores."""
    if metric not in ("accuracy", "brier") or not scores:
        return None
    parts = [[str(one.outcome_id), one.head, one.shots] for one in scores]
    key = f"advice:{digest_of([_VERSION, DRAWS, metric, parts])}"
    with contextlib.suppress(RedisError):
        if (stored := cache.get(key)) is not None:
            return [np.frombuffer(one, dtype=np.float32).astype(np.float64) for one in stored] or None
    draws = _drawn_anew(scores, metric=metric)
    with contextlib.suppress(RedisError):
        cache.set(key, [one.astype(np.float32).tobytes() for one in draws or []], CACHE_SECONDS)
    return draws


def _drawn_anew(scores: Sequence[Score], *, metric: str) -> list[Array] | None:
    found: list[Array] = []
    weights: npt.NDArray[Any] | None = None
    rows: npt.NDArray[Any] | None = None
    for score in scores:
        values = _values_by_row(score, metric=metric)
        if values is None:
            return None
        test_rows, groups, of_row = values
        if rows is None or weights is None:
            rows = test_rows
            weights = bootstrap_weights(len(rows), draws=DRAWS, groups=groups, dtype=np.float32)
        elif not np.array_equal(rows, test_rows):
            return None
        found.append(np.asarray(of_row @ weights / weights.sum(axis=0, dtype=np.float64)))
    return found


def _values_by_row(score: Score, *, metric: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None, Array] | None:
    """Test rows, their groups, and what each adds to the score; None where that is not known."""
    path = predictions_path(score.outcome)
    if path is None or path.stat().st_size > MOST_BYTES:
        return None
    kept = kept_of(score.outcome, score.head, score.shots)
    if kept is None:
        return None
    tasks = [row_values(metric, list(task.logits), task.labels) for task in kept.tasks]
    values = np.mean([one for one in tasks if one is not None], axis=0)
    if abs(float(values.mean()) - float(score.value or 0.0)) > AGREES:
        return None  # the score is over part of the sub-tasks
    return kept.test_rows, kept.groups, np.asarray(values, dtype=np.float64)
