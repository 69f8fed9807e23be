"""How sparse a weight tensor is: zeros, weights near zero, the 2:4 pattern, rows and columns that do nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Values that are looked at together: temporary arrays stay a few MB, whatever the tensor's size.
_CHUNK_VALUES = 2**20


@dataclass(frozen=True, kw_only=True)
class Sparsity:
    """Shares are of all weights, between 0 and 1.

    zero_share       weights that are exactly zero
    near_zero_share  weights strictly below `eps` × the tensor's largest absolute weight (an all-zero tensor: 1)
    two_of_four      groups of four inputs in a row of which at most two are not zero, as sparse tensor cores want them
                     (1: the whole tensor can run 2:4); None where the inputs are no multiple of four
    rows, dead_rows  outputs (first axis), and how many of them have only weights near zero
    columns, dead_columns  inputs (second axis), likewise
    """

    values: int
    zero_share: float
    near_zero_share: float
    two_of_four: float | None
    rows: int
    dead_rows: int
    columns: int
    dead_columns: int


def weight_sparsity(weight: Array, *, eps: float = 0.01) -> Sparsity:
    """The sparsity of a tensor of at least two axes, (outputs, inputs, kernel …), in one pass of a few MB.

    `weight` is finite and not changed. Source of the pattern: Mishra et al., 2021, arXiv 2104.08378. Raises ValueError
    for fewer than two axes or an empty tensor.
    """
    if weight.ndim < 2 or weight.size == 0:
        raise ValueError(f"sparsity of a tensor of shape {weight.shape}")
    cube = weight.reshape(weight.shape[0], weight.shape[1], -1)
    rows, columns, _taps = cube.shape
    largest = max(float(np.abs(chunk).max()) for chunk in _chunks(cube))
    limit = eps * largest
    has_pattern = columns % 4 == 0
    zeros = near = patterned = dead_rows = 0
    is_dead_column = np.ones(columns, dtype=bool)
    for chunk in _chunks(cube):
        size = np.abs(chunk)
        zero_mask = size == 0
        # Of a layer of zeros nothing lies below zero: all of it is near zero all the same.
        near_mask = size < limit if largest > 0 else zero_mask
        zeros += int(np.count_nonzero(zero_mask))
        near += int(np.count_nonzero(near_mask))
        dead_rows += int(near_mask.all(axis=(1, 2)).sum())
        is_dead_column &= near_mask.all(axis=(0, 2))
        if has_pattern:
            groups = zero_mask.reshape(len(chunk), columns // 4, 4, -1).sum(axis=2)
            patterned += int(np.count_nonzero(groups >= 2))
    return Sparsity(
        values=weight.size,
        zero_share=zeros / weight.size,
        near_zero_share=near / weight.size,
        two_of_four=patterned / (weight.size // 4) if has_pattern else None,
        rows=rows,
        dead_rows=dead_rows,
        columns=columns,
        dead_columns=int(is_dead_column.sum()),
    )


def _chunks(cube: Array) -> Iterator[Array]:
    step = max(1, _CHUNK_VALUES // max(1, cube.shape[1] * cube.shape[2]))
    for start in range(0, cube.shape[0], step):
        yield cube[start : start + step]
