"""Logistic regression by EHRSHOT's recipe, solved exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from workers.fewshot.head_entries import C_GRID
from workers.fewshot.heads.protocol import (
    Array,
    BaseHead,
    Labels,
    Validation,
    centred,
    checked,
    held_out,
    one_vs_rest_log_odds,
)
from workers.fewshot.logistic_path import LogisticPath, Solution
from workers.kit import UserError
from workers.statistics.bootstrap import point_score

ROUGH = 1e-4


def auroc(logits: Array, targets: Labels) -> float:
    """Area of logits (N, C), macro one-vs-rest for three classes or more; −1 where it is not defined."""
    score = point_score("auroc", one_vs_rest_log_odds(logits), targets)
    return score if math.isfinite(score) else -1.0


def checked_strengths(values: Sequence[float], field: str) -> tuple[float, ...]:
    """The values of C; raises UserError unless all are positive."""
    if not values or not all(math.isfinite(c) and c > 0 for c in values):
        raise UserError("The grid of C must hold positive numbers, at least one.", field=field)
    return tuple(values)


def logits_of(solution: Solution, features: Array) -> Array:
    """Centred logits (N, C) of a fit; one column of coefficients stands for two classes."""
    raw = features @ solution.coefficients.T + solution.intercepts
    return np.hstack([-0.5 * raw, 0.5 * raw]) if raw.shape[1] == 1 else centred(raw)


class LogisticHead(BaseHead):
    """L2 logistic regression (softmax for three classes or more) on features divided by their largest training value.

    C is the one of `c_grid` with the highest AUROC on the validation rows, the first of equals; without validation rows
    it is 1 or, failing that, the middle of the grid. The fit itself sees the training rows only. `tolerance` bounds the
    relative error of the coefficients; C is chosen on fits within `ROUGH` of the optimum, and the chosen fit is
    finished. EHRSHOT (Wornow et al., NeurIPS 2023) uses scikit-learn's lbfgs for the same optimum.
    """

    def __init__(self, *, c_grid: Sequence[float] = C_GRID, tolerance: float = 2e-7) -> None:
        self.c_grid = checked_strengths(c_grid, "c_grid")
        self.tolerance = tolerance
        self.classes: Labels = np.empty(0, dtype=np.int64)
        self.converged = False
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
        rows = held_out(validation, self.classes)
        path = LogisticPath(features, targets, classes=len(self.classes))
        # Weak penalties start from the solution of the next stronger one; the grid's own order only breaks ties.
        rough: dict[float, Solution] = {}
        solution: Solution | None = None
        areas = dict.fromkeys(grid, -1.0)
        for c in sorted(set(grid)):
            solution = rough[c] = path.fit(c, tolerance=max(ROUGH, self.tolerance), start=solution)
            if rows is not None:
                areas[c] = auroc(logits_of(solution, rows[0] / scale), rows[1])
                if areas[c] == 1.0 and list(grid) == sorted(grid):
                    break  # no later entry can be better, and of equals the first counts
        self.c = max(grid, key=lambda c: areas[c])
        score = areas[self.c]
        self._finish(path.fit(self.c, tolerance=self.tolerance, start=rough[self.c]))
        self.choice = f"C = {self.c:g}" + (f" by validation AUROC {score:.3f}" if score >= 0 else "")
        return self

    def _finish(self, solution: Solution) -> None:
        self._solution = solution
        self.coefficients, self.intercepts = solution.coefficients, solution.intercepts
        self.converged = solution.converged

    def settings(self) -> dict[str, Any]:
        """The chosen C."""
        return {"c_grid": (self.c,)}

    def decision(self, x: ArrayLike) -> Array:
        """Logits (N, C), centred by row."""
        return logits_of(self._solution, np.asarray(x, dtype=np.float64) / self._scale)
