"""Marchenko–Pastur law of a spectrum's bulk, fitted as WeightWatcher 0.7.7 fits it (Martin and Mahoney, JMLR 2021).

The density of the eigenvalues is estimated once, not once for every σ that is tried.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import fmin

Floats = npt.NDArray[np.float64]

BANDWIDTH = 0.1
_POINTS = 1000
_LEAST_DENSITY = 0.01
# A density of few eigenvalues has a flat peak: its first point is taken, not the one that rounding favours.
_FLAT = 1e-12
_IMPOSSIBLE = 1000.0  # residual at every point, where the law does not reach the peak of the density


@dataclass(frozen=True, kw_only=True)
class MarchenkoPasturFit:
    """The bulk of a spectrum as that of a random matrix with independent entries.

    sigma           standard deviation of the entries, of eigenvalues scaled to a mean of 1; for square matrices that of
                    the quarter circle of the singular values
    low, high       edges of the bulk, σ² (1 ∓ √(M/N))², in the scale of the eigenvalues given
    soft_rank       high / largest eigenvalue
    spike_limit     high plus the Tracy–Widom allowance: eigenvalues above it are spikes
    spikes          their number
    residual        sum of squared differences of the two densities
    covers_peak     False where no σ that was tried puts the densest eigenvalues into the bulk: the fit means nothing
    """

    sigma: float
    low: float
    high: float
    soft_rank: float
    spike_limit: float
    spikes: int
    residual: float
    covers_peak: bool


def fit_marchenko_pastur(eigenvalues: npt.ArrayLike, *, rows: int, columns: int) -> MarchenkoPasturFit | None:
    """The law whose density is closest to a kernel density of the eigenvalues; None for a zero spectrum.

    `eigenvalues` of matrices of (N, M), N ≥ M, pooled, not negative. They are scaled to a mean of 1; their density
    (triangular kernel, half width 0.1) is taken at 1,000 points from 0 to the largest + 0.5, without those below 0.01.
    σ is the best of 195 values from 0.05 to 2 times the one that puts the largest eigenvalue on the edge, refined by
    Nelder and Mead's method; the Tracy–Widom allowance is √(√(M/N) · high^⅔ · M^−⅔) in that scale.
    Where N = M the quarter circle of the singular values is fitted. None also where the density is nowhere above 0.01.
    """
    values = np.sort(np.asarray(eigenvalues, dtype=np.float64).ravel())
    total = float(values.sum())
    if total <= 0:
        return None
    factor = (math.sqrt(values.size) / math.sqrt(total)) ** 2
    scaled = factor * values
    largest = float(scaled[-1])
    x, y = _density(np.sqrt(scaled) if rows == columns else scaled)
    if x.size == 0:
        return None
    aspect = math.sqrt(columns / rows)
    start = math.sqrt(largest / (1.0 + aspect) ** 2)
    tried = np.mgrid[(slice(0.05 * start, 2.0 * start, 0.01 * start),)][0]
    errors = _errors(tried, x=x, y=y, aspect=aspect)
    first = tried[int(np.argmin(errors))]
    found: Any = fmin(lambda sigma: _errors(sigma, x=x, y=y, aspect=aspect)[0], first, disp=False, full_output=True)
    sigma, residual = float(found[0][0]), float(found[1])
    high = (sigma * (1.0 + aspect)) ** 2
    allowance = math.sqrt(aspect * high ** (2 / 3) * columns ** (-2 / 3))
    return MarchenkoPasturFit(
        sigma=sigma,
        low=(sigma * (1.0 - aspect)) ** 2 / factor,
        high=high / factor,
        soft_rank=high / largest,
        spike_limit=(high + allowance) / factor,
        spikes=int(np.count_nonzero(scaled > high + allowance)),
        residual=residual,
        covers_peak=residual < _IMPOSSIBLE**2 * x.size,
    )


def _density(values: Floats) -> tuple[Floats, Floats]:
    """Points and the kernel density there, where it is above the least; `values` ascending.

    The kernel is linear on each side of a point, so counts and sums below it are enough.
    """
    x = np.linspace(0.0, values[-1] + 0.5, _POINTS)
    sums = np.concatenate(([0.0], np.cumsum(values)))
    below, at, above = (np.searchsorted(values, x + shift) for shift in (-BANDWIDTH, 0.0, BANDWIDTH))
    left, right = at - below, above - at
    apart = (left - right) * x - (sums[at] - sums[below]) + (sums[above] - sums[at])
    y = (left + right - apart / BANDWIDTH) / (values.size * BANDWIDTH)
    is_dense = y > _LEAST_DENSITY
    return x[is_dense], y[is_dense]


def _errors(sigmas: Floats, *, x: Floats, y: Floats, aspect: float) -> Floats:
    """Sum of squared differences between the law and the density, for each σ."""
    variances = sigmas[:, None] ** 2
    if aspect == 1.0:
        # The radius 2 does not depend on σ: so it is in WeightWatcher.
        circle = np.sqrt(np.maximum(4.0 - x**2, 0.0)) / (math.pi * variances)
        return np.asarray(((circle - y) ** 2).sum(axis=1))
    high, low = variances * (1.0 + aspect) ** 2, variances * (1.0 - aspect) ** 2
    inside = np.sqrt(np.maximum((high - x) * (x - low), 0.0))
    law = np.divide(inside, 2.0 * math.pi * variances * x * aspect**2, out=np.zeros_like(inside), where=x > 0)
    errors = ((law - y) ** 2).sum(axis=1)
    peak = x[int(np.argmax(y >= y.max() * (1.0 - _FLAT)))]
    is_impossible = (high < peak) | (high > x[-1]) | (low > peak)
    return np.asarray(np.where(is_impossible[:, 0], _IMPOSSIBLE**2 * x.size, errors))
