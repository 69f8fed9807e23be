"""Weights of convolutions as arrays: checked, and as columns of filters, some at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.kit import UserError

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

# Weights a block, about 0.3 MB of float64: a block stays in the cache through every step.
_BLOCK = 36_864


def layer_words(name: str) -> str:
    """How sentences name a layer, which may have no name."""
    return f"layer {name!r}" if name else "the layer"


def layer_weight(weight: npt.ArrayLike, *, name: str = "") -> Array:
    """The weight of a convolution, (out, in, *kernel) with one to three kernel sizes, as an array.

    Floats that NumPy's own routines do not know (bfloat16, 8-bit ones) become float32. Raises UserError, naming the
    layer by `name`, for other shapes and for what is no real number.
    """
    values = np.asarray(weight)
    if values.ndim not in (3, 4, 5) or values.size == 0:
        raise UserError(
            f"The weight of {layer_words(name)} has shape {values.shape}, not that of a convolution: "
            "(out, in, sizes of the kernel)."
        )
    if values.dtype.kind in "fiu":
        return values
    try:
        return values.astype(np.float32, casting="same_kind" if values.dtype.kind != "V" else "unsafe")
    except (TypeError, ValueError):
        raise UserError(f"The weight of {layer_words(name)} is of type {values.dtype}, not of real numbers.") from None


def largest_weight(values: Array, *, name: str = "") -> float:
    """The largest absolute weight. Raises UserError, naming the layer by `name`, for NaN or infinite weights."""
    largest = max(float(values.max()), -float(values.min()))
    if not math.isfinite(largest):
        raise UserError(
            f"The weight of {layer_words(name)} holds NaN or infinite values: "
            "the checkpoint is damaged or its training diverged."
        )
    return largest


def filter_blocks(weight: Array, *, exponent: int = 0) -> Iterator[Floats]:
    """The filters of an (out, in, *kernel) weight over 2^exponent as columns, as many at a time as fit into the cache.

    Each block is a fresh float64 array (taps + 1, filters), whose last row is of ones: its product with itself holds
    the sums and the number of the filters too. Long rows make reductions over the taps whole-array operations.
    """
    kernel, taps = weight.shape[2:], math.prod(weight.shape[2:])
    if weight.flags.c_contiguous:
        weight = weight.reshape(1, -1, *kernel)
    size = max(1, _BLOCK // taps)
    rows = max(1, size // weight.shape[1])
    for row in range(0, len(weight), rows):
        for start in range(0, weight.shape[1], size):
            filters = weight[row : row + rows, start : start + size].reshape(-1, taps)
            columns = np.empty((taps + 1, len(filters)))
            columns[:taps] = filters.T
            columns[taps] = 1.0
            if exponent:
                np.ldexp(columns[:taps], -exponent, out=columns[:taps])
            yield columns
