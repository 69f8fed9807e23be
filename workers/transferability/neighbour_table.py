"""Nearest neighbours of every row among all other rows, in blocks, so that memory stays flat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Neighbours kept per row. A half-sample finds about half of them; a row that finds fewer than k is ranked anew.
_KEPT = 64
_BLOCK_ENTRIES = 4_000_000


@dataclass(frozen=True, eq=False, kw_only=True)
class NeighbourTable:
    """The first neighbours of every row, nearest first; equal distances in row order.

    features  (N, D) centred rows
    lengths   (N,) their squared lengths
    order     (N, m) row numbers, −1 where fewer than m are known
    """

    features: Floats
    lengths: Floats
    order: Ints

    @classmethod
    def of(cls, features: Floats) -> NeighbourTable:
        """Rank all rows of (N, D) features, N ≥ 2, by Euclidean distance."""
        # Distances come from inner products; centring keeps a large common offset from eating their digits.
        centred = features - features.mean(axis=0)
        lengths = np.asarray(np.einsum("ij,ij->i", centred, centred))
        rows = len(centred)
        order = _ranked(centred, lengths, np.arange(rows), min(_KEPT, rows - 1))
        return cls(features=centred, lengths=lengths, order=order)

    def nearest(self, k: int) -> Ints:
        """(N, k) the k nearest other rows of every row. Raises ValueError unless 1 ≤ k < N."""
        rows = len(self.features)
        if not 1 <= k < rows:
            raise ValueError(f"{rows} rows have between 1 and {rows - 1} neighbours, not {k}")
        if k <= self.order.shape[1]:
            nearest = self.order[:, :k]
            short = np.flatnonzero(nearest[:, -1] < 0)
            if len(short) == 0:
                return nearest
            nearest = nearest.copy()
            nearest[short] = _ranked(self.features, self.lengths, short, k)
            return nearest
        return _ranked(self.features, self.lengths, np.arange(rows), k)

    def within(self, indices: Ints) -> NeighbourTable:
        """The table of some of the rows, from the ranks known here; row numbers are places in `indices`."""
        places = np.full(len(self.features), -1, dtype=np.int64)
        places[indices] = np.arange(len(indices))
        known = self.order[indices]
        found = np.where(known >= 0, places[known], -1)
        # A stable sort on "is missing" moves the rows of the half-sample to the front and keeps their rank.
        front = np.argsort(found < 0, axis=1, kind="stable")
        order = np.take_along_axis(found, front, axis=1)
        return NeighbourTable(features=self.features[indices], lengths=self.lengths[indices], order=order)


def _ranked(features: Floats, lengths: Floats, rows: npt.NDArray[Any], k: int) -> Ints:
    """(len(rows), k) nearest other rows, by distance and then by row number."""
    total = len(features)
    order = np.empty((len(rows), k), dtype=np.int64)
    step = max(1, _BLOCK_ENTRIES // total)
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        distances = features[block] @ features.T
        distances *= -2
        distances += lengths
        distances += lengths[block, None]
        # Equal rows must be at distance zero exactly, or rounding would decide between them.
        distances[distances < 1e-12 * (lengths.max(initial=0.0))] = 0
        distances[np.arange(len(block)), block] = np.inf
        order[start : start + len(block)] = _smallest(distances, k)
    return order


def _smallest(distances: Floats, k: int) -> Ints:
    """(rows, k) places of the k smallest entries of every row, equal ones by place."""
    rows, total = distances.shape
    if k >= total - 1:
        return np.argsort(distances, axis=1, kind="stable")[:, :k]
    is_candidate = distances <= np.partition(distances, k - 1, axis=1)[:, k - 1 : k]
    has_ties = np.count_nonzero(is_candidate, axis=1) > k
    for row in np.flatnonzero(has_ties):
        places = np.flatnonzero(is_candidate[row])
        surplus = places[np.argsort(distances[row, places], kind="stable")[k:]]
        is_candidate[row, surplus] = False
    candidates = np.nonzero(is_candidate)[1].reshape(rows, k)
    ranks = np.argsort(np.take_along_axis(distances, candidates, axis=1), axis=1, kind="stable")
    return np.take_along_axis(candidates, ranks, axis=1)
