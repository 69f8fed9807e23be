"""Likeness of two geometries of the same rows: of their distances (RSA), and of their shapes (Procrustes)."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from workers.statistics.vectors import unit_rows

Floats = npt.NDArray[np.float64]
Distance = Literal["correlation", "cosine"]


def dissimilarities(features: npt.NDArray[np.floating], *, distance: Distance = "correlation") -> Floats:
    """(N, N) 1 − cosine, or 1 − Pearson correlation of the features of two rows; 0 on the diagonal.

    Kriegeskorte, Mur and Bandettini, Frontiers in Systems Neuroscience 2008 (representational dissimilarity matrices).
    A row without direction (all zero, all equal) is at 1 from all others.
    """
    x = np.asarray(features, dtype=np.float64)
    if distance == "correlation":
        largest = np.abs(x).max(axis=1, keepdims=True)
        x = x - x.mean(axis=1, keepdims=True)
        x[np.abs(x).max(axis=1) <= 1e-14 * largest[:, 0]] = 0.0
    unit = unit_rows(x)
    found = 1.0 - unit @ unit.T
    np.fill_diagonal(found, 0.0)
    return found


def upper(matrix: Floats) -> Floats:
    """The entries above the diagonal, row by row."""
    return np.asarray(matrix[np.triu_indices(len(matrix), 1)])


def pearson(one: Floats, two: Floats) -> float:
    """Pearson's r of two vectors; NaN where one does not vary."""
    a, b = one - one.mean(), two - two.mean()
    below = math.sqrt(float(a @ a) * float(b @ b))
    is_flat = float(a @ a) <= 1e-24 * float(one @ one) or float(b @ b) <= 1e-24 * float(two @ two)
    return math.nan if is_flat else min(1.0, max(-1.0, float(a @ b) / below))


class Ranking:
    """Values in order, once sorted, from which the ranks of any part of them follow without sorting again."""

    def __init__(self, values: Floats) -> None:
        """Equal to rounding counts as equal."""
        places, self._place = np.unique(np.round(values, 12), return_inverse=True)
        self._count = len(places)

    def ranks(self, part: npt.NDArray[np.bool_] | None = None) -> Floats:
        """Ranks from 1 within the values that `part` (N,) chooses (all if None), equals with the mean of theirs."""
        chosen = self._place if part is None else self._place[part]
        counts = np.bincount(chosen, minlength=self._count)
        return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[chosen])


def spearman(one: Floats, two: Floats) -> float:
    """Spearman's rank correlation of two vectors; NaN where one does not vary."""
    return pearson(Ranking(one).ranks(), Ranking(two).ranks())


def principal(features: npt.NDArray[np.floating], *, most: int) -> tuple[Floats, float]:
    """The rows in their leading principal components (N, min(D, most)), centred, and the share of variance they hold.

    Unchanged but for a rotation where D ≤ most.
    """
    x = np.array(features, dtype=np.float64)
    x -= x.mean(axis=0)
    whole = float(np.sum(x * x))
    if x.shape[1] <= most or whole == 0.0:
        return x[:, :most], 1.0
    if len(x) < x.shape[1]:
        values, vectors = np.linalg.eigh(x @ x.T)
        kept = vectors[:, -most:] * np.sqrt(np.maximum(values[-most:], 0.0))
    else:
        _, vectors = np.linalg.eigh(x.T @ x)
        kept = x @ vectors[:, -most:]
    return kept, float(np.sum(kept * kept)) / whole


def procrustes_likeness(one: Floats, two: Floats) -> float:
    """‖XᵀY‖_* of centred features of norm 1, in [0, 1]: 1 − half of the squared orthogonal Procrustes distance.

    Ding, Denain and Steinhardt, Grounding Representation Similarity, NeurIPS 2021, arXiv 2108.01661, section 2.
    1 where one is a rotation and scaling of the other; NaN where one does not vary. Unrelated features of many
    dimensions over few rows are far above 0.
    """
    x, y = one - one.mean(axis=0), two - two.mean(axis=0)
    below = float(np.linalg.norm(x) * np.linalg.norm(y))
    if below == 0.0:
        return math.nan
    return min(1.0, float(np.linalg.svd(x.T @ y, compute_uv=False).sum()) / below)
