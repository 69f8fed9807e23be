"""Clustered bootstrap of every metric for all draws at once, from one weight matrix.

Every function takes `weights` (N, B): how often each of the N rows counts in each of the B draws. The same matrix
serves every head, number of labels, replicate and model of a data set, which is what makes their comparison paired.
Weights are counts: float32 holds them, and the sums over a draw, exactly up to 2²⁴ rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workers.statistics import bootstrap_rates as rates
from workers.statistics.bootstrap_areas import class_areas, columns_of, mean_over_classes

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
Weights = NDArray[np.floating]


def bootstrap_weights(
    rows: int, *, draws: int = 1000, seed: int = 0, groups: ArrayLike | None = None, dtype: Any = np.float64
) -> Weights:
    """Weights (N, B): draw b resamples the groups (rows, if None) with replacement and counts each row by its group.

    Draw b is `RandomState(seed + b).randint(0, G, G)` over the sorted unique groups: EHRSHOT's clustered bootstrap
    (Wornow et al., NeurIPS 2023), where the groups are patients.
    """
    if rows < 1 or draws < 1:
        raise ValueError("a bootstrap needs at least one row and one draw")
    if groups is None:
        count, member = rows, np.arange(rows)
    else:
        unique, member = np.unique(np.asarray(groups), return_inverse=True)
        if member.shape != (rows,):
            raise ValueError(f"{member.size} groups for {rows} rows")
        count = len(unique)
    # Written draw by draw, which is row by row of this array, and turned once.
    out = np.empty((draws, count), dtype=dtype)
    state = np.random.RandomState()
    for b in range(draws):
        state.seed(seed + b)
        out[b] = np.bincount(state.randint(0, count, count), minlength=count)
    return np.ascontiguousarray(out.T) if groups is None else np.ascontiguousarray(out.T)[member]


def unit_weights(rows: int) -> Weights:
    """Weights (N, 1) of ones: the metric itself."""
    return np.ones((rows, 1))


def _checked(scores: ArrayLike, labels: ArrayLike, weights: Weights) -> tuple[Array, Labels]:
    s = np.asarray(scores, dtype=np.float64)
    y: Labels = np.asarray(labels, dtype=np.int64)
    if y.ndim != 1 or weights.ndim != 2 or weights.shape[0] != y.shape[0]:
        raise ValueError(f"labels {y.shape} and weights {weights.shape} do not belong together: (N,) and (N, B)")
    if s.ndim != 2 or s.shape[0] != y.shape[0] or s.shape[1] < 2:
        raise ValueError(f"scores must be (N, C) with two classes or more, not {s.shape}")
    return s, y


def bootstrap_accuracy(scores: ArrayLike, labels: ArrayLike, weights: Weights) -> Array:
    """Share of rows whose highest score (the first of equals) is that of their label, by draw: (B,). scores (N, C)."""
    return rates.accuracy(*_checked(scores, labels, weights), weights)


def bootstrap_balanced_accuracy(scores: ArrayLike, labels: ArrayLike, weights: Weights) -> Array:
    """Mean over the classes of a draw of the share of their rows named right: (B,)."""
    return rates.balanced_accuracy(*_checked(scores, labels, weights), weights)


def bootstrap_macro_f1(scores: ArrayLike, labels: ArrayLike, weights: Weights) -> Array:
    """Mean over the classes of F1 by draw: (B,); classes that are neither present nor named are left out."""
    return rates.macro_f1(*_checked(scores, labels, weights), weights)


def bootstrap_brier(probabilities: ArrayLike, labels: ArrayLike, weights: Weights) -> Array:
    """Brier score by draw: (B,). Two classes: mean (p₁ − y)², in [0, 1]; more: mean Σ_c (p_c − y_c)², in [0, 2]."""
    return rates.brier(*_checked(probabilities, labels, weights), weights)


def bootstrap_ece(probabilities: ArrayLike, labels: ArrayLike, weights: Weights) -> Array:
    """Expected calibration error by draw: (B,); 15 bins of equal width over the highest probability."""
    return rates.ece(*_checked(probabilities, labels, weights), weights)


def bootstrap_auroc(scores: ArrayLike, labels: ArrayLike, weights: Weights) -> Array:
    """Area under the ROC curve for each draw: (B,); ties count one half.

    scores (N, C), any increasing function of each class's probability. Two classes: the area of class 1 against 0.
    More: macro one-vs-rest, the plain mean over the classes that have rows inside and outside the class in that draw.
    NaN where no class has.
    """
    s, y = _checked(scores, labels, weights)
    areas, _ = class_areas(s, y, weights, columns=columns_of("auroc", s.shape[1]))
    return mean_over_classes(areas)


def _average_precision(metric: str, scores: ArrayLike, labels: ArrayLike, weights: Weights) -> Array:
    s, y = _checked(scores, labels, weights)
    _, precisions = class_areas(s, y, weights, columns=columns_of(metric, s.shape[1]), has_precision=True)
    return mean_over_classes(precisions)


def bootstrap_auprc(scores: ArrayLike, labels: ArrayLike, weights: Weights) -> Array:
    """Average precision for each draw: (B,). Two classes: of class 1; more: the plain mean over the classes present."""
    return _average_precision("auprc", scores, labels, weights)


def bootstrap_map(scores: ArrayLike, labels: ArrayLike, weights: Weights) -> Array:
    """Mean average precision for each draw: (B,), over all classes present, also where there are two."""
    return _average_precision("map", scores, labels, weights)


METRICS: dict[str, Callable[[ArrayLike, ArrayLike, Weights], Array]] = {
    "accuracy": bootstrap_accuracy,
    "balanced_accuracy": bootstrap_balanced_accuracy,
    "macro_f1": bootstrap_macro_f1,
    "auroc": bootstrap_auroc,
    "auprc": bootstrap_auprc,
    "map": bootstrap_map,
    "brier": bootstrap_brier,
    "ece": bootstrap_ece,
}


def point_score(metric: str, scores: ArrayLike, labels: ArrayLike) -> float:
    """The metric (a name in METRICS) on all rows, each counted once; NaN where it is not defined.

    `workers.statistics.logits.read_for` says what each metric reads.
    """
    return float(METRICS[metric](scores, labels, unit_weights(len(np.asarray(labels))))[0])


def draws_without_a_class(labels: ArrayLike, weights: Weights, *, classes: int) -> int:
    """In how many draws some class has no row at all, so that metrics over classes leave it out or are undefined."""
    y = np.asarray(labels, dtype=np.int64)
    member = (np.arange(classes)[:, None] == y[None, :]).astype(weights.dtype)
    return int(((member @ weights) == 0).any(axis=0).sum())
