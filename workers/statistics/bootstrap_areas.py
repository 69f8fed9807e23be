"""Areas under curves for all bootstrap draws at once: AUROC, AUPRC (average precision) and its mean over classes.

Rows are sorted once for a class, whatever the number of draws. A negative is worth something only to the positives
above it, so the negatives between two neighbouring positives are summed draw by draw in one sparse product, and one
cumulative sum over the positives gives what each of them beats. Weights are counts, so that float32 holds every sum
exactly while a draw's total stays below 2²⁴.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
Weights = NDArray[np.floating]

LONG_ROW = 64
LARGEST_STEPS = 1 << 22  # entries of one sparse product: rows times classes
LARGEST_BLOCK = 1 << 20  # numbers of one intermediate array: small enough for the caches and for many rows


@dataclass(frozen=True, kw_only=True, eq=False)
class _Order:
    """The rows of each class in the order of their scores, class after class.

    rows    (n,) positives, ascending by score
    bounds  (classes + 1,) where each class begins
    first   (n,) place within `rows` of the first positive of the class with the same score
    below   (n, N) which negatives come to lie strictly below each positive and not below the one before
    up_to   the same with those of equal score; None where no positive ties with a negative
    """

    rows: Labels
    bounds: Labels
    first: Labels
    below: sparse.csr_array
    up_to: sparse.csr_array | None


def _steps(places: Sequence[Labels], negatives: Sequence[Labels], sizes: Labels, rows: int) -> sparse.csr_array:
    """(n, N): one where the negative is first beaten by that positive."""
    starts = np.concatenate([[0], np.cumsum(sizes)])
    at = [start + place[place < size] for start, place, size in zip(starts, places, sizes, strict=False)]
    of = [negative[place < size] for negative, place, size in zip(negatives, places, sizes, strict=True)]
    row, column = np.concatenate(at), np.concatenate(of)
    order = np.argsort(row, kind="stable")
    begins = np.searchsorted(row[order], np.arange(starts[-1] + 1))
    ones = np.ones(len(row), dtype=np.float32)
    return sparse.csr_array((ones, column[order], begins), shape=(int(starts[-1]), rows))


def _ordered(scores: Array, labels: Labels, columns: Sequence[int]) -> _Order:
    rows, first, strict, loose, negatives = [], [], [], [], []
    start = 0
    for column in columns:
        is_positive = labels == column
        negative, positive = np.flatnonzero(~is_positive), np.flatnonzero(is_positive)
        positive = positive[np.argsort(scores[positive, column], kind="stable")]
        high, low = scores[positive, column], scores[negative, column]
        rows.append(positive)
        negatives.append(negative)
        first.append(start + np.searchsorted(high, high, side="left"))
        strict.append(np.searchsorted(high, low, side="right"))
        loose.append(np.searchsorted(high, low, side="left"))
        start += len(positive)
    sizes = np.array([len(one) for one in rows], dtype=np.int64)
    has_ties = any(not np.array_equal(a, b) for a, b in zip(strict, loose, strict=True))
    return _Order(
        rows=np.concatenate(rows),
        bounds=np.concatenate([[0], np.cumsum(sizes)]),
        first=np.concatenate(first),
        below=_steps(strict, negatives, sizes, len(labels)),
        up_to=_steps(loose, negatives, sizes, len(labels)) if has_ties else None,
    )


def _cumulated(steps: sparse.csr_array, block: Weights, bounds: Labels) -> Weights:
    beaten: Weights = steps @ block
    for start, stop in pairwise(bounds):
        _add_up(beaten[start:stop])
    return beaten


def _add_up(array: NDArray[np.floating]) -> None:
    """Cumulative sum down the rows, in place: row by row where rows are long, since numpy goes column by column."""
    if array.shape[1] < LONG_ROW:
        np.cumsum(array, axis=0, out=array)
        return
    for row, before in zip(array[1:], array[:-1], strict=True):
        np.add(row, before, out=row)


def class_areas(
    scores: ArrayLike, labels: Labels, weights: Weights, *, columns: Sequence[int], has_precision: bool = False
) -> tuple[Array, Array]:
    """AUROC and average precision (NaN unless asked for) of each of these classes against the rest: (classes, B) each.

    scores (N, C), any increasing function of the probabilities; weights (N, B). NaN where a draw has no row of the
    class, or for the AUROC none outside it. Ties count one half for the AUROC; for the average precision rows of equal
    score enter together, as in scikit-learn.
    """
    at_once = max(1, LARGEST_STEPS // max(1, len(labels)))
    if len(columns) > at_once:  # each class has a place for every row that it does not hold
        parts = [
            class_areas(scores, labels, weights, columns=columns[start : start + at_once], has_precision=has_precision)
            for start in range(0, len(columns), at_once)
        ]
        return np.concatenate([roc for roc, _ in parts]), np.concatenate([precision for _, precision in parts])
    order = _ordered(np.asarray(scores, dtype=np.float64), labels, columns)
    count, draws = len(columns), weights.shape[1]
    areas = np.full((count, draws), np.nan)
    precisions = np.full((count, draws), np.nan)
    width = max(16, LARGEST_BLOCK // max(1, len(labels)))
    for start in range(0, draws, width):
        here = slice(start, start + width)
        block = np.ascontiguousarray(weights[:, here])
        below = _cumulated(order.below, block, order.bounds)
        up_to = below if order.up_to is None else _cumulated(order.up_to, block, order.bounds)
        own = block[order.rows]
        total = block.sum(axis=0, dtype=np.float64)
        for place, (begin, end) in enumerate(pairwise(order.bounds)):
            w = own[begin:end]
            inside = w.sum(axis=0, dtype=np.float64)
            outside = total - inside
            won = np.einsum("nb,nb->b", w, below[begin:end], dtype=np.float64)
            if order.up_to is not None:
                won = 0.5 * (won + np.einsum("nb,nb->b", w, up_to[begin:end], dtype=np.float64))
            with np.errstate(invalid="ignore"):
                areas[place, here] = won / (inside * outside)
            if has_precision:
                precisions[place, here] = _precision(
                    w, below[begin:end], order.first[begin:end] - begin, inside, outside
                )
    return areas, precisions


def _precision(w: Weights, below: Weights, first: Labels, inside: Array, outside: Array) -> Array:
    """Average precision of one class by draw: the mean over its rows of the precision at their score."""
    before = np.zeros((len(w) + 1, w.shape[1]))
    before[1:] = w
    _add_up(before)
    hits = inside - before[first]
    named = hits + (outside - below)
    np.divide(hits, named, out=hits, where=named > 0)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.einsum("nb,nb->b", w, hits) / inside)


def columns_of(metric: str, classes: int) -> Sequence[int]:
    """The classes over which an area is averaged: of two the second alone, but for "map"; else all."""
    return (1,) if classes == 2 and metric != "map" else range(classes)


def mean_over_classes(areas: Array) -> Array:
    """Plain mean over the classes that are defined in each draw: (B,); NaN where none is."""
    is_defined = np.isfinite(areas)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(is_defined, areas, 0.0).sum(axis=0) / is_defined.sum(axis=0))
