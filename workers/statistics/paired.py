"""Is A better than B on the same rows? Differences of paired scores, with Holm's correction over all pairs on show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from workers.statistics.bootstrap import METRICS, Array, Weights, bootstrap_weights
from workers.statistics.intervals import combined_interval
from workers.statistics.logits import read_for
from workers.statistics.replicates import draw_table, row_values

SIGNIFICANCE = 0.05
ROUNDING = 1e-12  # equal shares of correct rows may differ in their last digits
CHUNK = 20_000_000  # weights made at a time


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Score of A minus score of B.

    p_value       two-sided, for "no difference"; after `holm`, corrected for the number of pairs
    is_separable  p_value < 0.05; otherwise the two cannot be told apart, which is a result
    kind          how it was tested, in words
    """

    difference: float
    low: float
    high: float
    standard_error: float
    p_value: float
    is_separable: bool
    kind: str

    @property
    def verdict(self) -> str:
        """What it says of A: "higher", "lower" or "not separable"."""
        if not self.is_separable:
            return "not separable"
        return "higher" if self.difference > 0 else "lower"


def paired_difference(
    a_replicates: ArrayLike,
    b_replicates: ArrayLike,
    *,
    a_score: float | None = None,
    b_score: float | None = None,
    confidence: float = 0.95,
) -> Difference:
    """Difference of two scores from their values on the same random halves (delete-half jackknife).

    a_replicates, b_replicates  (H,) scores of A and B on the same halves in the same order
    a_score, b_score            the scores on all rows; the means of the halves if None

    The SD (ddof 1) of the paired differences is the standard error of the difference, as in `jackknife_interval`;
    normal.
    """
    a = np.asarray(a_replicates, dtype=np.float64)
    b = np.asarray(b_replicates, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape or a.size < 2:
        raise ValueError(f"paired values must be two vectors of one length, at least two: {a.shape} and {b.shape}")
    apart = a - b
    top = float(a.mean()) if a_score is None else a_score
    bottom = float(b.mean()) if b_score is None else b_score
    difference = top - bottom
    error = float(apart.std(ddof=1))
    quantile = float(stats.norm.ppf(0.5 + confidence / 2))
    p_value = _two_sided(difference, error, math.inf)
    return Difference(
        difference=difference,
        low=difference - quantile * error,
        high=difference + quantile * error,
        standard_error=error,
        p_value=p_value,
        is_separable=p_value < SIGNIFICANCE,
        kind=f"paired delete-half jackknife, {a.size} halves, normal",
    )


def _two_sided(difference: float, error: float, degrees_of_freedom: float) -> float:
    if error == 0.0:
        return 1.0 if difference == 0.0 else 0.0
    ratio = abs(difference) / error
    if math.isinf(degrees_of_freedom):
        return float(2 * stats.norm.sf(ratio))
    return float(2 * stats.t.sf(ratio, degrees_of_freedom))


def mean_draws(metric: str, logits: ArrayLike, labels: ArrayLike, weights: Weights) -> Array:
    """The metric's mean over the replicates for each bootstrap draw: (B,). logits (R, N, C)."""
    replicates = list(np.asarray(logits))
    rows = row_values(metric, replicates, labels)
    if rows is not None:
        return np.asarray(rows @ weights / weights.sum(axis=0, dtype=np.float64))
    return np.asarray(np.mean([draw_table([metric], one, labels, weights)[metric] for one in replicates], axis=0))


def paired_bootstrap(
    a_logits: ArrayLike,
    b_logits: ArrayLike,
    labels: ArrayLike,
    *,
    metric: str = "accuracy",
    draws: int = 10_000,
    seed: int = 0,
    groups: ArrayLike | None = None,
    confidence: float = 0.95,
    weights: Weights | None = None,
) -> Difference:
    """Difference of two models or heads by paired bootstrap of the test rows: the same draws for both.

    a_logits, b_logits  (R, N, C) the replicates' logits on the same N test rows (log-probabilities do as well); the
                        metric is averaged over replicates
    groups              (N,) patients, speakers, documents: resampled whole
    weights             (N, B) from `bootstrap_weights`, to share draws over many pairs; made from `draws` and `seed`
                        if None

    Percentile interval; p = 2 (1 + min(#{d* ≤ 0}, #{d* ≥ 0})) / (B + 1). It speaks of these shots: the draw of labels
    is not part of it (for that, `combined_difference`).
    """
    a, b, y = _aligned(a_logits, b_logits, labels)
    w = bootstrap_weights(len(y), draws=draws, seed=seed, groups=groups) if weights is None else weights
    ones = np.ones((len(y), 1))
    points = [float(mean_draws(metric, one, y, ones)[0]) for one in (a, b)]
    apart = mean_draws(metric, a, y, w) - mean_draws(metric, b, y, w)
    return _from_draws(metric, points[0] - points[1], apart, groups=groups, confidence=confidence)


def _from_draws(
    metric: str, difference: float, apart: Array, *, groups: ArrayLike | None, confidence: float = 0.95
) -> Difference:
    """The difference with its percentile interval, from its bootstrap draws; those that are undefined are left out."""
    total = apart.size
    apart = apart[np.isfinite(apart)]
    if apart.size == 0 or not math.isfinite(difference):
        raise ValueError(f"{metric} is not defined on these test rows: a class is missing")
    tail = (1 - confidence) / 2
    low, high = np.quantile(apart, [tail, 1 - tail])
    smaller = min(int((apart <= ROUNDING).sum()), int((apart >= -ROUNDING).sum()))
    p_value = min(1.0, 2 * (1 + smaller) / (apart.size + 1))
    what = "the test rows" if groups is None else "whole groups of test rows"
    lacking = f" ({total - apart.size} others lack a class)" if apart.size < total else ""
    return Difference(
        difference=difference,
        low=float(low),
        high=float(high),
        standard_error=float(apart.std(ddof=1)),
        p_value=p_value,
        is_separable=p_value < SIGNIFICANCE,
        kind=f"paired bootstrap of {what}, {apart.size} draws{lacking}, percentiles",
    )


def compare_at(
    predictions_a: ArrayLike,
    predictions_b: ArrayLike,
    labels: ArrayLike,
    *,
    metric: str,
    groups: ArrayLike | None = None,
    draws: int = 10_000,
    seed: int = 0,
) -> Difference:
    """Score of A minus score of B at one number of shots: `paired_bootstrap` with the draws made chunk by chunk.

    predictions  (R, N, C) logits of the replicates on the same N test rows; labels (N,) in 0..C−1
    """
    both = {"a": predictions_a, "b": predictions_b}
    return compare_all(both, labels, metric=metric, groups=groups, draws=draws, seed=seed)["a", "b"]


def compare_all(
    predictions: Mapping[str, ArrayLike],
    labels: ArrayLike,
    *,
    metric: str,
    groups: ArrayLike | None = None,
    draws: int = 10_000,
    seed: int = 0,
) -> dict[tuple[str, str], Difference]:
    """Every pair of models or heads at one number of shots, in the order of the names; `holm_within` corrects them.

    Each draw weighs the test rows alike for all of them, so a model is scored once however many pairs it is in. Raises
    ValueError where the shapes differ or the metric is not defined on these rows.
    """
    tasks = {name: [one] for name, one in predictions.items()}
    return compare_tasks(tasks, [labels], metric=metric, groups=groups, draws=draws, seed=seed)


def compare_tasks(
    predictions: Mapping[str, Sequence[ArrayLike]],
    labels: Sequence[ArrayLike],
    *,
    metric: str,
    groups: ArrayLike | None = None,
    draws: int = 10_000,
    seed: int = 0,
) -> dict[tuple[str, str], Difference]:
    """`compare_all` for the mean over sub-tasks (T of them) on the same N test rows, such as the labels of a row.

    predictions  (R, N, C) for each sub-task; labels (N,) for each. All are weighed by the same draws, so what
                 sub-tasks share is kept. Left out are those where the metric is not defined for one of the names
    """
    names = list(predictions)
    logits = {name: [np.asarray(one) for one in predictions[name]] for name in names}
    targets = [np.asarray(one, dtype=np.int64) for one in labels]
    for name in names:
        for one, first, y in zip(logits[name], logits[names[0]], targets, strict=True):
            _check_aligned(one, first, y)
    points = np.array([_points(metric, logits[name], targets) for name in names])
    tasks = [task for task in range(len(targets)) if np.isfinite(points[:, task]).all()]
    if not tasks:
        raise ValueError(f"{metric} is not defined on these test rows: a class is missing")
    means = dict(zip(names, points[:, tasks].mean(axis=1).tolist(), strict=True))
    linear = [terms for name in names if (terms := _row_terms(metric, logits[name], targets, tasks)) is not None]
    scored = np.empty((len(names), draws))
    width = max(1, CHUNK // max(1, len(targets[0])))
    for start in range(0, draws, width):
        count = min(width, draws - start)
        weights = bootstrap_weights(len(targets[0]), draws=count, seed=seed + start, groups=groups, dtype=np.float32)
        here = slice(start, start + count)
        if linear:
            scored[:, here] = np.stack(linear) @ weights / weights.sum(axis=0, dtype=np.float64)
            continue
        for place, name in enumerate(names):
            found = [mean_draws(metric, logits[name][task], targets[task], weights) for task in tasks]
            scored[place, here] = np.mean(found, axis=0)
    return {
        (one, two): _from_draws(metric, means[one] - means[two], scored[i] - scored[j], groups=groups)
        for (i, one), (j, two) in combinations(enumerate(names), 2)
    }


def _row_terms(
    metric: str, logits: Sequence[NDArray[Any]], labels: Sequence[NDArray[np.int64]], tasks: Sequence[int]
) -> Array | None:
    """What each row adds to the mean over the sub-tasks: (N,); None where the metric is no mean over rows."""
    found = [row_values(metric, list(logits[task]), labels[task]) for task in tasks]
    terms = [values for values in found if values is not None]
    return np.asarray(np.mean(terms, axis=0)) if terms else None


def _points(metric: str, tasks: Sequence[NDArray[Any]], labels: Sequence[NDArray[np.int64]]) -> list[float]:
    ones = np.ones((len(labels[0]), 1))
    return [float(mean_draws(metric, one, y, ones)[0]) for one, y in zip(tasks, labels, strict=True)]


def holm_within(
    pairs: Mapping[int, Mapping[tuple[str, str], Difference]],
) -> dict[int, dict[tuple[str, str], Difference]]:
    """The pairs shown at each number of shots, corrected by Holm within each: k -> pair -> difference."""
    return {k: dict(zip(shown, holm_corrected(list(shown.values())), strict=True)) for k, shown in pairs.items()}


def combined_difference(
    a_logits: ArrayLike,
    b_logits: ArrayLike,
    labels: ArrayLike,
    *,
    metric: str = "accuracy",
    draws: int = 1000,
    seed: int = 0,
    groups: ArrayLike | None = None,
    confidence: float = 0.95,
    weights: Weights | None = None,
) -> Difference:
    """As `paired_bootstrap`, but with the draw of labels in the interval as well.

    Replicate r of A and of B used the same labels, so the R differences are one sample: `combined_interval` of them,
    with the bootstrap variance of their mean as the part of the test rows.
    """
    a, b, y = _aligned(a_logits, b_logits, labels)
    if a.shape[0] != b.shape[0]:
        raise ValueError(f"replicates are paired: {a.shape[0]} and {b.shape[0]} of them do not match")
    w = bootstrap_weights(len(y), draws=draws, seed=seed, groups=groups) if weights is None else weights
    ones = np.ones((len(y), 1))
    compute = METRICS[metric]
    values = [
        float((compute(read_for(metric, one), y, ones) - compute(read_for(metric, two), y, ones))[0])
        for one, two in zip(a, b, strict=True)
    ]
    variance = float(np.nanvar(mean_draws(metric, a, y, w) - mean_draws(metric, b, y, w), ddof=1))
    interval = combined_interval(values, variance, confidence=confidence)
    difference = float(np.mean(values))
    p_value = _two_sided(difference, interval.standard_error, interval.degrees_of_freedom)
    return Difference(
        difference=difference,
        low=interval.low,
        high=interval.high,
        standard_error=interval.standard_error,
        p_value=p_value,
        is_separable=p_value < SIGNIFICANCE,
        kind=f"paired, {interval.kind}",
    )


def _aligned(a_logits: ArrayLike, b_logits: ArrayLike, labels: ArrayLike) -> tuple[Array, Array, NDArray[np.int64]]:
    a = np.asarray(a_logits, dtype=np.float64)
    b = np.asarray(b_logits, dtype=np.float64)
    y = np.asarray(labels, dtype=np.int64)
    _check_aligned(a, b, y)
    return a, b, y


def _check_aligned(a: NDArray[Any], b: NDArray[Any], y: NDArray[np.int64]) -> None:
    if a.ndim != 3 or b.ndim != 3 or a.shape[1:] != b.shape[1:] or a.shape[1] != y.size:
        raise ValueError(f"logits must be (R, N, C) on the same rows: {a.shape}, {b.shape}, {y.size} labels")


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """p-values corrected for testing all at once, in the given order (Holm, Scandinavian J. of Statistics 1979)."""
    count = len(p_values)
    corrected = [1.0] * count
    largest = 0.0
    for place, index in enumerate(sorted(range(count), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (count - place) * p_values[index]))
        corrected[index] = largest
    return tuple(corrected)


def holm_corrected(differences: Sequence[Difference]) -> tuple[Difference, ...]:
    """The same differences with p-values and separability corrected by `holm` over all of them."""
    count = "1 pair" if len(differences) == 1 else f"{len(differences)} pairs"
    return tuple(
        replace(one, p_value=p, is_separable=p < SIGNIFICANCE, kind=f"{one.kind}; Holm over {count}")
        for one, p in zip(differences, holm([one.p_value for one in differences]), strict=True)
    )
