"""Linear discriminant analysis with one shrunk covariance for all classes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from workers.fewshot.heads.nearest_class_mean import class_means
from workers.fewshot.heads.protocol import Array, BaseHead, Validation, centred, checked
from workers.kit import UserError

LEAST = 1e-6


def ledoit_wolf(residuals: Array) -> tuple[float, float]:
    """Intensity of the shrinkage of R'R/n towards a multiple of the identity, and that multiple; R (n, D) of mean 0.

    Ledoit and Wolf, Journal of Multivariate Analysis 2004, Lemma 3.2 and 3.3; from the smaller Gram matrix.
    """
    n, dimensions = residuals.shape
    gram = residuals @ residuals.T if n <= dimensions else residuals.T @ residuals
    squares = float((gram**2).sum()) / n**2
    level = float((residuals**2).sum()) / (n * dimensions)
    apart = squares - dimensions * level**2
    noise = (float((((residuals**2).sum(axis=1)) ** 2).sum()) / n - squares) / n
    return (1.0 if apart <= 0.0 else min(1.0, max(0.0, noise / apart))), level


class DiscriminantHead(BaseHead):
    """Gaussian classes with a common covariance: (1 − a) S + a tr(S)/D I, a by Ledoit and Wolf (FSA, arXiv:2303.13199).

    S is the pooled covariance of the rows about their class means, divided by n − C; the priors are the shares of the
    classes. Where no class has two distinct rows there is no such covariance: the variance of the class means stands
    in, which makes it the nearest class mean. Nothing is chosen, so the validation rows are not read.
    """

    def __init__(self, *, shrinkage: float | None = None) -> None:
        if shrinkage is not None and not 0.0 < shrinkage <= 1.0:
            raise UserError("The shrinkage must be above 0 and at most 1.", field="shrinkage")
        self._given = shrinkage
        self.shrinkage = math.nan

    def fit(self, x: ArrayLike, y: ArrayLike, *, validation: Validation | None = None) -> DiscriminantHead:
        """Estimate means, priors and covariance; x (n, D), y (n,)."""
        features, labels = checked(x, y)
        self.classes, means = class_means(features, labels)
        member = np.searchsorted(self.classes, labels)
        self.middle = features.mean(axis=0)
        residuals = features - means[member]
        residuals[np.abs(residuals) <= 1e-12 * np.abs(features)] = 0.0  # copies of a row leave rounding only
        means = means - self.middle
        intensity, level = ledoit_wolf(residuals)
        self.shrinkage = max(intensity, LEAST) if self._given is None else self._given
        if level == 0.0:
            self.shrinkage, level = 1.0, float((means**2).mean())
            residuals = np.zeros((1, features.shape[1]))
        else:
            correction = len(features) / max(len(features) - len(self.classes), 1)
            residuals *= math.sqrt(correction)
            level *= correction
        level = level or 1.0  # all rows equal: nothing tells them apart, whatever the scale
        weights = _solve(residuals, self.shrinkage, level, means, rows=len(features))
        self.coefficients = weights
        self.intercepts = np.log(np.bincount(member) / len(features)) - 0.5 * (weights * means).sum(axis=1)
        return self

    def decision(self, x: ArrayLike) -> Array:
        """Logits (N, C): x'Σ⁻¹m − ½ m'Σ⁻¹m + ln prior, centred."""
        return centred((np.asarray(x, dtype=np.float64) - self.middle) @ self.coefficients.T + self.intercepts)


def _solve(residuals: Array, intensity: float, level: float, means: Array, *, rows: int) -> Array:
    """Σ⁻¹ means for Σ = (1 − a) R'R/rows + a level I, (C, D), in the smaller of the two spaces."""
    identity = intensity * level
    share = (1.0 - intensity) / rows
    if len(residuals) <= residuals.shape[1]:  # Woodbury
        inner = share * residuals @ residuals.T
        inner[np.diag_indices_from(inner)] += identity
        moved = np.linalg.solve(inner, residuals @ means.T)
        return np.asarray((means - share * (residuals.T @ moved).T) / identity)
    covariance = share * residuals.T @ residuals
    covariance[np.diag_indices_from(covariance)] += identity
    return np.asarray(np.linalg.solve(covariance, means.T).T)
