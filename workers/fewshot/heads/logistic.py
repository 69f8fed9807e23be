"""Logistic regression by EHRSHOT's recipe, solved exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from workers.fewshot.head_entries import C_GRID
from workers.fewshot.heads.protocol import Array, Labels, Validation, checked, one_vs_rest_log_odds, softmax
from workers.fewshot.logistic_path import LogisticPath, Solution
from workers.kit import UserError
from workers.statistics.bootstrap import point_score

ROUGH = 1e-4


class LogisticHead:
    """L2 logistic regression (softmax for three classes or more) on features divided by their largest training value.

    C is the one of `c_grid` with the highest AUROC on the validation rows, the first of equals; without validation rows
    it is 1 or, failing that, the middle of the grid. The fit itself sees the training rows only. `tolerance` bounds the
    relative error of the coefficients; C is chosen on fits within `ROUGH` of the optimum, and the chosen fit is
    finished. EHRSHOT (Wornow et al., NeurIPS 2023) uses scikit-learn's lbfgs for the same optimum.
    """

    def __init__(self, *, c_grid: Sequence[float] = C_GRID, tolerance: float = 2e-7) -> None:
        if not c_grid or not all(math.isfinite(c) and c > 0 for c in c_grid):
            raise UserError("The grid of C must hold positive numbers, at least one.", field="c_grid")
        self.c_grid = tuple(c_grid)
        self.tolerance = tolerance
        self.classes: Labels = np.empty(0, dtype=np.int64)
        self.converged = False
        self.choice = ""
        self.c = math.nan

    def fit(self, x: ArrayLike, y: ArrayLike, *, validation: Validation | None = None) -> LogisticHead:
        """Fit on x (n, D), y (n,); choose C on `validation` (features, labels)."""
        features, labels = checked(x, y)
        self.classes, targets = np.unique(labels, return_inverse=True)
        scale = np.abs(features).max(axis=0)
        scale[scale == 0.0] = 1.0
        self._scale = scale
        features /= scale
        grid = self.c_grid
        if validation is None:
            grid = (1.0,) if 1.0 in self.c_grid else (self.c_grid[len(self.c_grid) // 2],)
        held_out = self._validation(validation)
        path = LogisticPath(features, targets, classes=len(self.classes))
        # Weak penalties start from the solution of the next stronger one; the grid's own order only breaks ties.
        rough: dict[float, Solution] = {}
        solution: Solution | None = None
        for c in sorted(set(grid)):
            solution = path.fit(c, tolerance=max(ROUGH, self.tolerance), start=solution)
            rough[c] = solution
        areas = {c: self._auroc(one, held_out) for c, one in rough.items()}
        self.c = max(grid, key=lambda c: areas[c])
        score = areas[self.c]
        solution = path.fit(self.c, tolerance=self.tolerance, start=rough[self.c])
        self.coefficients, self.intercepts = solution.coefficients, solution.intercepts
        self.converged = solution.converged
        self.choice = f"C = {self.c:g}" + (f" by validation AUROC {score:.3f}" if score >= 0 else "")
        return self

    def _validation(self, validation: Validation | None) -> tuple[Array, Labels] | None:
        if validation is None:
            return None
        labels = np.asarray(validation[1]).astype(np.int64)
        is_known = np.isin(labels, self.classes)
        if not is_known.any():
            return None
        features = np.asarray(validation[0], dtype=np.float64)[is_known]
        return features / self._scale, np.searchsorted(self.classes, labels[is_known])

    def _auroc(self, solution: Solution, held_out: tuple[Array, Labels] | None) -> float:
        """Validation AUROC; −1 where there is none, so that the first entry of the grid stands."""
        if held_out is None:
            return -1.0
        score = point_score("auroc", one_vs_rest_log_odds(_logits(solution, held_out[0])), held_out[1])
        return score if math.isfinite(score) else -1.0

    def decision(self, x: ArrayLike) -> Array:
        """Logits (N, C), centred by row."""
        features = np.asarray(x, dtype=np.float64) / self._scale
        return _centred(features @ self.coefficients.T + self.intercepts)

    def predict_proba(self, x: ArrayLike) -> Array:
        """Probabilities (N, C)."""
        return softmax(self.decision(x))


def _centred(raw: Array) -> Array:
    if raw.shape[1] == 1:
        return np.hstack([-0.5 * raw, 0.5 * raw])
    return np.asarray(raw - raw.mean(axis=1, keepdims=True))


def _logits(solution: Solution, features: Array) -> Array:
    return _centred(features @ solution.coefficients.T + solution.intercepts)
