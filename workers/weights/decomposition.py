"""Eigenvalues λ = s² of one matrix: from its Gram matrix, and by the SVD only where that is ambiguous."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

WEAK_EIGENVALUE = 1e-6  # counted as weak rank loss
FIT_THRESHOLD = 1e-5  # eigenvalues above it enter the power law
BLOCK_VALUES = 4_194_304  # weights that are held in double precision at a time: 32 MiB
_EPSILON = float(np.finfo(np.float64).eps)


class NotFiniteError(ValueError):
    """A matrix holds NaN or infinite values, or values whose squares are infinite."""


@dataclass(frozen=True)
class Solver:
    """Where the linear algebra runs: both take (N, M) with N ≥ M and give M values in double precision.

    gram      eigenvalues of WᵀW, ascending; raises NotFiniteError
    singular  singular values of W, in any order
    """

    gram: Callable[[Array], Floats]
    singular: Callable[[Array], Floats]


@dataclass(frozen=True, kw_only=True)
class Decomposed:
    """Eigenvalues of one matrix, ascending, the bound of their absolute error, and whether the SVD was needed."""

    eigenvalues: Floats
    error: float
    is_svd: bool


def decompose(matrix: Array, *, solver: Solver, scale: float = 1.0) -> Decomposed:
    """The M eigenvalues of (scale · W)ᵀ(scale · W) for W of (N, M), N ≥ M; raises NotFiniteError.

    Rows and columns of zeros are left out first: they add exact zeros. The eigenvalues of the Gram matrix, accumulated
    in double precision (products of single and half precision weights are exact in it), have an absolute error of at
    most B = 4 √N u Σλ + 2 M u λ_max, u = 2⁻⁵³: rounding of sums (Higham and Mary, SIAM J. Sci. Comput. 41, 2019) and
    the backward error of the eigensolver. The SVD is taken instead where an eigenvalue is at most 2 B (whether it is
    zero, and so the rank, cannot be told) or within B of one of the limits 10⁻⁶ and 10⁻⁵ that are counted; its
    error is at most 4 M u λ_max.
    """
    columns = matrix.shape[1]
    small = _without_zeros(matrix)
    if small.size == 0:
        return Decomposed(eigenvalues=np.zeros(columns), error=0.0, is_svd=False)
    found = solver.gram(small) * scale**2
    bound = error_bound(found, rows=small.shape[0])
    is_svd = is_ambiguous(found, bound=bound)
    if is_svd:
        found = np.sort(solver.singular(small) * scale) ** 2
        bound = 2.0 * small.shape[1] * _EPSILON * float(found[-1])
    zeros = np.zeros(columns - found.size)
    return Decomposed(eigenvalues=np.concatenate((zeros, found)), error=bound, is_svd=is_svd)


def error_bound(eigenvalues: Floats, *, rows: int) -> float:
    """B of `decompose`: how far an eigenvalue of a Gram matrix of N rows can be from the true one."""
    size = np.abs(eigenvalues)
    return 2.0 * math.sqrt(rows) * _EPSILON * float(size.sum()) + size.size * _EPSILON * float(size.max())


def is_ambiguous(eigenvalues: Floats, *, bound: float) -> bool:
    """Whether an error of `bound` could change a rank, or the number of eigenvalues above a limit."""
    return bool(eigenvalues.min() <= 2 * bound) or any(
        bool(np.any(np.abs(eigenvalues - limit) <= bound)) for limit in (WEAK_EIGENVALUE, FIT_THRESHOLD)
    )


def matrix_rank(eigenvalues: Floats, *, rows: int) -> int:
    """Number of singular values √λ above the largest one times N · 2⁻⁵²; 0 for a zero matrix."""
    singular = np.sqrt(eigenvalues)
    return int(np.count_nonzero(singular > singular.max() * rows * _EPSILON))


def _without_zeros(matrix: Array) -> Array:
    """The matrix without its rows and columns of zeros, the longer side first."""
    is_row, is_column = matrix.any(axis=1), matrix.any(axis=0)
    if not is_row.all():
        matrix = matrix[is_row]
    if not is_column.all():
        matrix = matrix[:, is_column]
    return matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T


def _gram_eigenvalues(matrix: Array) -> Floats:
    """Eigenvalues of WᵀW, summed over blocks of rows so that no second copy of the weight is held."""
    rows, columns = matrix.shape
    step = max(columns, BLOCK_VALUES // columns)
    gram = np.zeros((columns, columns)) if rows > step else np.empty(0)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, rows, step):
            block = matrix[start : start + step].astype(np.float64)
            if rows > step:
                gram += block.T @ block
            else:
                gram = block.T @ block
        if not math.isfinite(float(np.trace(gram))):
            raise NotFiniteError("the matrix holds NaN, infinite or far too large values")
    return np.asarray(np.linalg.eigvalsh(gram), dtype=np.float64)


def _singular_values(matrix: Array) -> Floats:
    """Singular values of W; those of R where W = QR is tall, by blocks of rows (backward stable, like the SVD)."""
    rows, columns = matrix.shape
    step = max(2 * columns, BLOCK_VALUES // columns)
    rest = matrix[:step].astype(np.float64)
    for start in range(step, rows, step):
        upper: Any = np.linalg.qr(rest, mode="r")
        rest = np.concatenate((upper, matrix[start : start + step].astype(np.float64)))
    return np.asarray(np.linalg.svd(rest, compute_uv=False), dtype=np.float64)


NUMPY = Solver(gram=_gram_eigenvalues, singular=_singular_values)
