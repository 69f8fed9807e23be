"""Drift between groups of filters, from sums alone: variance-weighted symmetric Kullback-Leibler divergence.

D(P, Q) = Σ_i w_i · (KL(P_i‖Q_i) + KL(Q_i‖P_i)), natural logarithm, over the coefficients i of a fixed basis, as in "CNN
Filter DB" (Gavrikov and Keuper, CVPR 2022) but for the basis and the range: there they are fitted to the data, here
they are those of `filter_sums`, so that neither a further model nor the sign of an axis changes a number. w_i is the
share of variance along axis i of the two groups pooled. Empty bins get float32's epsilon as density, as there.

Everything is linear in `CoefficientSums`: a group is a sum of its units (its models), a resampled group another one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from workers.statistics.filter_sums import BINS, dct_basis, histogram_edges
from workers.statistics.layer_groups import LayerGroup, on_grid

Floats = npt.NDArray[np.float64]
Balance = Literal["pooled", "layer", "model"]

EMPTY_DENSITY = 2.0**-23  # the spacing of float32 at 1
BALANCES: dict[Balance, str] = {
    "pooled": "every filter counts once, so that large models weigh most",
    "layer": "every layer counts once, whatever its size",
    "model": "every model counts once, whatever its size",
}


@dataclass(frozen=True, eq=False, kw_only=True)
class CoefficientSums:
    """Sums over the coefficients of sets of filters, one set a row; rows add up.

    values  (…, 1 + 2·axes + axes·bins): weight; sum and sum of squares of each coefficient; counts in its bins
    axes    number of coefficients
    width   of a bin
    """

    values: Floats
    axes: int
    width: float

    @classmethod
    def of_moments(
        cls, *, weight: Floats, total: Floats, second: Floats, histograms: Floats, kernel: tuple[int, ...]
    ) -> CoefficientSums:
        """Sums in the fixed basis from those of many sets of filters as they are.

        weight (S,), total (S, taps) and second (S, taps, taps) of the scaled filters, histograms (S, taps, 70).
        """
        basis, taps = dct_basis(kernel), math.prod(kernel)
        squares = np.einsum("ij,sjk,ik->si", basis, second, basis, optimize=True)
        flat = histograms.reshape(len(weight), taps * BINS)
        values = np.concatenate([weight[:, None], total @ basis.T, squares, flat], axis=1, dtype=np.float64)
        edges = histogram_edges(kernel)
        return cls(values=values, axes=taps, width=float(edges[-1] - edges[0]) / BINS)

    @property
    def weight(self) -> Floats:
        """Filters, layers or models, (…,)."""
        return self.values[..., 0]

    @property
    def total(self) -> Floats:
        """Sum of each coefficient, (…, axes)."""
        return self.values[..., 1 : 1 + self.axes]

    @property
    def second(self) -> Floats:
        """Sum of the squares of each coefficient, (…, axes)."""
        return self.values[..., 1 + self.axes : 1 + 2 * self.axes]

    @property
    def histograms(self) -> Floats:
        """Counts in the bins of each coefficient, (…, axes, bins)."""
        counts = self.values[..., 1 + 2 * self.axes :]
        return counts.reshape(*counts.shape[:-1], self.axes, counts.shape[-1] // self.axes)

    def __len__(self) -> int:
        return len(self.values)

    def combined(self, weights: npt.ArrayLike) -> CoefficientSums:
        """Weighted sums of the rows: weights (…, S) give (…) sets."""
        return CoefficientSums(values=np.asarray(weights, dtype=np.float64) @ self.values, axes=self.axes,
                               width=self.width)  # fmt: skip

    def each_once(self) -> CoefficientSums:
        """The same sets with weight 1 each: what model-balanced groups are sums of."""
        return CoefficientSums(values=on_grid(self.values / self.weight[..., None]), axes=self.axes, width=self.width)


def coefficient_sums(groups: Sequence[LayerGroup], *, balance: Balance = "pooled") -> CoefficientSums:
    """One row for each layer group; under "model" each is one model's and weighs 1.

    Raises ValueError for groups of different kernels, for none, or for one without filters.
    """
    kernels = {group.statistics.kernel for group in groups}
    if len(kernels) != 1:
        raise ValueError(f"drift needs groups of one kernel size, not of {sorted(kernels) or 'none'}")
    if any(group.layers == 0 for group in groups):
        raise ValueError("a group without filters has no drift")
    if balance == "layer":
        sums = CoefficientSums.of_moments(
            weight=np.array([group.layers for group in groups], dtype=np.float64),
            total=np.stack([group.balanced_total for group in groups]),
            second=np.stack([group.balanced_second for group in groups]),
            histograms=np.stack([group.balanced_histograms for group in groups]),
            kernel=kernels.pop(),
        )
    else:
        sums = CoefficientSums.of_moments(
            weight=np.array([group.statistics.n for group in groups], dtype=np.float64),
            total=np.stack([group.statistics.total.value for group in groups]),
            second=np.stack([group.statistics.second.value for group in groups]),
            histograms=np.stack([group.statistics.histograms for group in groups]),
            kernel=kernels.pop(),
        )
    return sums.each_once() if balance == "model" else sums


def probabilities(histograms: npt.ArrayLike, *, width: npt.ArrayLike) -> Floats:
    """Counts over bins (last axis) as probabilities of all bins.

    In the order of the paper's code: density, then EMPTY_DENSITY where a bin is empty, then division by the sum.
    `width` is that of a bin, one for all or one for each histogram. Raises ValueError where a histogram is empty.
    """
    counts = np.asarray(histograms, dtype=np.float64)
    sizes = counts.sum(axis=-1, keepdims=True)
    if not (sizes > 0).all():
        raise ValueError("a histogram without counts has no distribution")
    density = counts / (sizes * np.asarray(width, dtype=np.float64)[..., None])
    density[counts == 0] = EMPTY_DENSITY
    return np.asarray(density / density.sum(axis=-1, keepdims=True))


def symmetric_divergence(p: npt.ArrayLike, q: npt.ArrayLike) -> Floats:
    """KL(p‖q) + KL(q‖p) over the last axis, natural logarithm, of probabilities that are nowhere 0."""
    left, right = np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64)
    return np.asarray(((left - right) * np.log(left / right)).sum(axis=-1))


def weighted_drift(
    histograms: npt.ArrayLike, other: npt.ArrayLike, *, width: npt.ArrayLike, weights: npt.ArrayLike
) -> float:
    """The drift between two sets of histograms (axes, bins) over common bins, under given weights of the axes."""
    p, q = probabilities(histograms, width=width), probabilities(other, width=width)
    return float(np.asarray(weights, dtype=np.float64) @ symmetric_divergence(p, q))


def variance_shares(weight: Floats, total: Floats, second: Floats) -> Floats:
    """The share of the variance along each axis (last), from sums; all zero where nothing varies."""
    means = total / weight[..., None]
    moments = second / weight[..., None]
    variances = np.clip(moments - means**2, 0.0, None)
    spread = variances.sum(axis=-1, keepdims=True)
    # Below this the differences of the sums are rounding.
    varies = spread > 1e-14 * moments.sum(axis=-1, keepdims=True)
    return np.asarray(np.divide(variances, spread, out=np.zeros_like(variances), where=varies))


def drift(a: CoefficientSums, b: CoefficientSums) -> Floats:
    """The drift between the sets of `a` and those of `b`, row by row: (…,)."""
    both = a.values + b.values
    pooled = CoefficientSums(values=both, axes=a.axes, width=a.width)
    shares = variance_shares(pooled.weight, pooled.total, pooled.second)
    p, q = probabilities(a.histograms, width=a.width), probabilities(b.histograms, width=b.width)
    return np.asarray((shares * symmetric_divergence(p, q)).sum(axis=-1))


def drift_matrix(groups: CoefficientSums) -> Floats:
    """The drift between every two of the sets, (…, G, G) for sets (…, G): symmetric, 0 on the diagonal."""
    p = np.swapaxes(probabilities(groups.histograms, width=groups.width), -2, -3)  # (…, axes, G, bins)
    logs = np.log(p)
    cross = p @ np.swapaxes(logs, -1, -2)
    own = np.diagonal(cross, axis1=-2, axis2=-1)
    divergences = own[..., :, None] + own[..., None, :] - cross - np.swapaxes(cross, -1, -2)
    shares = variance_shares(
        groups.weight[..., :, None] + groups.weight[..., None, :],
        groups.total[..., :, None, :] + groups.total[..., None, :, :],
        groups.second[..., :, None, :] + groups.second[..., None, :, :],
    )
    matrix = np.einsum("...gha,...agh->...gh", shares, divergences)
    # What is left of equal sets is rounding.
    matrix = np.clip(matrix, 0.0, None)
    size = matrix.shape[-1]
    matrix[..., range(size), range(size)] = 0.0
    return np.asarray(matrix)
