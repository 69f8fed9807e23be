"""SFDA: self-challenging Fisher discriminant analysis."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from workers.transferability.feature_pass import FeaturePass
from workers.transferability.pass_metric import PassMetric
from workers.transferability.spectrum import class_sums

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_LEAST_SHRINKAGE = 1e-10


def sfda(shared: FeaturePass, *, seed: int = 0, **_params: Any) -> float:
    """Mean probability of the right class under a shrunk Fisher discriminant, refitted on features made harder.

    1. Discriminant with S = (1 − a) S_w + a tr(S_w)/D I, a = max(exp(−5 λ), 1e-10), λ about the largest eigenvalue of
       S_w (three double steps of the power method, as in the authors' code: not quite rotation-free).
    2. Every row is moved towards the mean of the other classes' means by one minus the softened probability of its
       class (softmax applied twice, as in the authors' code); the discriminant is fitted again with the same a.
    3. Mean of p(y | x), without a logarithm.

    Takes the features in their own scale, which decides a: not scale-free, and equal to 1 for most data with N ≤ D.
    Leaves the features unchanged, which the authors' code does not. Source: Shao et al. 2022, equations 4 to 9.
    """
    features = shared.features * shared.scale
    first = _Discriminant(features, shared.codes, shared.classes, shrinkage=None)
    own = np.arange(shared.rows), shared.codes
    kept = softmax(first.probabilities(), axis=1)[own][:, None]
    others = (first.means.sum(axis=0) - first.means) / (shared.classes - 1)
    harder = kept * features + (1 - kept) * others[shared.codes]
    second = _Discriminant(harder, shared.codes, shared.classes, shrinkage=first.shrinkage)
    return float(second.probabilities()[own].mean())


class _Discriminant:
    """A linear discriminant with shrunk within-class covariance, on its own training rows."""

    def __init__(self, rows: Floats, codes: Ints, classes: int, *, shrinkage: float | None) -> None:
        counts = np.bincount(codes, minlength=classes)
        self.means = class_sums(rows, codes, classes) / counts[:, None]
        self._priors = counts / len(codes)
        # All offsets from the mean row cancel in the softmax and in the covariance.
        centre = rows.mean(axis=0)
        self._rows, self._means = rows - centre, self.means - centre
        within = self._rows - self._means[codes]
        dimensions = rows.shape[1]
        is_tall = dimensions < len(rows)
        values, axes = np.linalg.eigh((within.T @ within if is_tall else within @ within.T) / len(rows))
        values = np.maximum(values, 0.0)
        if shrinkage is None:
            shrinkage = max(float(np.exp(-5 * _power_method(within))), _LEAST_SHRINKAGE)
        self.shrinkage = shrinkage
        level = float(values.sum()) / dimensions
        # Rows without any spread inside their classes: distances between the means decide.
        ridge = shrinkage * level if level > 0 else 1.0
        if is_tall:
            self._axes, self._inverse, self._outside = axes, 1 / ((1 - shrinkage) * values + ridge), 0.0
            return
        keep = values > len(rows) * np.finfo(np.float64).eps * values[-1]
        self._axes = within.T @ (axes[:, keep] / np.sqrt(values[keep] * len(rows)))
        self._outside = 1 / ridge
        self._inverse = 1 / ((1 - shrinkage) * values[keep] + ridge) - self._outside

    def probabilities(self) -> Floats:
        """(N, C) probabilities of the classes."""
        projected, centres = self._rows @ self._axes, self._means @ self._axes
        scores = (projected * self._inverse) @ centres.T
        lengths = (np.square(centres) * self._inverse).sum(axis=1)
        if self._outside:
            scores += self._outside * (self._rows @ self._means.T)
            lengths += self._outside * np.square(self._means).sum(axis=1)
        return np.asarray(softmax(scores - lengths / 2 + np.log(self._priors), axis=1))


def _power_method(within: Floats) -> float:
    """About the largest eigenvalue of WᵀW/N, as the authors' code has it: three double steps from the row sums."""

    def step(vector: Floats) -> Floats:
        return np.asarray(within.T @ (within @ vector) / len(within))

    left = step(np.ones(within.shape[1]))
    right = left
    for _ in range(3):
        right = _unit(step(left))
        left = _unit(step(right))
    return float(left @ step(right))


def _unit(vector: Floats) -> Floats:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector


METRIC = PassMetric(compute=sfda, low=0.0, high=1.0)
