"""Filter statistics that add up: the PCA basis and the histograms of any group of layers are sums over its layers.

Filters are scaled by their own largest absolute weight (all-zero filters stay zero), as in "CNN Filter DB" (CVPR 2022).
Histograms live in a fixed basis, version 1: the orthonormal 2-D DCT-II without centring, 70 bins on [−k, k] for k × k
kernels; k bounds every coefficient, since a scaled filter has length at most k.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.kit import UserError

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

BASIS_VERSION = 1
BINS = 70
# About 0.6 MB of float64 for nine weights a filter: a block stays in the cache through every step.
_BLOCK = 8192
_COARSE = 2.0**-20
_FINE = 2.0**-60


@dataclass(frozen=True, eq=False)
class ExactSum:
    """A fixed-point number per element: `high`, a multiple of 2⁻²⁰, plus `low`, a multiple of 2⁻⁶⁰ of at most 2⁻²¹.

    Both parts are float64 and every addition of them is exact, so a sum does not depend on its order. Good for totals
    below 2³³, eight billion filters.
    """

    high: Floats
    low: Floats

    @classmethod
    def of(cls, value: Floats) -> ExactSum:
        """Round a float64 array to the grid of 2⁻⁶⁰."""
        high = np.round(value / _COARSE) * _COARSE
        return cls(high, np.round((value - high) / _FINE) * _FINE)

    def __add__(self, other: ExactSum) -> ExactSum:
        low = self.low + other.low
        carry = np.round(low / _COARSE) * _COARSE
        return ExactSum(self.high + other.high + carry, low - carry)

    @property
    def value(self) -> Floats:
        """The sum, rounded to float64."""
        return self.high + self.low


@dataclass(frozen=True, eq=False, kw_only=True)
class FilterBasis:
    """Principal axes of a set of scaled filters, largest variance first.

    components                (k·k, k·k), one axis a row, the element of largest magnitude positive
    explained_variance        (k·k,), population variance along each axis
    explained_variance_ratio  (k·k,), shares of it; all zero where nothing varies
    mean                      (k·k,), the mean filter
    """

    components: Floats
    explained_variance: Floats
    explained_variance_ratio: Floats
    mean: Floats


@dataclass(frozen=True, eq=False, kw_only=True)
class FilterStatistics:
    """Sums over the filters of one layer or of any group of layers.

    kernel       (kh, kw)
    n            number of filters
    total        sum of the scaled filters, (kh·kw,)
    second       sum of their outer products, (kh·kw, kh·kw)
    largest      largest absolute weight, before scaling
    n_sparse     filters whose weights all lie below sparsity_eps × the largest weight of their layer
    histograms   int64 counts of the DCT coefficients, (kh·kw, 70), over `histogram_edges(kernel)`
    """

    kernel: tuple[int, int]
    n: int
    total: ExactSum
    second: ExactSum
    largest: float
    n_sparse: int
    histograms: Counts

    @classmethod
    def empty(cls, *, kernel: tuple[int, int] = (3, 3)) -> FilterStatistics:
        """The statistics of no filter, neutral under `merge`."""
        taps = kernel[0] * kernel[1]
        return cls(
            kernel=kernel,
            n=0,
            total=ExactSum.of(np.zeros(taps)),
            second=ExactSum.of(np.zeros((taps, taps))),
            largest=0.0,
            n_sparse=0,
            histograms=np.zeros((taps, BINS), dtype=np.int64),
        )

    @classmethod
    def of_layer(cls, weight: npt.ArrayLike, *, sparsity_eps: float = 0.01, name: str = "") -> FilterStatistics:
        """Statistics of one (out, in/groups, kh, kw) weight, in one pass over blocks of filters.

        Raises UserError, naming the layer by `name`, for NaN or infinite weights and for other shapes.
        """
        values = np.asarray(weight)
        layer = f"layer {name!r}" if name else "the layer"
        if values.ndim != 4 or values.size == 0:
            raise UserError(
                f"The weight of {layer} has shape {values.shape}, not (out, in, height, width) of a convolution."
            )
        kernel = (values.shape[2], values.shape[3])
        largest = float(max(values.max(), -values.min()))
        if not math.isfinite(largest):
            raise UserError(
                f"The weight of {layer} holds NaN or infinite values: "
                "the checkpoint is damaged or its training diverged."
            )
        kernels = values.reshape(-1, 1, *kernel)
        n = kernels.shape[0]
        is_sparse_below = largest * sparsity_eps if largest > 0 else math.inf
        parts = [
            _of_block(filter_columns(kernels[start : start + _BLOCK]), kernel, largest, is_sparse_below)
            for start in range(0, n, _BLOCK)
        ]
        return reduce(cls.merge, parts)

    def merge(self, other: FilterStatistics) -> FilterStatistics:
        """The statistics of both sets of filters together: exact, whatever the order and the grouping.

        Raises ValueError for kernels of different sizes.
        """
        if self.kernel != other.kernel:
            raise ValueError(f"{self.kernel} and {other.kernel} kernels have no common statistics")
        return FilterStatistics(
            kernel=self.kernel,
            n=self.n + other.n,
            total=self.total + other.total,
            second=self.second + other.second,
            largest=max(self.largest, other.largest),
            n_sparse=self.n_sparse + other.n_sparse,
            histograms=self.histograms + other.histograms,
        )

    @property
    def mean(self) -> Floats:
        """Mean scaled filter, (kh·kw,). Raises ValueError if there is no filter."""
        self._require_filters()
        return self.total.value / self.n

    @property
    def second_moment(self) -> Floats:
        """Mean outer product of the scaled filters, (kh·kw, kh·kw). Raises ValueError if there is no filter."""
        self._require_filters()
        return self.second.value / self.n

    def pca(self) -> FilterBasis:
        """Principal component analysis of the scaled filters, from the sums alone, in float64."""
        mean = self.mean
        covariance = self.second_moment - np.outer(mean, mean)
        variances, axes = np.linalg.eigh(covariance)
        variances = np.clip(variances[::-1], 0.0, None)
        components = axes.T[::-1].copy()
        peaks = components[np.arange(len(components)), np.abs(components).argmax(axis=1)]
        components *= np.sign(peaks)[:, None]
        spread = float(variances.sum())
        # Below this the differences of the sums are rounding.
        has_variance = spread > 1e-14 * max(float(np.trace(self.second_moment)), 1e-300)
        ratio = variances / spread if has_variance else np.zeros_like(variances)
        return FilterBasis(
            components=components, explained_variance=variances, explained_variance_ratio=ratio, mean=mean
        )

    def _require_filters(self) -> None:
        if self.n == 0:
            raise ValueError("no filter was added")


def filter_columns(weight: Array) -> Floats:
    """The kernels of a (out, in, kh, kw) weight as the columns of a contiguous float64 (kh·kw, out·in) array."""
    taps = weight.shape[2] * weight.shape[3]
    # Long contiguous rows: reductions over the taps are then whole-array operations.
    # Always a copy: callers work on it in place.
    return np.array(weight.reshape(-1, taps).T, dtype=np.float64, order="C")


@lru_cache(maxsize=16)
def dct_basis(kernel: tuple[int, int]) -> Floats:
    """The orthonormal 2-D DCT-II of (kh, kw) kernels as a (kh·kw, kh·kw) matrix, one basis filter (row-major) a row."""
    basis = np.asarray(np.kron(_dct(kernel[0]), _dct(kernel[1])), dtype=np.float64)
    basis.setflags(write=False)
    return basis


def histogram_edges(kernel: tuple[int, int]) -> Floats:
    """The 71 edges of the histograms: 70 equal bins on [−√(kh·kw), √(kh·kw)], which is [−k, k] for k × k kernels."""
    bound = math.sqrt(kernel[0] * kernel[1])
    return np.linspace(-bound, bound, BINS + 1)


def _dct(length: int) -> Floats:
    order, place = np.meshgrid(np.arange(length), np.arange(length), indexing="ij")
    rows = np.sqrt(2.0 / length) * np.cos(np.pi * (place + 0.5) * order / length)
    rows[0] = np.sqrt(1.0 / length)
    return np.array(rows, dtype=np.float64)


def _of_block(columns: Floats, kernel: tuple[int, int], largest: float, is_sparse_below: float) -> FilterStatistics:
    taps, n = columns.shape
    peaks = np.abs(columns).max(axis=0)
    n_sparse = int(np.count_nonzero(peaks < is_sparse_below))
    peaks[peaks == 0] = 1
    columns /= peaks
    coefficients = dct_basis(kernel) @ columns
    bound = math.sqrt(taps)
    coefficients += bound
    coefficients *= BINS / (2 * bound)
    bins = coefficients.astype(np.int64)
    # The last bin is closed, as numpy's; rounding may carry a coefficient of ±bound just outside.
    np.clip(bins, 0, BINS - 1, out=bins)
    bins += (np.arange(taps) * BINS)[:, None]
    return FilterStatistics(
        kernel=kernel,
        n=n,
        total=ExactSum.of(columns.sum(axis=1)),
        second=ExactSum.of(columns @ columns.T),
        largest=largest,
        n_sparse=n_sparse,
        histograms=np.bincount(bins.ravel(), minlength=taps * BINS).reshape(taps, BINS).astype(np.int64, copy=False),
    )
