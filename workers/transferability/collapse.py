"""Neural collapse: how far each class has shrunk to a point, and how evenly the points lie."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from workers.kit import UserError
from workers.transferability.feature_pass import FeaturePass
from workers.transferability.pass_metric import PassMetric

Floats = npt.NDArray[np.float64]

# Directions between the class means below this share of the strongest are rounding.
_RANK = 1e-10


def within_variability(shared: FeaturePass, *, seed: int = 0, **_params: Any) -> float:
    """NC1: tr(S_w S_b⁺)/C, S_w the covariance inside the classes (ddof 0), S_b that of the C class means.

    0 where every class is a point. The classes count alike in S_b, about the mean of their means. Scale- and
    rotation-free. Raises UserError where all class means are equal. Source: Papyan, Han and Donoho 2020.
    """
    offsets = _offsets(shared)
    values, axes = np.linalg.eigh(offsets @ offsets.T)
    keep = values > _RANK * values[-1]
    directions = offsets.T @ axes[:, keep]
    inside = shared.centred() - shared.class_moments().means[shared.codes]
    # With S_b = offsetsᵀ offsets / C and unit directions u = d/√λ, uᵀ S_w u C/λ is |inside · d|² C / (N λ²).
    spread = np.square(inside @ directions).sum(axis=0) / np.square(values[keep])
    return float(spread.sum() / shared.rows)


def norm_variation(shared: FeaturePass, *, seed: int = 0, **_params: Any) -> float:
    """NC2, lengths: SD (ddof 0) over mean of the lengths of the class means about their mean; 0 where all are equal."""
    lengths = np.sqrt(np.square(_offsets(shared)).sum(axis=1))
    return float(lengths.std() / lengths.mean())


def angle_deviation(shared: FeaturePass, *, seed: int = 0, **_params: Any) -> float:
    """NC2, angles: mean over pairs of classes of |cos + 1/(C − 1)|; 0 where the class means form a simplex.

    A class mean that equals the mean of all is at cosine 0 from the others.
    """
    offsets = _offsets(shared)
    lengths = np.sqrt(np.square(offsets).sum(axis=1, keepdims=True))
    unit = np.divide(offsets, lengths, out=np.zeros_like(offsets), where=lengths > 1e-12 * lengths.max())
    cosines = (unit @ unit.T)[np.triu_indices(shared.classes, 1)]
    return float(np.abs(cosines + 1 / (shared.classes - 1)).mean())


def _offsets(shared: FeaturePass) -> Floats:
    """(C, D) class means less their mean."""
    moments = shared.class_moments()
    offsets = moments.means - moments.means.mean(axis=0)
    spread = float((shared.counts @ (np.square(moments.means) + moments.variances)).sum()) / shared.rows
    if np.square(offsets).sum() <= 1e-24 * max(spread, 1e-300):
        raise UserError("All class means are equal, so the neural-collapse measures are not defined.")
    return np.asarray(offsets)


NC1 = PassMetric(compute=within_variability, low=0.0)
NC2_NORMS = PassMetric(compute=norm_variation, low=0.0)
NC2_ANGLES = PassMetric(compute=angle_deviation, low=0.0)
