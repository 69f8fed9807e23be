"""k nearest neighbours by cosine, near ones counting more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from workers.fewshot.head_entries import NEIGHBOURS
from workers.fewshot.heads.protocol import (
    Array,
    BaseHead,
    Validation,
    accuracy,
    checked,
    held_out,
    log_of,
)
from workers.kit import UserError
from workers.statistics.vectors import unit_rows

SAME = 1e-12
BLOCK = 2_000_000  # distances at once


class NearestNeighboursHead(BaseHead):
    """Share of each class among the k nearest rows by cosine distance d, weighted by 1/d; copies of a row decide alone.

    k is the one of the grid with the highest accuracy on the validation rows, the first of equals; without them the
    middle of the grid. Rows equally far as the k-th share its place, so their order does not matter.
    """

    def __init__(self, *, neighbours: Sequence[int] = NEIGHBOURS) -> None:
        if not neighbours or min(neighbours) < 1:
            raise UserError("Numbers of neighbours must be 1 or more, at least one.", field="neighbours")
        self.grid = tuple(neighbours)
        self.k = 0

    def fit(self, x: ArrayLike, y: ArrayLike, *, validation: Validation | None = None) -> NearestNeighboursHead:
        """Keep the rows x (n, D), y (n,); choose k on `validation`."""
        features, labels = checked(x, y)
        self.classes, self._targets = np.unique(labels, return_inverse=True)
        self._rows = unit_rows(features)
        grid = tuple(dict.fromkeys(min(k, len(features)) for k in self.grid))
        rows = held_out(validation, self.classes)
        if rows is None:
            self.k = grid[len(grid) // 2]
            self.choice = f"k = {self.k}"
        else:
            scores = {k: accuracy(p, rows[1]) for k, p in self._shares(rows[0], grid).items()}
            self.k = max(grid, key=lambda k: scores[k])
            self.choice = f"k = {self.k} by validation accuracy {scores[self.k]:.3f}"
        return self

    def _shares(self, x: ArrayLike, grid: Sequence[int]) -> dict[int, Array]:
        """Probabilities (N, C) for each k."""
        rows = unit_rows(x)
        step = max(1, BLOCK // len(self._rows))
        blocks = [self._block(rows[start : start + step], grid) for start in range(0, len(rows), step)]
        empty = np.empty((0, len(self.classes)))
        return {k: np.concatenate([empty, *(block[k] for block in blocks)]) for k in grid}

    def _block(self, rows: Array, grid: Sequence[int]) -> dict[int, Array]:
        distances = np.maximum(1.0 - rows @ self._rows.T, 0.0)
        targets = np.broadcast_to(self._targets, distances.shape)
        furthest = max(grid)
        if furthest < len(self._rows):
            near = np.argpartition(distances, furthest - 1, axis=1)[:, :furthest]
            edge = np.take_along_axis(distances, near[:, -1:], axis=1)
            if (distances <= edge + SAME).sum() == near.size:  # else some place is shared with rows further on
                distances, targets = np.take_along_axis(distances, near, axis=1), self._targets[near]
        ordered = np.sort(distances, axis=1)
        cell = (np.arange(len(rows))[:, None] * len(self.classes) + targets).ravel()
        is_same = distances <= SAME
        has_same = is_same.any(axis=1, keepdims=True)
        found = {}
        for k in grid:
            edge = ordered[:, k - 1 : k]
            is_inside = distances < edge - SAME
            is_edge = np.abs(distances - edge) <= SAME
            share = is_inside + is_edge * ((k - is_inside.sum(axis=1)) / is_edge.sum(axis=1))[:, None]
            weights = np.where(has_same, is_same, share / np.maximum(distances, SAME))
            votes = np.bincount(cell, weights=weights.ravel(), minlength=len(rows) * len(self.classes))
            votes = votes.reshape(len(rows), -1)
            found[k] = votes / votes.sum(axis=1, keepdims=True)
        return found

    def settings(self) -> dict[str, Any]:
        """The chosen k."""
        return {"neighbours": (self.k,)}

    def decision(self, x: ArrayLike) -> Array:
        """Logits (N, C): logarithms of the shares, centred; a share of 0 counts as 1e-12."""
        return log_of(self._shares(x, (self.k,))[self.k])
