"""Ridge regression on one-hot labels: every penalty from one eigendecomposition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from workers.fewshot.head_entries import LAMBDAS, SHARPNESS
from workers.fewshot.heads.protocol import (
    Array,
    BaseHead,
    Labels,
    Validation,
    accuracy,
    centred,
    checked,
    held_out,
)
from workers.fewshot.heads.sharpness import sharpest
from workers.kit import UserError


class RidgePath:
    """Least squares with an intercept and λ‖W‖², for any λ at the cost of two products.

    x (n, D), targets (n, C). A reflection takes the constant out of the rows, so the intercept is free and exact; then
    the smaller of the two Gram matrices is decomposed.
    """

    def __init__(self, x: Array, targets: Array) -> None:
        n = len(x)
        self.middle, self.level = x.mean(axis=0), targets.mean(axis=0)
        # Householder: H maps e₁ to 1/√n; the other n − 1 columns span what is orthogonal to the constant.
        self._mirror = np.full(n, 1.0 / math.sqrt(n))
        self._mirror[0] += 1.0
        self._weight = 2.0 / float(self._mirror @ self._mirror)
        self._x = self._reflected(x - self.middle)[1:]
        self._targets = self._reflected(targets - self.level)[1:]
        self._centred = targets - self.level
        self.is_dual = n - 1 <= x.shape[1]
        gram = self._x @ self._x.T if self.is_dual else self._x.T @ self._x
        values, self._vectors = np.linalg.eigh(gram)
        floor = np.finfo(np.float64).eps * len(values) * max(float(values[-1]), 0.0)
        self._values = np.where(values > floor, values, 0.0)
        self._sides = self._vectors if self.is_dual else self._x @ self._vectors  # (n − 1, r)
        self._moments = self._sides.T @ self._targets  # (r, C)

    def _reflected(self, rows: Array) -> Array:
        return np.asarray(rows - np.outer(self._weight * self._mirror, self._mirror @ rows))

    def coefficients(self, penalty: float) -> Array:
        """W (D, C)."""
        inner = self._vectors @ (self._moments / (self._values + penalty)[:, None])
        return np.asarray(self._x.T @ inner if self.is_dual else inner)

    def left_out(self, penalty: float) -> Array:
        """What each row is given by the fit without it, (n, C): the closed form behind PRESS (Allen 1974)."""
        shrunk = 1.0 / (self._values + penalty)
        # The row of zeros is the constant's: it has no part in what is left after the intercept.
        sides = self._reflected(np.vstack([np.zeros(self._sides.shape[1]), self._sides]))
        if self.is_dual:  # residual and 1 − leverage both vanish with λ; their ratio does not
            residual = sides @ (self._moments * shrunk[:, None])
            room = (sides**2) @ shrunk
        else:
            residual = self._centred - sides @ (self._moments * shrunk[:, None])
            room = 1.0 - 1.0 / len(self._centred) - (sides**2) @ shrunk
        return np.asarray(self._centred + self.level - residual / np.maximum(room, 1e-300)[:, None])


class RidgeHead(BaseHead):
    """The class with the largest value of a ridge regression on one-hot labels, intercept not penalised.

    λ is the one of the grid with the highest accuracy on the validation rows, the first of equals; without them the
    one with the least squared leave-one-out error. Values are multiplied by a factor before the softmax, chosen by log
    loss on the same rows. Features are centred, not scaled.
    """

    def __init__(self, *, lambdas: Sequence[float] = LAMBDAS, sharpness: Sequence[float] = SHARPNESS) -> None:
        if not lambdas or not all(math.isfinite(one) and one > 0 for one in lambdas):
            raise UserError("The grid of λ must hold positive numbers, at least one.", field="lambdas")
        self.lambdas, self.grid = tuple(lambdas), tuple(sharpness)
        self.penalty = self.factor = math.nan

    def fit(self, x: ArrayLike, y: ArrayLike, *, validation: Validation | None = None) -> RidgeHead:
        """Fit on x (n, D), y (n,); choose λ on `validation`."""
        features, labels = checked(x, y)
        self.classes, targets = np.unique(labels, return_inverse=True)
        one_hot = (targets[:, None] == np.arange(len(self.classes))[None, :]).astype(np.float64)
        self._path = RidgePath(features, one_hot)
        rows = held_out(validation, self.classes)
        if rows is None:
            self._by_press(one_hot, targets)
        else:
            self._by_validation(*rows)
        self.coefficients = self._path.coefficients(self.penalty)
        del self._path
        return self

    def _by_validation(self, rows: Array, targets: Labels) -> None:
        middle, level = self._middle()
        values = [(rows - middle) @ self._path.coefficients(one) + level for one in self.lambdas]
        scores = [accuracy(one, targets) for one in values]
        best = int(np.argmax(scores))
        self.penalty = self.lambdas[best]
        self.factor = sharpest(values[best], targets, self.grid)
        self.choice = f"λ = {self.penalty:g} by validation accuracy {scores[best]:.3f}"

    def _by_press(self, one_hot: Array, targets: Labels) -> None:
        self._middle()
        left_out = [self._path.left_out(one) for one in self.lambdas]
        best = int(np.argmin([float(((one - one_hot) ** 2).sum()) for one in left_out]))
        self.penalty = self.lambdas[best]
        self.factor = sharpest(left_out[best], targets, self.grid)
        self.choice = f"λ = {self.penalty:g} by leave-one-out error"

    def _middle(self) -> tuple[Array, Array]:
        self.middle, self.level = self._path.middle, self._path.level
        return self.middle, self.level

    def settings(self) -> dict[str, Any]:
        """The chosen λ and factor."""
        return {"lambdas": (self.penalty,), "sharpness": (self.factor,)}

    def decision(self, x: ArrayLike) -> Array:
        """Logits (N, C): the factor times the fitted values, centred."""
        values = (np.asarray(x, dtype=np.float64) - self.middle) @ self.coefficients + self.level
        return centred(self.factor * values)
