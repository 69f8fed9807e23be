"""Filter statistics that add up: the PCA basis and the histograms of any group of layers are sums over its layers.

Filters are scaled by their own largest absolute weight (all-zero filters stay zero), as in "CNN Filter DB" (CVPR 2022).
Histograms live in a fixed basis, version 1: the orthonormal DCT-II without centring, 70 bins on [−k, k] for k × k
kernels; k bounds every coefficient, since a scaled filter has length at most k. Kernels have one to three sizes; "taps"
is the number of their weights, and √taps takes the place of k where the sizes differ.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.kit import UserError
from workers.statistics.filter_arrays import filter_blocks, largest_weight, layer_weight, layer_words

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

BASIS_VERSION = 1
BINS = 70
DENSITY_BINS = 35
MOST_TAPS = 1024
_COARSE = 2.0**-20
_FINE = 2.0**-60
# Draws coefficients towards 0 by more than they are rounded by. Those on the bound then fall into the outermost bins,
# and those on an edge into the bin nearer to 0, whatever the rounding and the sign.
_INWARD = 1 - 2.0**-44
_MAGIC = b"HSFS"
_FORMAT = 1
# Magic, format and basis version, number of sizes, sizes, filters, sparse filters, largest weight.
_HEADER = struct.Struct("<4sHHB3HQQd")
# `ExactSum` is exact up to here.
_MOST_FILTERS = 2**33


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

    def __getitem__(self, place: Any) -> ExactSum:
        """Some of the elements, as NumPy indexes them."""
        return ExactSum(self.high[place].copy(), self.low[place].copy())

    @property
    def value(self) -> Floats:
        """The sum, rounded to float64."""
        return self.high + self.low


@dataclass(frozen=True, eq=False, kw_only=True)
class FilterBasis:
    """Principal axes of a set of scaled filters, largest variance first.

    components                (taps, taps), one axis a row, the element of largest magnitude positive
    explained_variance        (taps,), population variance along each axis
    explained_variance_ratio  (taps,), shares of it; all zero where nothing varies
    mean                      (taps,), the mean filter
    """

    components: Floats
    explained_variance: Floats
    explained_variance_ratio: Floats
    mean: Floats


@dataclass(frozen=True, eq=False, kw_only=True)
class FilterStatistics:
    """Sums over the filters of one layer or of any group of layers.

    kernel       its one to three sizes: (kh, kw) for 2-D convolutions
    n            number of filters
    total        sum of the scaled filters, (taps,)
    second       sum of their outer products, (taps, taps)
    largest      largest absolute weight, before scaling
    n_sparse     filters whose weights all lie below sparsity_eps × the largest weight of their layer
    histograms   int64 counts of the DCT coefficients, (taps, 70), over `histogram_edges(kernel)`
    density      int64 joint counts, (35, 35), of the coefficients (0, 0), rows, and (0, 1), columns, over every second
                 of those edges; of (0, 0) and (1, 0) where a kernel is one weight wide; of (0, 0) and 0 at one weight
    """

    kernel: tuple[int, ...]
    n: int
    total: ExactSum
    second: ExactSum
    largest: float
    n_sparse: int
    histograms: Counts
    density: Counts

    @classmethod
    def empty(cls, *, kernel: tuple[int, ...] = (3, 3)) -> FilterStatistics:
        """The statistics of no filter, neutral under `merge`."""
        taps = math.prod(kernel)
        return cls(
            kernel=kernel,
            n=0,
            total=ExactSum.of(np.zeros(taps)),
            second=ExactSum.of(np.zeros((taps, taps))),
            largest=0.0,
            n_sparse=0,
            histograms=np.zeros((taps, BINS), dtype=np.int64),
            density=np.zeros((DENSITY_BINS, DENSITY_BINS), dtype=np.int64),
        )

    @classmethod
    def of_layer(cls, weight: npt.ArrayLike, *, sparsity_eps: float = 0.01, name: str = "") -> FilterStatistics:
        """Statistics of one (out, in/groups, *kernel) weight, in one pass over blocks of filters.

        Any real dtype and memory order; beside the weight itself, memory stays below some MB. Raises UserError, naming
        the layer by `name`, for NaN or infinite weights, for other shapes and for kernels of more than 1,024 weights.
        """
        values = layer_weight(weight, name=name)
        kernel = values.shape[2:]
        taps = math.prod(kernel)
        if taps > MOST_TAPS:
            raise UserError(
                f"The kernels of {layer_words(name)} have {taps:,} weights; "
                f"filter statistics are kept up to {MOST_TAPS:,}."
            )
        largest = largest_weight(values, name=name)
        is_sparse_below = largest * sparsity_eps if largest > 0 else math.inf
        moments = ExactSum.of(np.zeros((taps + 1, taps + 1)))
        n_sparse = 0
        joint = np.zeros(((taps + 1) // 2, BINS * BINS), dtype=np.int64)
        for columns in filter_blocks(values):
            filters = columns[:taps]
            peaks = np.maximum(filters.max(axis=0), -filters.min(axis=0))
            n_sparse += int(np.count_nonzero(peaks < is_sparse_below))
            peaks[peaks == 0] = 1
            filters /= peaks
            moments += ExactSum.of(columns @ columns.T)
            _count_pairs(_binning_basis(kernel) @ filters, joint)
        pairs = joint.reshape(-1, BINS, BINS)
        histograms = np.stack([pairs.sum(axis=2), pairs.sum(axis=1)], axis=1).reshape(-1, BINS)[:taps]
        return cls(
            kernel=kernel,
            n=values.shape[0] * values.shape[1],
            total=moments[:taps, taps],
            second=moments[:taps, :taps],
            largest=largest,
            n_sparse=n_sparse,
            histograms=histograms,
            density=pairs[0].reshape(DENSITY_BINS, 2, DENSITY_BINS, 2).sum(axis=(1, 3)),
        )

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
            density=self.density + other.density,
        )

    def to_bytes(self) -> bytes:
        """The statistics as `from_bytes` reads them: a header with the versions and the kernel, then compressed arrays.

        Raises ValueError for a kernel of no or more than three sizes.
        """
        if not 1 <= len(self.kernel) <= 3:
            raise ValueError(f"a kernel has one to three sizes, not {self.kernel}")
        sizes = (*self.kernel, 1, 1)[:3]
        header = _HEADER.pack(
            _MAGIC, _FORMAT, BASIS_VERSION, len(self.kernel), *sizes, self.n, self.n_sparse, self.largest
        )
        upper = np.triu_indices(math.prod(self.kernel))
        sums = np.concatenate(
            [self.total.high, self.total.low, self.second.high[upper], self.second.low[upper]], dtype="<f8"
        )
        counts = np.concatenate([self.histograms.ravel(), self.density.ravel()], dtype="<i8")
        # Byte planes: most of those of the counts are zero, and are gone when compressed.
        planes = counts.view(np.uint8).reshape(-1, 8).T
        return header + zlib.compress(sums.tobytes() + planes.tobytes())

    @classmethod
    def from_bytes(cls, payload: bytes) -> FilterStatistics:
        """Read what `to_bytes` wrote. Raises ValueError, with the reason, for anything else."""
        kernel, n, n_sparse, largest = _read_header(payload)
        taps = math.prod(kernel)
        n_upper, n_counts = taps * (taps + 1) // 2, taps * BINS + DENSITY_BINS**2
        n_sums = 2 * (taps + n_upper)
        raw = _inflated(payload[_HEADER.size :], 8 * (n_sums + n_counts))
        total, second = _read_sums(np.frombuffer(raw, dtype="<f8", count=n_sums), taps, n)
        planes = np.frombuffer(raw, dtype=np.uint8, offset=8 * n_sums).reshape(8, n_counts)
        counts = np.ascontiguousarray(planes.T).view("<i8").ravel().astype(np.int64)
        histograms = counts[: taps * BINS].reshape(taps, BINS)
        density = counts[taps * BINS :].reshape(DENSITY_BINS, DENSITY_BINS)
        if counts.min() < 0 or counts.max() > n:
            raise ValueError("filter statistics with a count that is negative or above the number of filters")
        coarse = histograms[0].reshape(DENSITY_BINS, 2).sum(axis=1)
        if (histograms.sum(axis=1) != n).any() or (density.sum(axis=1) != coarse).any():
            raise ValueError(f"filter statistics whose counts do not add up to their {n} filters")
        return cls(
            kernel=kernel,
            n=n,
            total=total,
            second=second,
            largest=largest,
            n_sparse=n_sparse,
            histograms=histograms,
            density=density,
        )

    @property
    def mean(self) -> Floats:
        """Mean scaled filter, (taps,). Raises ValueError if there is no filter."""
        self._require_filters()
        return self.total.value / self.n

    @property
    def second_moment(self) -> Floats:
        """Mean outer product of the scaled filters, (taps, taps). Raises ValueError if there is no filter."""
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


@lru_cache(maxsize=32)
def dct_basis(kernel: tuple[int, ...]) -> Floats:
    """The orthonormal DCT-II of kernels as a (taps, taps) matrix, one basis filter (row-major) a row."""
    basis = np.ones((1, 1))
    for size in kernel:
        basis = np.asarray(np.kron(basis, _dct(size)), dtype=np.float64)
    basis.setflags(write=False)
    return basis


def histogram_edges(kernel: tuple[int, ...]) -> Floats:
    """The 71 edges of the histograms: 70 equal bins on [−√taps, √taps], which is [−k, k] for k × k kernels."""
    bound = math.sqrt(math.prod(kernel))
    return np.linspace(-bound, bound, BINS + 1)


def _dct(length: int) -> Floats:
    order, place = np.meshgrid(np.arange(length), np.arange(length), indexing="ij")
    rows = np.sqrt(2.0 / length) * np.cos(np.pi * (place + 0.5) * order / length)
    rows[0] = np.sqrt(1.0 / length)
    return np.array(rows, dtype=np.float64)


@lru_cache(maxsize=32)
def _binning_basis(kernel: tuple[int, ...]) -> Floats:
    """The DCT in units of a bin."""
    return np.asarray(dct_basis(kernel) * (_INWARD * BINS / (2 * math.sqrt(math.prod(kernel)))))


def _count_pairs(bins: Floats, joint: Counts) -> None:
    """Count coefficients, in bins from the middle, in pairs: a joint histogram of two costs one count, not two."""
    bins += BINS / 2
    places = np.floor(bins[0::2])
    places *= BINS
    # The place is cut to a whole number below. The last coefficient may have no partner; 35 is the bin of 0.
    places[: len(bins) // 2] += bins[1::2]
    places[len(bins) // 2 :] += BINS // 2
    for counts, row in zip(joint, places.astype(np.intp), strict=True):
        counts += np.bincount(row, minlength=BINS * BINS)


def _read_header(payload: bytes) -> tuple[tuple[int, ...], int, int, float]:
    if len(payload) < _HEADER.size or payload[:4] != _MAGIC:
        raise ValueError("not filter statistics")
    _magic, written, basis, dimensions, *sizes, n, n_sparse, largest = _HEADER.unpack_from(payload)
    if (written, basis) != (_FORMAT, BASIS_VERSION):
        raise ValueError(f"filter statistics of format {written} and basis {basis}, not {_FORMAT} and {BASIS_VERSION}")
    if not 1 <= dimensions <= 3 or 0 in sizes or any(size != 1 for size in sizes[dimensions:]):
        raise ValueError("filter statistics without a kernel")
    if math.prod(sizes) > MOST_TAPS:
        raise ValueError(f"filter statistics of a kernel of more than {MOST_TAPS} weights")
    if not (n_sparse <= n <= _MOST_FILTERS and math.isfinite(largest) and largest >= 0):
        raise ValueError("filter statistics with impossible numbers of filters or an impossible largest weight")
    return tuple(sizes[:dimensions]), n, n_sparse, largest


def _inflated(compressed: bytes, length: int) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(compressed, length + 1)
    except zlib.error as error:
        raise ValueError(f"filter statistics that cannot be unpacked: {error}") from None
    if len(raw) != length or not unpacker.eof or unpacker.unused_data:
        raise ValueError("filter statistics of another length than their kernel says")
    return raw


def _read_sums(sums: Array, taps: int, n: int) -> tuple[ExactSum, ExactSum]:
    """The sums of n scaled filters and of their outer products: every element lies in [−n, n]."""
    n_upper = taps * (taps + 1) // 2
    high, low, upper_high, upper_low = np.split(sums.astype(np.float64), np.cumsum([taps, taps, n_upper]))
    highs, lows = np.concatenate([high, upper_high]), np.concatenate([low, upper_low])
    # NaN and infinities fail the first line.
    is_bounded = (np.abs(highs) <= n + 1).all() and (np.abs(lows) <= _COARSE / 2).all()
    if not is_bounded or (highs % _COARSE != 0).any() or (lows % _FINE != 0).any():
        raise ValueError("filter statistics whose sums cannot be those of their filters")
    return ExactSum(high, low), ExactSum(_symmetric(upper_high, taps), _symmetric(upper_low, taps))


def _symmetric(upper: Floats, taps: int) -> Floats:
    matrix = np.zeros((taps, taps))
    rows, columns = np.triu_indices(taps)
    matrix[rows, columns] = upper
    matrix[columns, rows] = upper
    return matrix
