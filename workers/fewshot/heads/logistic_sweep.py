"""Logistic regression by CLIP's recipe: coarse penalties first, then halvings around the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from workers.fewshot.head_entries import COARSE_C
from workers.fewshot.heads.logistic import ROUGH, checked_strengths, logits_of
from workers.fewshot.heads.protocol import Array, BaseHead, Labels, Validation, accuracy, checked, held_out
from workers.fewshot.logistic_path import LogisticPath, Solution

UNCHOSEN = 1.0


class _Sweep:
    """Fits by C, each made once, from the nearest stronger penalty, and its accuracy on the validation rows."""

    def __init__(self, path: LogisticPath, rows: tuple[Array, Labels], *, tolerance: float) -> None:
        self._path, self._rows, self._tolerance = path, rows, tolerance
        self.fits: dict[float, Solution] = {}
        self._scores: dict[float, float] = {}

    def score(self, c: float) -> float:
        if c not in self.fits:
            stronger = [one for one in self.fits if one < c]
            start = self.fits[max(stronger)] if stronger else None
            self.fits[c] = self._path.fit(c, tolerance=self._tolerance, start=start)
            self._scores[c] = accuracy(logits_of(self.fits[c], self._rows[0]), self._rows[1])
        return self._scores[c]


class LogisticSweepHead(BaseHead):
    """L2 logistic regression on the features as they are; C by accuracy on the validation rows.

    The best of the coarse values (the first of equals) opens an interval of a factor of ten to both sides; `halvings`
    times its better end stays, the weaker one in C on ties, and the other moves half-way towards it in log C. The last
    better end is C. As in CoOp's re-implementation of CLIP's linear probe (Zhou et al., IJCV 2022), 15 of the 23
    fits are distinct. Without validation rows C is 1.
    """

    def __init__(self, *, coarse: Sequence[float] = COARSE_C, halvings: int = 8, tolerance: float = 2e-7) -> None:
        self.coarse = checked_strengths(coarse, "coarse")
        self.halvings, self.tolerance = halvings, tolerance
        self.converged = False
        self.c = math.nan

    def fit(self, x: ArrayLike, y: ArrayLike, *, validation: Validation | None = None) -> LogisticSweepHead:
        """Fit on x (n, D), y (n,); choose C on `validation` (features, labels)."""
        features, labels = checked(x, y)
        self.classes, targets = np.unique(labels, return_inverse=True)
        path = LogisticPath(features, targets, classes=len(self.classes))
        rows = held_out(validation, self.classes)
        start: Solution | None = None
        if rows is None:
            self.c = UNCHOSEN if UNCHOSEN in self.coarse else self.coarse[len(self.coarse) // 2]
            self.choice = f"C = {self.c:g}"
        else:
            sweep = _Sweep(path, rows, tolerance=max(ROUGH, self.tolerance))
            self.c = self._searched(sweep)
            start = sweep.fits[self.c]
            self.choice = f"C = {self.c:.4g} by validation accuracy {sweep.score(self.c):.3f}"
        self._solution = path.fit(self.c, tolerance=self.tolerance, start=start)
        self.coefficients, self.intercepts = self._solution.coefficients, self._solution.intercepts
        self.converged = self._solution.converged
        return self

    def _searched(self, sweep: _Sweep) -> float:
        for c in sorted(set(self.coarse)):
            sweep.score(c)  # from strong to weak, so that each starts from the one before
        peak = max(self.coarse, key=sweep.score)
        low, high, best = math.log10(peak) - 1.0, math.log10(peak) + 1.0, peak
        for _ in range(self.halvings):
            left, right = 10.0**low, 10.0**high
            if sweep.score(left) < sweep.score(right):
                low, best = 0.5 * (low + high), right
            else:
                high, best = 0.5 * (low + high), left
        return best

    def settings(self) -> dict[str, Any]:
        """The chosen C, without a search around it."""
        return {"coarse": (self.c,), "halvings": 0}

    def decision(self, x: ArrayLike) -> Array:
        """Logits (N, C), centred by row."""
        return logits_of(self._solution, np.asarray(x, dtype=np.float64))
