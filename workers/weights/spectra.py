"""Spectra of weights: the eigenvalues λ = s² of their matrices, one decomposition of each."""

from __future__ import annotations

import contextlib
import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from workers.kit import UserError
from workers.weights.decomposition import NUMPY, WEAK_EIGENVALUE, NotFiniteError, Solver, decompose, matrix_rank

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Method = Literal["gram", "svd", "gram and svd"]

# WeightWatcher 0.7.7 multiplies each slice of a convolution by √(1/2), whatever the kernel: its √(k²/2) is for slices
# that are not pooled.
CONVOLUTION_SCALE = math.sqrt(0.5)
MAX_COLUMNS = 16_384  # of one matrix: the Gram matrix and its work space have 4 GiB there, and take minutes on one core


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """The eigenvalues of a weight, scaled as WeightWatcher scales them.

    eigenvalues     (matrices · columns,) λ = s², ascending, of all matrices together
    rows, columns   N and M of each matrix, N ≥ M
    matrices        how many there are: the taps of a convolution's kernel, the experts of a stack, else 1
    scale           what each matrix was multiplied by: √(1/2) for convolutions, else 1
    method          "gram" (eigenvalues of WᵀW), "svd", or both where only some matrices needed the SVD
    error           bound of the absolute error of each eigenvalue
    rank            singular values above largest · N · 2⁻⁵², all matrices together
    rank_loss       singular values that are not above that limit of their own matrix
    weak_rank_loss  eigenvalues below 10⁻⁶
    """

    eigenvalues: Floats
    rows: int
    columns: int
    matrices: int
    scale: float
    method: Method
    error: float
    rank: int
    rank_loss: int
    weak_rank_loss: int

    @property
    def spectral(self) -> float:
        """The largest eigenvalue, the square of the largest singular value (WeightWatcher's spectral_norm)."""
        return float(self.eigenvalues[-1])

    @property
    def total(self) -> float:
        """Sum of the eigenvalues (WeightWatcher's norm): the squared Frobenius norm, times scale²."""
        return float(self.eigenvalues.sum())

    @property
    def frobenius(self) -> float:
        """Frobenius norm of the weight as stored, not scaled."""
        return math.sqrt(self.total) / self.scale


def matrices_of(weight: npt.ArrayLike, *, kind: str) -> list[Array]:
    """The matrices that a weight consists of, each (N, M) with N ≥ M, as views in its own precision, not scaled.

    A convolution (out, in/groups, *kernel) gives one matrix for each tap of its kernel; a stack of experts
    (experts, …, …) one for each expert; every other weight one, with all axes but the first (of an embedding: all but
    the last) taken together. A vector is a matrix of one column. `kind` is that of `workers.sources.layers.Layer`.
    Raises UserError for scalars and for weights without values.
    """
    values = np.asarray(weight)
    rows, columns, count = _sizes(values.shape, kind=kind)
    if count == 1:
        matrices = [values.reshape(-1, values.shape[-1]) if kind == "embedding" else values.reshape(len(values), -1)]
    elif kind == "expert":
        matrices = list(values.reshape(count, values.shape[1], -1))
    else:
        matrices = list(np.moveaxis(values.reshape(*values.shape[:2], -1), -1, 0))
    return [matrix if matrix.shape == (rows, columns) else matrix.T for matrix in matrices]


def refusal(shape: Sequence[int], *, kind: str) -> str | None:
    """Why a weight of this shape gets no spectrum, in words; None where it gets one."""
    if not shape or math.prod(shape) == 0:
        return f"A weight of shape {tuple(shape)} holds no matrix: choose a layer with weights."
    rows, columns, _ = _sizes(shape, kind=kind)
    if columns > MAX_COLUMNS:
        return f"A matrix of {rows:,} × {columns:,} is above the limit of {MAX_COLUMNS:,} eigenvalues a matrix."
    return None


def spectrum(
    weight: npt.ArrayLike, *, kind: str, device: str = "cpu", threads: int | None = None, name: str = ""
) -> Spectrum:
    """The eigenvalues of a weight in double precision; `decompose` says how, and with which error.

    `device` is "cpu" or one of torch's; `threads` limits numpy's linear algebra for the call (None: as it is). Raises
    UserError, naming the layer by `name`, for NaN or infinite weights and where `refusal` speaks.
    """
    layer = f"layer {name!r}" if name else "the layer"
    values = np.asarray(weight)
    reason = refusal(values.shape, kind=kind)
    if reason is not None:
        raise UserError(f"There is no spectrum of {layer}. {reason}")
    matrices = matrices_of(values, kind=kind)
    rows, columns = matrices[0].shape
    scale = CONVOLUTION_SCALE if kind.startswith("conv") else 1.0
    solver: Solver = (
        NUMPY if device == "cpu" else importlib.import_module("workers.weights.torch_solver").solver(device)
    )
    with threadpool_limits(threads) if threads else contextlib.nullcontext():
        try:
            found = [decompose(matrix, solver=solver, scale=scale) for matrix in matrices]
        except NotFiniteError:
            raise UserError(
                f"The weight of {layer} holds NaN, infinite or far too large values: "
                "the checkpoint is damaged or its training diverged."
            ) from None
    eigenvalues = np.sort(np.concatenate([one.eigenvalues for one in found]))
    by_svd = sum(one.is_svd for one in found)
    return Spectrum(
        eigenvalues=eigenvalues,
        rows=rows,
        columns=columns,
        matrices=len(matrices),
        scale=scale,
        method="gram" if by_svd == 0 else "svd" if by_svd == len(found) else "gram and svd",
        error=max(one.error for one in found),
        rank=matrix_rank(eigenvalues, rows=rows),
        rank_loss=sum(columns - matrix_rank(one.eigenvalues, rows=rows) for one in found),
        weak_rank_loss=int(np.count_nonzero(eigenvalues < WEAK_EIGENVALUE)),
    )


def _sizes(shape: Sequence[int], *, kind: str) -> tuple[int, int, int]:
    """N, M and the number of the matrices of a weight of this shape."""
    if not shape or math.prod(shape) == 0:
        raise UserError(f"A weight of shape {tuple(shape)} holds no matrix: choose a layer with weights.")
    if len(shape) > 2 and kind == "expert":
        sides, count = (shape[1], math.prod(shape[2:])), shape[0]
    elif len(shape) > 2 and kind.startswith("conv"):
        sides, count = (shape[0], shape[1]), math.prod(shape[2:])
    elif kind == "embedding":
        sides, count = (math.prod(shape[:-1]), shape[-1]), 1
    else:
        sides, count = (shape[0], math.prod(shape[1:])), 1
    return max(sides), min(sides), count
