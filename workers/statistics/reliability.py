"""Does "80% sure" mean right in 80% of the cases? Bins of the highest probability, ECE and Brier score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workers.statistics.bootstrap_rates import ECE_BINS, brier_losses, ece
from workers.statistics.intervals import Interval, combined_interval
from workers.statistics.logits import softmax
from workers.statistics.replicates import counted_weights
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
    sure, accuracy   means of the highest probability and of being right
    gap              sure less accuracy: above 0 the head is surer than it is right; with the interval of both sources
    """

    bins: tuple[Bin, ...]
    ece: float
    ece_interval: Interval
    brier: float
    brier_interval: Interval
    sure: float
    accuracy: float
    gap: float
    gap_interval: Interval
    rows: int
    replicates: int

    @property
    def kind(self) -> str:
        """How the bins' intervals were made, in words."""
        mean = "" if self.replicates == 1 else ", with the mean count of the replicates, as they name the same rows"
        return f"95% Wilson score interval of the share right{mean}"


@dataclass(frozen=True, kw_only=True, eq=False)
class _Told:
    """One replicate: of each row the highest probability, whether that is right, and what it adds to the Brier score.

    ece  of all rows, then by draw
    """

    sure: Array
    right: NDArray[np.bool_]
    losses: Array
    ece: Array


def _told(logits: NDArray[np.generic], labels: NDArray[np.int64], weights: NDArray[np.floating]) -> _Told:
    p = softmax(np.asarray(logits, dtype=np.float64))
    return _Told(
        sure=p.max(axis=1),
        right=p.argmax(axis=1) == labels,
        losses=brier_losses(p, labels),
        ece=ece(p, labels, weights),
    )


def _bins(told: Sequence[_Told]) -> tuple[Bin, ...]:
    """Bins of several replicates laid over each other, as `bootstrap_ece` bins rows."""
    rows, right, sure = np.zeros(ECE_BINS), np.zeros(ECE_BINS), np.zeros(ECE_BINS)
    for one in told:
        bins = np.clip(np.ceil(one.sure * ECE_BINS).astype(np.int64) - 1, 0, ECE_BINS - 1)
        rows += np.bincount(bins, minlength=ECE_BINS)
        right += np.bincount(bins, weights=one.right, minlength=ECE_BINS)
        sure += np.bincount(bins, weights=one.sure, minlength=ECE_BINS)
    return tuple(_bin(place, rows[place], right[place], sure[place], len(told)) for place in range(ECE_BINS))


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
    """Reliability, ECE and Brier score of logits (R, N, C), labels (N,) in 0..C−1; groups (N,) are resampled whole.

    The ECE is the mean over the replicates of Σ rows / N · |share right − mean probability| (Guo et al., ICML 2017).
    """
    z, y = np.asarray(logits), np.asarray(labels, dtype=np.int64)
    if z.ndim != 3 or z.shape[1] != y.size or not z.size:
        raise ValueError(f"logits must be (R, N, C) on the rows of the labels: {z.shape}, {y.size} labels")
    weights = counted_weights(y.size, draws=draws, seed=seed, groups=groups)
    units = y.size if groups is None else len(np.unique(np.asarray(groups)))
    told = [_told(one, y, weights) for one in z]
    bins = _bins(told)

    def measured(values: Array, drawn: Array, bounds: tuple[float, float]) -> Interval:
        variance = float(drawn.var(ddof=1))
        return combined_interval(values, variance, bounds=bounds, test_degrees_of_freedom=max(units - 1, 1))

    def of_rows(terms: Array, bounds: tuple[float, float]) -> Interval:
        drawn = terms.mean(axis=0) @ weights[:, 1:] / weights[:, 1:].sum(axis=0, dtype=np.float64)
        return measured(terms.mean(axis=1), drawn, bounds)

    errors = np.stack([one.ece for one in told])
    losses = np.stack([one.losses for one in told])
    apart = np.stack([one.sure - one.right for one in told])
    return Calibration(
        bins=bins,
        ece=float(errors[:, 0].mean()),
        ece_interval=measured(errors[:, 0], errors[:, 1:].mean(axis=0), (0.0, 1.0)),
        brier=float(losses.mean()),
        brier_interval=of_rows(losses, (0.0, 2.0 if z.shape[2] > 2 else 1.0)),
        sure=float(np.mean([one.sure for one in told])),
        accuracy=float(np.mean([one.right for one in told])),
        gap=float(apart.mean()),
        gap_interval=of_rows(apart, (-1.0, 1.0)),
        rows=y.size,
        replicates=len(z),
    )
