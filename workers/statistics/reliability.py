"""Does "80% sure" mean right in 80% of the cases? Bins of the highest probability, ECE and Brier score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workers.statistics.bootstrap_rates import ECE_BINS
from workers.statistics.intervals import Interval, interval_sources
from workers.statistics.logits import softmax
from workers.statistics.replicates import counted_weights, mean_table
from workers.statistics.strata import wilson_limits

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Bin:
    """The rows whose highest probability p lies in low < p ≤ high; shares are None where there are none.

    rows, right          how many, and how many of them are named right: means over the replicates
    sure                 mean of the highest probability
    share                right among them; with Wilson's limits share_low, share_high
    """

    low: float
    high: float
    rows: float
    right: float
    sure: float | None
    share: float | None
    share_low: float | None
    share_high: float | None


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How well probabilities say how often they are right.

    bins       ECE_BINS of equal width
    ece, brier  means over the replicates with the interval of both sources
    sure, accuracy   means of the highest probability and of being right; sure above accuracy is over-confident
    """

    bins: tuple[Bin, ...]
    ece: float
    ece_interval: Interval
    brier: float
    brier_interval: Interval
    sure: float
    accuracy: float
    rows: int
    replicates: int

    @property
    def kind(self) -> str:
        """How the bins' intervals were made, in words."""
        mean = "" if self.replicates == 1 else ", with the mean count of the replicates, as they name the same rows"
        return f"95% Wilson score interval of the share right{mean}"


def reliability_bins(logits: ArrayLike, labels: ArrayLike) -> tuple[Bin, ...]:
    """Rows of logits (R, N, C) by their highest probability, binned as `bootstrap_ece` does; labels (N,) in 0..C−1.

    The ECE is Σ rows / N · |share − sure| of one replicate (Guo et al., ICML 2017); bins of several replicates are
    laid over each other.
    """
    z, y = np.asarray(logits), np.asarray(labels, dtype=np.int64)
    if z.ndim != 3 or z.shape[1] != y.size or not z.size:
        raise ValueError(f"logits must be (R, N, C) on the rows of the labels: {z.shape}, {y.size} labels")
    rows, right, sure = np.zeros(ECE_BINS), np.zeros(ECE_BINS), np.zeros(ECE_BINS)
    for one in z:
        p = softmax(np.asarray(one, dtype=np.float64))
        top = p.max(axis=1)
        bins = np.clip(np.ceil(top * ECE_BINS).astype(np.int64) - 1, 0, ECE_BINS - 1)
        rows += np.bincount(bins, minlength=ECE_BINS)
        right += np.bincount(bins, weights=p.argmax(axis=1) == y, minlength=ECE_BINS)
        sure += np.bincount(bins, weights=top, minlength=ECE_BINS)
    return tuple(_bin(place, rows[place], right[place], sure[place], len(z)) for place in range(ECE_BINS))


def _bin(place: int, rows: float, right: float, sure: float, replicates: int) -> Bin:
    if not rows:
        none = {"sure": None, "share": None, "share_low": None, "share_high": None}
        return Bin(low=place / ECE_BINS, high=(place + 1) / ECE_BINS, rows=0.0, right=0.0, **none)
    low, high = wilson_limits(float(right / rows), float(rows / replicates))
    return Bin(
        low=place / ECE_BINS,
        high=(place + 1) / ECE_BINS,
        rows=float(rows / replicates),
        right=float(right / replicates),
        sure=float(sure / rows),
        share=float(right / rows),
        share_low=low,
        share_high=high,
    )


def calibration(
    logits: ArrayLike, labels: ArrayLike, *, draws: int = 1000, seed: int = 0, groups: ArrayLike | None = None
) -> Calibration:
    """Reliability, ECE and Brier score of logits (R, N, C), labels (N,) in 0..C−1; groups (N,) are resampled whole."""
    z, y = np.asarray(logits), np.asarray(labels, dtype=np.int64)
    bins = reliability_bins(z, y)
    weights = counted_weights(y.size, draws=draws, seed=seed, groups=groups)
    units = y.size if groups is None else len(np.unique(np.asarray(groups)))
    found = {}
    for metric, (values, drawn) in mean_table(["ece", "brier"], list(z), y, weights).items():
        bounds = (0.0, 2.0 if metric == "brier" and z.shape[2] > 2 else 1.0)
        sources = interval_sources(
            values, float(drawn.var(ddof=1)), bounds=bounds, test_degrees_of_freedom=max(units - 1, 1)
        )
        found[metric] = float(values.mean()), sources.combined
    return Calibration(
        bins=bins,
        ece=found["ece"][0],
        ece_interval=found["ece"][1],
        brier=found["brier"][0],
        brier_interval=found["brier"][1],
        sure=float(sum((one.sure or 0.0) * one.rows for one in bins) / y.size),
        accuracy=float(sum(one.right for one in bins) / y.size),
        rows=y.size,
        replicates=len(z),
    )
