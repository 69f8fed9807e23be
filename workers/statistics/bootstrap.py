"""Clustered bootstrap of accuracy, AUROC and Brier score for all draws at once, from one weight matrix.

Every function takes `weights` (N, B): how often each of the N rows counts in each of the B draws. The same matrix
serves every head, number of labels, replicate and model of a data set, which is what makes their comparison paired.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

BLOCK = 256  # draws worked on at a time: small enough to stay in cache


def bootstrap_weights(rows: int, *, draws: int = 1000, seed: int = 0, groups: ArrayLike | None = None) -> Array:
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
    out = np.empty((count, draws))
    for b in range(draws):
        drawn = np.random.RandomState(seed + b).randint(0, count, count)
        out[:, b] = np.bincount(drawn, minlength=count)
    return out if groups is None else out[member]


def unit_weights(rows: int) -> Array:
    """Weights (N, 1) of ones: the metric itself."""
    return np.ones((rows, 1))


def _checked(labels: ArrayLike, weights: Array) -> Labels:
    y: Labels = np.asarray(labels, dtype=np.int64)
    if y.ndim != 1 or weights.ndim != 2 or weights.shape[0] != y.shape[0]:
        raise ValueError(f"labels {y.shape} and weights {weights.shape} do not belong together: (N,) and (N, B)")
    return y


def bootstrap_accuracy(scores: ArrayLike, labels: ArrayLike, weights: Array) -> Array:
    """Share of rows whose highest score (the first of equals) is that of their label, by draw: (B,). scores (N, C)."""
    y = _checked(labels, weights)
    hits = (np.asarray(scores).argmax(axis=1) == y).astype(np.float64)
    return np.asarray(hits @ weights / weights.sum(axis=0))


def bootstrap_brier(probabilities: ArrayLike, labels: ArrayLike, weights: Array) -> Array:
    """Brier score by draw: (B,). Two classes: mean (p₁ − y)², in [0, 1]; more: mean Σ_c (p_c − y_c)², in [0, 2]."""
    y = _checked(labels, weights)
    p = np.asarray(probabilities, dtype=np.float64)
    errors = (p - (y[:, None] == np.arange(p.shape[1]))) ** 2
    losses = errors[:, 1] if p.shape[1] == 2 else errors.sum(axis=1)
    return np.asarray(losses @ weights / weights.sum(axis=0))


def _binary_auroc(scores: Array, is_positive: NDArray[np.bool_], weights: Array) -> Array:
    """Weighted Mann-Whitney statistic for each draw; NaN where a draw lacks positives or negatives."""
    negatives = np.flatnonzero(~is_positive)
    negatives = negatives[np.argsort(scores[negatives], kind="stable")]
    positives = np.flatnonzero(is_positive)
    below = np.searchsorted(scores[negatives], scores[positives], side="left")
    up_to = np.searchsorted(scores[negatives], scores[positives], side="right")
    has_ties = bool((below != up_to).any())
    draws = weights.shape[1]
    out = np.empty(draws)
    for start in range(0, draws, BLOCK):
        block = weights[:, start : start + BLOCK]
        beaten = np.zeros((len(negatives) + 1, block.shape[1]))
        np.cumsum(block[negatives], axis=0, out=beaten[1:])
        credit = 0.5 * (beaten[below] + beaten[up_to]) if has_ties else beaten[below]
        w = block[positives]
        with np.errstate(invalid="ignore"):
            out[start : start + BLOCK] = (w * credit).sum(axis=0) / (w.sum(axis=0) * beaten[-1])
    return out


def bootstrap_auroc(scores: ArrayLike, labels: ArrayLike, weights: Array) -> Array:
    """Area under the ROC curve for each draw: (B,); ties count one half.

    scores (N, C), any increasing function of each class's probability. Two classes: the area of class 1 against 0.
    More: macro one-vs-rest, the plain mean over the classes that have rows inside and outside the class in that draw.
    NaN where no class has.
    """
    y = _checked(labels, weights)
    s = np.asarray(scores, dtype=np.float64)
    if s.ndim != 2 or s.shape[0] != y.shape[0] or s.shape[1] < 2:
        raise ValueError(f"scores must be (N, C) with two classes or more, not {s.shape}")
    if s.shape[1] == 2:
        return _binary_auroc(s[:, 1], y == 1, weights)
    total = np.zeros(weights.shape[1])
    defined = np.zeros(weights.shape[1])
    for c in range(s.shape[1]):
        one = _binary_auroc(s[:, c], y == c, weights)
        is_defined = np.isfinite(one)
        total += np.where(is_defined, one, 0.0)
        defined += is_defined
    with np.errstate(invalid="ignore"):
        return np.asarray(total / defined)


METRICS = {"accuracy": bootstrap_accuracy, "auroc": bootstrap_auroc, "brier": bootstrap_brier}


def point_score(metric: str, scores: ArrayLike, labels: ArrayLike) -> float:
    """The metric ("accuracy", "auroc", "brier") on all rows, each counted once; NaN where it is not defined."""
    return float(METRICS[metric](scores, labels, unit_weights(len(np.asarray(labels))))[0])
