"""What layer quality is computed from: moments of the filters in one pass, and products of the output channels."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.statistics.filter_arrays import filter_blocks

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

# Centring equal filters leaves rounding noise with the entropy of a random layer: a deviation below this share of the
# largest weight is none.
_NO_VARIANCE = 1e-14
# Where the mean takes more than all but this share of the sum of squares, its subtraction costs too many digits.
_CANCELLED = 1e-4
# Largest weights of which squares and their sums neither overflow nor vanish.
_SAFE = (1e-100, 1e100)
_SAFE_SINGLE = (1e-12, 1e12)
# From so many output channels on, products of single-precision weights stay single: their errors of 1e-7 average out.
_WIDE = 64
# Output channels a block of products, so that each stays in the cache for its sum.
_CHANNELS = 192
# Up to so many weights an output channel, the calls cost more than the products.
_THIN = 32


@dataclass(frozen=True, kw_only=True)
class LayerSums:
    """Filters (all, and without the sparse ones), their variance entropies, and the norms of the layer."""

    n: int
    n_clean: int
    entropy: float
    clean_entropy: float | None
    l1: float
    l2: float

    @property
    def sparsity(self) -> float:
        """Share of sparse filters."""
        return (self.n - self.n_clean) / self.n


def layer_sums(values: Array, *, largest: float, sparsity_eps: float) -> LayerSums:
    """The sums of an (out, in, *kernel) weight with this largest absolute weight, in one pass over blocks of filters.

    A second pass follows where the filters differ by less than a hundredth of their mean.
    """
    n, taps = values.shape[0] * values.shape[1], math.prod(values.shape[2:])
    if largest == 0:
        return LayerSums(n=n, n_clean=0, entropy=0.0, clean_entropy=None, l1=0.0, l2=0.0)
    exponent = 0 if _SAFE[0] < largest < _SAFE[1] else math.frexp(largest)[1]
    largest = math.ldexp(largest, -exponent)
    below = largest * sparsity_eps
    # Filters with a last row of ones: their product holds the sums and the number of filters too.
    moments, clean = np.zeros((taps + 1, taps + 1)), np.zeros((taps + 1, taps + 1))
    l1 = 0.0
    for columns in filter_blocks(values, exponent=exponent):
        absolute = np.abs(columns[:taps])
        l1 += float((absolute @ columns[taps]).sum())
        sparse = np.flatnonzero(absolute.max(axis=0) < below)
        if sparse.size:
            dropped = columns[:, sparse]
            moments += dropped @ dropped.T
            columns[:, sparse] = 0
        clean += columns @ columns.T
    moments += clean
    n_clean = round(clean[taps, taps])
    entropy = _entropy(moments, values, exponent, None, largest)
    if n_clean == n:
        clean_entropy: float | None = entropy
    else:
        clean_entropy = _entropy(clean, values, exponent, below, largest) if n_clean else None
    return LayerSums(
        n=n,
        n_clean=n_clean,
        entropy=entropy,
        clean_entropy=clean_entropy,
        l1=_unscaled(l1, exponent),
        l2=_unscaled(math.sqrt(float(np.trace(moments[:taps, :taps]))), exponent),
    )


def channel_orthogonality(values: Array, *, largest: float) -> float | None:
    """1 − Σ|W Wᵀ − I| / (O (O − 1)) of the length-normalised output channels (zero ones stay zero); None for one."""
    n = len(values)
    if n < 2:
        return None
    is_single = n >= _WIDE and values.dtype.kind == "f" and values.dtype.itemsize <= 4
    safe = _SAFE_SINGLE if is_single else _SAFE
    rows = np.ascontiguousarray(values.reshape(n, -1), dtype=np.float32 if is_single else np.float64)
    if not safe[0] < largest < safe[1]:
        rows = _scaled_rows(rows)
    total = _product_total(rows, safe[0])
    if total is None:
        total = _product_total(_scaled_rows(rows), 0.0) or 0.0
    return 1.0 - total / (n * (n - 1))


def _unscaled(value: float, exponent: int) -> float:
    """value · 2^exponent, or the largest float64 where that is beyond it."""
    try:
        return math.ldexp(value, exponent)
    except OverflowError:
        return sys.float_info.max


def _entropy(moments: Floats, values: Array, exponent: int, below: float | None, largest: float) -> float:
    """H = −Σ p log10 p over the eigenvalue shares p of the covariance; 0 log 0 = 0; 0 where nothing varies.

    `below` leaves out the filters whose weights are all smaller, as `moments` does.
    """
    n = float(moments[-1, -1])
    mean, second = moments[:-1, -1] / n, moments[:-1, :-1]
    scatter = second - n * (mean[:, None] * mean)
    if scatter.trace() < _CANCELLED * second.trace():
        scatter = np.zeros_like(scatter)
        for columns in filter_blocks(values, exponent=exponent):
            if below is not None:
                columns = columns[:, np.abs(columns[:-1]).max(axis=0) >= below]
            centred = columns[:-1] - mean[:, None]
            scatter += centred @ centred.T
    variances = [value for value in np.linalg.eigvalsh(scatter).tolist() if value > 0]
    total = math.fsum(variances)
    if total <= n * (_NO_VARIANCE * largest) ** 2:
        return 0.0
    shares = [value / total for value in variances]
    # "+ 0.0" turns the −0.0 of a single share into 0.0.
    return -math.fsum(share * math.log10(share) for share in shares) + 0.0


def _scaled_rows(rows: Array) -> Array:
    """The rows divided by their largest absolute values; zero rows stay."""
    scale = np.maximum(rows.max(axis=1, keepdims=True), -rows.min(axis=1, keepdims=True))
    scale[scale == 0] = 1
    return np.asarray(rows / scale)


def _product_total(rows: Array, shortest: float) -> float | None:
    """Σ|U Uᵀ − I| of the rows at length 1, zero rows as they are; None if one is not zero and below `shortest`."""
    n = len(rows)
    # One piece of memory for all products: fresh ones of this size cost as much as what is done with them.
    memory = np.empty(min(_CHANNELS, n) * n, dtype=rows.dtype)
    if rows.shape[1] <= _THIN:
        return _thin_total(rows, shortest, memory)
    starts = range(0, n, _CHANNELS)
    inverse = np.zeros(n, dtype=rows.dtype)
    total = 0.0
    for start in starts:
        block = rows[start : start + _CHANNELS]
        own = _product(block, block, memory)
        found = _inverse_lengths(own.diagonal(), block, shortest)
        if found is None:
            return None
        inverse[start : start + _CHANNELS] = found
        np.fill_diagonal(own, 0)
        total += _absolute(own, found, found)
    # W Wᵀ is symmetric: blocks on and above the diagonal are enough.
    for start in starts[:-1]:
        later = _product(rows[start : start + _CHANNELS], rows[start + _CHANNELS :], memory)
        total += 2 * _absolute(later, inverse[start : start + _CHANNELS], inverse[start + _CHANNELS :])
    # A zero channel differs from I by the 1 on the diagonal.
    return total + float(np.count_nonzero(inverse == 0))


def _thin_total(rows: Array, shortest: float, memory: Array) -> float | None:
    """The same for short rows, as of depthwise layers, where calls cost more than products: half as many of them."""
    inverse = _inverse_lengths(np.einsum("ij,ij->i", rows, rows), rows, shortest)
    if inverse is None:
        return None
    total = float(np.count_nonzero(inverse == 0))
    for start in range(0, len(rows), _CHANNELS):
        block = rows[start : start + _CHANNELS]
        products = _product(block, rows[start:], memory)
        np.fill_diagonal(products, 0)
        columns = inverse[start:] * 2
        columns[: len(block)] = inverse[start : start + _CHANNELS]
        total += _absolute(products, inverse[start : start + _CHANNELS], columns)
    return total


def _inverse_lengths(squares: Array, rows: Array, shortest: float) -> Array | None:
    """1 / length of each row, 0 for zero rows; None if one is not zero and below `shortest`."""
    if float(squares.min()) > shortest**2:
        return np.asarray(1 / np.sqrt(squares))
    is_short = squares <= shortest**2
    if rows[is_short].any():
        return None
    return np.asarray(1 / np.sqrt(np.where(is_short, np.inf, squares)), dtype=rows.dtype)


def _product(left: Array, right: Array, memory: Array) -> Array:
    shape = len(left), len(right)
    return np.matmul(left, right.T, out=memory[: shape[0] * shape[1]].reshape(shape))


def _absolute(products: Array, left: Array, right: Array) -> float:
    """Σ|products| with the rows multiplied by `left` and the columns by `right`; overwrites the products."""
    np.abs(products, out=products)
    return float(np.vdot((products @ right).astype(np.float64), left.astype(np.float64)))
