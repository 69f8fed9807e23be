"""How sure a score is: half-samples for most metrics, draws of the rows' terms for those that are means over rows."""

from __future__ import annotations

import numpy as np

from workers.kit import MetricEntry, Score, generator_for
from workers.transferability.pass_metric import PassMetric
from workers.transferability.spectrum import Floats, Ints

_NORMAL_QUANTILE = 1.96
DRAWS = 200

IN_WORDS = {
    "halves": "score ± 1.96 × SD (ddof 1) over stratified half-samples drawn without replacement",
    "rows": f"score ± 1.96 × SD (ddof 1) of {DRAWS} bootstrap means of the rows' terms; what the terms share "
    "(estimated conditionals, the trained probe) is held fixed",
}


def bootstrap_means(terms: Floats, row_ids: Ints, *, seed: int, draws: int = DRAWS) -> tuple[float, ...]:
    """Means of `draws` resamples of the terms, NaN ones left out, whatever the order of the rows.

    The draws follow from the seed and the number of terms alone: models on one data set share them.
    """
    ordered = terms[np.argsort(row_ids, kind="stable")]
    ordered = ordered[~np.isnan(ordered)]
    generator = generator_for(seed, "terms")
    count = len(ordered)
    return tuple(float(ordered[generator.integers(0, count, count)].mean()) for _ in range(draws))


def means_over(terms: Floats, halves: list[Ints]) -> list[float | str]:
    """The mean of the terms over each half, NaN ones left out: what sets two models beside each other, pair by pair.

    Its spread without replacement is that of the mean over all rows, as for every metric that is scored on halves.
    """
    return [float(np.nanmean(terms[rows])) for rows in halves]


def score_with_interval(
    entry: MetricEntry,
    value: float | str,
    replicates: list[float | str],
    *,
    draws: tuple[float, ...] = (),
    kind: str = "stratified halves",
) -> Score:
    """The score of a metric: a value with its interval, or the sentence that says why there is none of them.

    replicates  values on the half-samples; a text is the reason why one has no value
    draws       bootstrap means of the rows' terms, whose spread is the interval; empty: that of the replicates is
    kind        what halves they were, in words
    """
    if isinstance(value, str):
        return Score(metric=entry.name, value=None, note=value)
    numbers = tuple(replicate for replicate in replicates if not isinstance(replicate, str))
    if len(numbers) < len(replicates):
        reason = next(replicate for replicate in replicates if isinstance(replicate, str))
        return Score(metric=entry.name, value=value, note=f"No interval: a half-sample has no score. {reason}")
    half_width = _NORMAL_QUANTILE * float(np.std(draws or numbers, ddof=1))
    low, high = value - half_width, value + half_width
    metric = entry.load()
    if isinstance(metric, PassMetric):
        low, high = max(low, metric.low), min(high, metric.high)
    words = (
        f"score ± 1.96 × SD, bootstrap of the rows' terms, {len(draws)} draws"
        if draws
        else f"score ± 1.96 × SD, delete-half jackknife, {len(numbers)} {kind}"
    )
    return Score(metric=entry.name, value=value, low=low, high=high, interval=words, replicates=numbers)


def half_width_of(score: Score) -> float:
    """Half of a score's interval, the longer one where its range cuts the other; 0 without an interval."""
    if score.value is None or score.low is None or score.high is None:
        return 0.0
    return max(score.high - score.value, score.value - score.low)
