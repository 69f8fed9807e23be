"""GBC: Gaussian Bhattacharyya coefficient, how much the classes overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from workers.kit import UserError
from workers.transferability.feature_pass import FeaturePass
from workers.transferability.pass_metric import PassMetric

Floats = npt.NDArray[np.float64]

# Products of 8 variances stay far inside the range of float64, and save 7 of 8 logarithms.
_HALVINGS = 3
# 256 kB of float64: what one pair of classes after another works on stays in cache.
_CACHED_ENTRIES = 32_768


def gbc(
    shared: FeaturePass,
    *,
    seed: int = 0,
    covariance: str = "diagonal",
    components: int = 0,
    floor: float = 1e-4,
    **_params: Any,
) -> float:
    """−Σ_{i≠j} exp(−B_ij), B_ij = ⅛ Δμᵀ S⁻¹ Δμ + ½ ln(|S| / √(|S_i||S_j|)), S = (S_i + S_j)/2.

    covariance  "diagonal": one variance a feature and class; "spherical": one a class, the mean over its features,
                whose logarithm counts once for every feature (the definition; some published code counts it once)
    components  principal components kept first; 0 keeps the features (the paper keeps 64)
    floor       least variance, as a share of the mean variance of the features: constant features would be infinitely
                far apart. A share, so that the score is scale-free; published code has 1e-4 of no unit

    Between −C(C − 1) (classes alike) and 0. Variances with ddof 0. Source: Pándy et al. 2022, equations 3 to 5. Raises
    UserError for another covariance.
    """
    if covariance not in ("diagonal", "spherical"):
        raise UserError(f"GBC has the covariances 'diagonal' and 'spherical', not {covariance!r}.", field="covariance")
    if components:
        rows = shared.scores(components)
        if rows.shape[1] == 0:
            return -float(shared.classes * (shared.classes - 1))
        projected = FeaturePass(rows, shared.codes)
        moments = projected.class_moments()
        level = float(np.square(projected.centred()).mean())
    else:
        moments = shared.class_moments()
        between = np.square(moments.means) + moments.variances
        level = float((shared.counts @ between).sum() / shared.rows / shared.dimensions)
    if level == 0:
        return -float(shared.classes * (shared.classes - 1))
    means = moments.means / np.sqrt(level)
    variances = np.maximum(moments.variances / level, floor)
    overlaps = _spherical(means, variances.mean(axis=1)) if covariance == "spherical" else _diagonal(means, variances)
    return -2 * overlaps


def _diagonal(means: Floats, variances: Floats) -> float:
    """Σ_{i<j} exp(−B_ij) for (C, D) means and variances."""
    classes, dimensions = means.shape
    width = 2**_HALVINGS
    padded = -(-dimensions // width) * width
    means = np.pad(means, ((0, 0), (0, padded - dimensions)))
    variances = np.pad(variances, ((0, 0), (0, padded - dimensions)), constant_values=1.0)
    logs = np.log(variances).sum(axis=1)
    total = 0.0
    step = max(1, _CACHED_ENTRIES // padded)
    for first in range(classes - 1):
        for start in range(first + 1, classes, step):
            others = slice(start, min(start + step, classes))
            middle = variances[others] + variances[first]
            middle *= 0.5
            apart = means[others] - means[first]
            np.square(apart, out=apart)
            apart /= middle
            for _ in range(_HALVINGS):
                half = middle.shape[1] // 2
                middle = middle[:, :half] * middle[:, half:]
            distances = apart.sum(axis=1) / 8 + np.log(middle).sum(axis=1) / 2 - (logs[others] + logs[first]) / 4
            total += float(np.exp(-distances).sum())
    return total


def _spherical(means: Floats, variances: Floats) -> float:
    """Σ_{i<j} exp(−B_ij) for (C, D) means and (C,) variances."""
    classes, dimensions = means.shape
    total = 0.0
    for first in range(classes - 1):
        middle = (variances[first + 1 :] + variances[first]) / 2
        apart = np.square(means[first + 1 :] - means[first]).sum(axis=1)
        logs = np.log(middle) - (np.log(variances[first + 1 :]) + np.log(variances[first])) / 2
        total += float(np.exp(-apart / (8 * middle) - dimensions / 2 * logs).sum())
    return total


METRIC = PassMetric(compute=gbc, high=0.0)
