"""What one model gets right and another wrong, row by row: positive and negative flips. numpy and scipy only.

Roth et al., Fantastic Gains and Where to Find Them, ICLR 2024, arXiv 2310.17653: ρ_pos is the share of test rows that
the other model (the teacher) gets right and this one (the student) wrong, ρ_neg the reverse; per class over its rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike

from workers.statistics.bootstrap import Weights, bootstrap_weights
from workers.statistics.intervals import Interval, combined_interval

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
MOST_FLIPS = 0.5  # share of the positive flips that "most" means


@dataclass(frozen=True, kw_only=True)
class ClassFlips:
    """The flips of one class, as shares of its test rows; `rows` are counted once."""

    label: int
    rows: int
    positive: float
    negative: float


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A mean over the replicates with its interval: draw of labels and test rows where there are replicates."""

    value: float
    interval: Interval


@dataclass(frozen=True, kw_only=True)
class Complement:
    """What a teacher adds to a student.

    positive, negative   ρ_pos, ρ_neg
    difference           accuracy of the teacher less that of the student: ρ_pos − ρ_neg
    oracle               accuracy where of two answers the right one is taken: the most that both together can do
    averaged             accuracy of the sum of both models' log-probabilities
    gain                 `averaged` less the better one's accuracy
    by_class             classes in label order
    holding              how few classes, those with most positive flips first, hold half of the positive flips
    """

    student: Measured
    teacher: Measured
    positive: Measured
    negative: Measured
    difference: Measured
    oracle: Measured
    averaged: Measured
    gain: Measured
    by_class: tuple[ClassFlips, ...]
    holding: int
    replicates: int
    rows: int


def log_probabilities(logits: ArrayLike) -> Floats:
    """Logits (…, C) less the logarithm of the sum of their exponentials."""
    z = np.asarray(logits, dtype=np.float64)
    z = z - z.max(axis=-1, keepdims=True)
    return np.asarray(z - np.log(np.exp(z).sum(axis=-1, keepdims=True)))


def complement(
    student: ArrayLike,
    teacher: ArrayLike,
    labels: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    weights: Weights | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> Complement:
    """Flips between two models' logits (R, N, C) on the same N test rows, replicate by replicate.

    labels   (N,) in 0..C−1; groups (N,) patients, speakers: drawn whole
    weights  (N, B) from `bootstrap_weights`, to share draws over many pairs

    Replicate r of both read the same labels, so every row's terms are paired; the interval of each mean holds the draw
    of the labels (R ≥ 2) and the bootstrap of the test rows. Raises ValueError for shapes that do not belong together.
    """
    one, two = np.asarray(student), np.asarray(teacher)
    y = np.asarray(labels, dtype=np.int64)
    if one.ndim != 3 or one.shape != two.shape or one.shape[1] != y.size:
        raise ValueError(f"logits must be (R, N, C) on the same rows: {one.shape}, {two.shape}, {y.size} labels")
    own: Bools = one.argmax(axis=2) == y
    other: Bools = two.argmax(axis=2) == y
    both = (log_probabilities(one) + log_probabilities(two)).argmax(axis=2) == y
    w = bootstrap_weights(y.size, draws=draws, seed=seed, groups=groups) if weights is None else weights
    positive, negative = other & ~own, own & ~other
    measured = _measure(w)
    better = own if own.mean() >= other.mean() else other
    classes, holding = _by_class(positive, negative, y)
    return Complement(
        student=measured(own, (0.0, 1.0)),
        teacher=measured(other, (0.0, 1.0)),
        positive=measured(positive, (0.0, 1.0)),
        negative=measured(negative, (0.0, 1.0)),
        difference=measured(other.astype(np.int8) - own.astype(np.int8), (-1.0, 1.0)),
        oracle=measured(own | other, (0.0, 1.0)),
        averaged=measured(both, (0.0, 1.0)),
        gain=measured(both.astype(np.int8) - better.astype(np.int8), (-1.0, 1.0)),
        by_class=classes,
        holding=holding,
        replicates=one.shape[0],
        rows=y.size,
    )


def _measure(weights: Weights) -> Callable[[npt.NDArray[np.generic], tuple[float, float]], Measured]:
    totals = weights.sum(axis=0, dtype=np.float64)

    def measured(terms: npt.NDArray[np.generic], bounds: tuple[float, float]) -> Measured:
        values = np.asarray(terms, dtype=np.float64)
        drawn = values.mean(axis=0) @ weights / totals
        interval = combined_interval(values.mean(axis=1), float(drawn.var(ddof=1)), bounds=bounds)
        return Measured(value=float(values.mean()), interval=interval)

    return measured


def _by_class(positive: Bools, negative: Bools, labels: npt.NDArray[np.int64]) -> tuple[tuple[ClassFlips, ...], int]:
    gained, lost = positive.mean(axis=0), negative.mean(axis=0)
    found = []
    counts = []
    for label in np.unique(labels):
        rows = labels == label
        counts.append(float(gained[rows].sum()))
        found.append(
            ClassFlips(
                label=int(label),
                rows=int(rows.sum()),
                positive=float(gained[rows].mean()),
                negative=float(lost[rows].mean()),
            )
        )
    ordered = np.sort(counts)[::-1]
    whole = ordered.sum()
    holding = int(np.searchsorted(np.cumsum(ordered), MOST_FLIPS * whole - 1e-12) + 1) if whole > 0 else 0
    return tuple(found), holding
