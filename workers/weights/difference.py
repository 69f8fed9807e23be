"""How two versions of a weight tensor differ: size, direction and rank of the difference.

The rank finds what a merged LoRA leaves: a difference of low rank under the rounding of the stored numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

# The Gram matrix of the smaller side is decomposed up to this size; beyond it ranks are left out, and it is said.
MAX_COLUMNS = 8192
_CHUNK_VALUES = 2**20
_POWER_ITERATIONS = 60
_EPSILON = float(np.finfo(np.float64).eps)
# Bits of the fraction of what a number type stores; what is not listed is taken as exact.
_FRACTION_BITS = {"float64": 52, "float32": 23, "float16": 10, "bfloat16": 7, "float8_e4m3fn": 3, "float8_e5m2": 2}
# A singular value counts above this many times the largest that rounding alone can be expected to make.
_ABOVE_ROUNDING = 1.5
# A difference is called low rank up to this share of the smaller side.
_LOW_RANK_SHARE = 0.25


@dataclass(frozen=True, kw_only=True)
class MatrixDifference:
    """The difference Δ = W − B of a tensor W to its base B, as a matrix (outputs, inputs · taps).

    base_norm, difference_norm  ‖B‖ and ‖Δ‖ (Frobenius)
    relative_norm   ‖Δ‖ / ‖B‖, None where B is all zero
    cosine          of the flattened W and B, None where one is all zero
    sign_agreement  share of entries whose signs are equal (zero is a sign of its own)
    changed_share   share of entries that differ at all, both rounded to the coarser of the two number types
    stable_rank     ‖Δ‖² / σ₁², None where nothing changed
    rank_at_90, rank_at_99  fewest singular values that hold that share of ‖Δ‖²; None where the matrix is too large
    rank            singular values that stand above the rounding of the stored numbers; None likewise
    is_low_rank     whether all but `rank` directions are rounding and rank is at most a quarter of the smaller side, as
                    a merged LoRA leaves it; None likewise, False where nothing changed
    note            what was left out and why
    """

    base_norm: float
    difference_norm: float
    relative_norm: float | None
    cosine: float | None
    sign_agreement: float
    changed_share: float
    stable_rank: float | None
    rank_at_90: int | None
    rank_at_99: int | None
    rank: int | None
    is_low_rank: bool | None
    note: str = ""


@dataclass
class _Sums:
    """What one pass over the two matrices adds up."""

    base: float = 0.0
    tuned: float = 0.0
    product: float = 0.0
    difference: float = 0.0
    agree: int = 0
    changed: int = 0
    rounding: float = 0.0
    widest_row: float = 0.0


def matrix_difference(base: Array, tuned: Array, *, base_dtype: str, tuned_dtype: str) -> MatrixDifference:
    """The difference of two finite tensors of one shape, in float64, a few MB of temporaries beside the Gram matrix.

    base, tuned              arrays of at least two axes, as read (upcast); not changed
    base_dtype, tuned_dtype  the number types in the files ("bfloat16"): they say how much of Δ is rounding

    Raises ValueError for different shapes. Rounding to the nearest is taken as noise of variance ulp²/12 an entry; the
    largest singular value of such noise is at most about the largest row's plus the largest column's root sum of
    variances (Sharp nonasymptotic bounds on the norm of random matrices with independent entries, Annals of Probability
    44, 2016), and singular values count from 1.5 times that.
    """
    if base.shape != tuned.shape:
        raise ValueError(f"shapes {base.shape} and {tuned.shape} differ")
    before, after = _tall(base), _tall(tuned)
    columns = before.shape[1]
    coarser = min(base_dtype, tuned_dtype, key=lambda name: _FRACTION_BITS.get(name, 99))
    sums = _Sums()
    gram = np.zeros((columns, columns)) if columns <= MAX_COLUMNS else None
    column_noise = np.zeros(columns)
    for one, other in _chunk_pairs(before, after):
        delta = other - one
        sums.base += float(np.einsum("ij,ij->", one, one))
        sums.tuned += float(np.einsum("ij,ij->", other, other))
        sums.product += float(np.einsum("ij,ij->", one, other))
        sums.difference += float(np.einsum("ij,ij->", delta, delta))
        sums.agree += int(np.count_nonzero(np.sign(one) == np.sign(other)))
        differs = one != other if base_dtype == tuned_dtype else _rounded(one, coarser) != _rounded(other, coarser)
        sums.changed += int(np.count_nonzero(differs))
        noise = _rounding_variance(other, tuned_dtype)
        if base_dtype != tuned_dtype:
            noise += _rounding_variance(one, base_dtype)
        sums.rounding += float(noise.sum())
        sums.widest_row = max(sums.widest_row, float(noise.sum(axis=1).max()))
        column_noise += noise.sum(axis=0)
        if gram is not None:
            gram += delta.T @ delta
    edge = float(np.sqrt(sums.widest_row) + np.sqrt(column_noise.max()))
    norms = sums.base * sums.tuned
    known: dict[str, Any] = {
        "base_norm": math.sqrt(sums.base),
        "difference_norm": math.sqrt(sums.difference),
        "relative_norm": float(np.sqrt(sums.difference / sums.base)) if sums.base > 0 else None,
        "cosine": float(np.clip(sums.product / np.sqrt(norms), -1, 1)) if norms > 0 else None,
        "sign_agreement": sums.agree / base.size,
        "changed_share": sums.changed / base.size,
    }
    if sums.difference == 0:
        return MatrixDifference(**known, stable_rank=None, rank_at_90=0, rank_at_99=0, rank=0, is_low_rank=False)
    if gram is None:
        largest = _largest_square(before, after)
        note = f"No ranks: the smaller side has {columns:,} columns, above the limit of {MAX_COLUMNS:,}."
        ranks: dict[str, Any] = {"rank_at_90": None, "rank_at_99": None, "rank": None, "is_low_rank": None}
        return MatrixDifference(**known, stable_rank=sums.difference / largest, **ranks, note=note)
    squares = np.maximum(np.linalg.eigvalsh(gram)[::-1], 0)
    held = np.cumsum(squares) / squares.sum()
    # The Gram matrix has rounding of its own (as in `decomposition`), the larger of the two for float64.
    blur = _EPSILON * (2 * math.sqrt(len(before)) * float(squares.sum()) + columns * float(squares[0]))
    rank = int(np.count_nonzero(squares > max((_ABOVE_ROUNDING * edge) ** 2, 2 * blur)))
    left = float(squares[rank:].sum())
    is_rounding = left <= _ABOVE_ROUNDING * sums.rounding + 1e-12 * float(squares.sum())
    return MatrixDifference(
        **known,
        stable_rank=float(squares.sum() / squares[0]),
        rank_at_90=int(np.searchsorted(held, 0.9) + 1),
        rank_at_99=int(np.searchsorted(held, 0.99) + 1),
        rank=rank,
        is_low_rank=bool(0 < rank <= _LOW_RANK_SHARE * columns and is_rounding),
    )


def _tall(weight: Array) -> Array:
    """The tensor as a matrix with no more columns than rows."""
    matrix = weight.reshape(weight.shape[0], -1)
    return matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T


def _chunk_pairs(before: Array, after: Array) -> Iterator[tuple[Floats, Floats]]:
    step = max(1, _CHUNK_VALUES // before.shape[1])
    for start in range(0, before.shape[0], step):
        part = slice(start, start + step)
        yield before[part].astype(np.float64), after[part].astype(np.float64)


def _rounding_variance(values: Floats, dtype: str) -> Floats:
    """ulp²/12 of each value in that number type; 0 for types that are taken as exact."""
    bits = _FRACTION_BITS.get(dtype)
    if bits is None:
        return np.zeros_like(values)
    _fraction, exponent = np.frexp(values)
    ulp: Floats = np.where(values == 0, 0.0, np.ldexp(np.ones_like(values), exponent - 1 - bits))
    variance: Floats = ulp * ulp / 12
    return variance


def _rounded(values: Floats, dtype: str) -> Floats:
    """The values to the nearest number with as many fraction bits as that type, ties to even; range is not limited."""
    bits = _FRACTION_BITS.get(dtype)
    if bits is None:
        return values
    fraction, exponent = np.frexp(values)
    scale = 2.0 ** (bits + 1)
    rounded: Floats = np.ldexp(np.rint(fraction * scale) / scale, exponent)
    return rounded


def _largest_square(before: Array, after: Array) -> float:
    """σ₁² of the difference by the power method from a fixed start, without the Gram matrix."""
    vector: Floats = np.random.default_rng(0).standard_normal((before.shape[1],))
    vector = vector / np.linalg.norm(vector)
    square = 0.0
    for _ in range(_POWER_ITERATIONS):
        image = np.zeros_like(vector)
        for one, other in _chunk_pairs(before, after):
            delta = other - one
            image += delta.T @ (delta @ vector)
        square = float(np.linalg.norm(image))
        if square == 0:
            return float("inf")
        vector = image / square
    return square
