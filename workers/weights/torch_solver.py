"""The same decompositions on a device of torch's: loaded by name, so that reports on the CPU need no torch."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from workers.weights.decomposition import BLOCK_VALUES, NotFiniteError, Solver

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


def solver(device: str) -> Solver:
    """Decompositions in double precision on a device such as "cuda:0".

    Gram eigenvalues differ from the CPU's by at most twice `error_bound`: other blocks and another eigensolver.
    """
    return Solver(
        gram=partial(_gram_eigenvalues, device=torch.device(device)),
        singular=partial(_singular_values, device=torch.device(device)),
    )


def _block(matrix: Array, start: int, step: int, *, device: torch.device) -> torch.Tensor:
    rows = np.ascontiguousarray(matrix[start : start + step])
    if rows.dtype not in (np.float64, np.float32, np.float16):
        rows = rows.astype(np.float64)
    # A copy, for weights are often read-only views of a file; they move in their own precision.
    return torch.from_numpy(rows.copy()).to(device).double()


def _gram_eigenvalues(matrix: Array, *, device: torch.device) -> Floats:
    rows, columns = matrix.shape
    step = max(columns, BLOCK_VALUES // columns)
    gram = torch.zeros((columns, columns), dtype=torch.float64, device=device)
    for start in range(0, rows, step):
        block = _block(matrix, start, step, device=device)
        gram += block.T @ block
    if not bool(torch.isfinite(torch.trace(gram))):
        raise NotFiniteError("the matrix holds NaN, infinite or far too large values")
    found: Floats = torch.linalg.eigvalsh(gram).cpu().numpy()
    return found


def _singular_values(matrix: Array, *, device: torch.device) -> Floats:
    values = _block(matrix, 0, len(matrix), device=device)
    found: Floats = torch.linalg.svdvals(values).cpu().numpy()
    return found
