"""NCTI's raw parts: three distances from neural collapse; combined over many models when read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from workers.kit import UserError
from workers.transferability.feature_pass import FeaturePass
from workers.transferability.pass_metric import PassMetric
from workers.transferability.spectrum import class_sums

Floats = npt.NDArray[np.float64]

COMPONENTS = 64
_STRONGEST = 32
_LEAST_SHRINKAGE = 1e-10
# Directions inside the classes with less than this share of the largest variance have no discriminant.
_RANK = 1e-8


@dataclass(frozen=True, eq=False, kw_only=True)
class _Discriminant:
    """projected (N, ≤ C − 1) rows on the discriminant directions, centred; probabilities (N, C) of the classes."""

    projected: Floats
    probabilities: Floats


def class_centres(shared: FeaturePass, *, seed: int = 0, **_params: Any) -> float:
    """NCC: mean probability of the right class under the discriminant; in [0, 1], higher is better.

    All three parts read 64 principal components and a linear discriminant on them, with shrinkage exp(−v), v the
    variance (ddof 1, features in their own scale) of the first 32, and none below 1e-10. NCTI is, over the models
    compared, minmax(NCC) + minmax(SELI) − minmax(VC): one more model changes all of them, so only the parts are stored.
    Raises UserError where nothing varies inside the classes. Source: Wang et al. 2023, section 3, and the authors'
    `NCTI_Score`.
    """
    own = np.arange(shared.rows), shared.codes
    return float(_discriminant(shared).probabilities[own].mean())


def simplex_structure(shared: FeaturePass, *, seed: int = 0, **_params: Any) -> float:
    """SELI: nuclear norm of the centred rows on the discriminant directions; higher is better. See `class_centres`."""
    return _nuclear_norm(_discriminant(shared).projected)


def class_variability(shared: FeaturePass, *, seed: int = 0, **_params: Any) -> float:
    """VC: ln of the sum over classes of the nuclear norms of their rows' probabilities; lower is better.

    See `class_centres`.
    """
    probabilities = _discriminant(shared).probabilities
    norms = [_nuclear_norm(probabilities[shared.codes == code]) for code in range(shared.classes)]
    return float(np.log(sum(norms)))


def _nuclear_norm(values: Floats) -> float:
    return float(np.linalg.svd(values, compute_uv=False).sum()) if values.size else 0.0


def _discriminant(shared: FeaturePass) -> _Discriminant:
    rows = shared.scores(COMPONENTS) * shared.scale
    strongest = shared.principal().values[:_STRONGEST] * (shared.scale**2 / (shared.rows - 1))
    shrinkage = max(float(np.exp(-strongest.sum())), _LEAST_SHRINKAGE)
    if shrinkage == _LEAST_SHRINKAGE:
        shrinkage = 0.0
    means = class_sums(rows, shared.codes, shared.classes) / shared.counts[:, None]
    priors = shared.counts / shared.rows
    inside = rows - means[shared.codes]
    size = min(COMPONENTS, shared.rows, shared.dimensions)
    within = _shrunk(inside.T @ inside / shared.rows, shrinkage, size)
    between = _shrunk(rows.T @ rows / shared.rows, shrinkage, size) - within
    values, axes = np.linalg.eigh(within) if rows.shape[1] else (np.zeros(1), np.zeros((0, 1)))
    if not values[-1] > 0:
        raise UserError("NCTI needs features that vary inside the classes: these do not.")
    keep = values > _RANK * values[-1]
    whitened = axes[:, keep] / np.sqrt(values[keep])
    _strengths, directions = np.linalg.eigh(whitened.T @ between @ whitened)
    centres, points = means @ whitened, rows @ whitened
    scores = points @ centres.T - np.square(centres).sum(axis=1) / 2 + np.log(priors)
    projected = points @ directions[:, ::-1][:, : shared.classes - 1]
    return _Discriminant(
        projected=projected - projected.mean(axis=0), probabilities=np.asarray(softmax(scores, axis=1))
    )


def _shrunk(covariance: Floats, share: float, size: int) -> Floats:
    """Towards the mean of `size` variances: components without variance count, though they are left out."""
    return np.asarray((1 - share) * covariance + share * np.trace(covariance) / size * np.eye(len(covariance)))


NCC = PassMetric(compute=class_centres, low=0.0, high=1.0)
SELI = PassMetric(compute=simplex_structure, low=0.0)
VC = PassMetric(compute=class_variability)
