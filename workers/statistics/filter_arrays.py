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


def filter_columns(weight: Array) -> Floats:
    """The kernels of an (out, in, *kernel) weight as the columns of a contiguous float64 (taps, out·in) array."""
    taps = math.prod(weight.shape[2:])
    # Long contiguous rows: reductions over the taps are then whole-array operations.
    # Always a copy: callers work on it in place.
    return np.array(weight.reshape(-1, taps).T, dtype=np.float64, order="C")


def filter_slices(weight: Array) -> Iterator[Array]:
    """Parts of an (out, in, *kernel) weight, of the same dimensions, that fit into the cache as float64."""
    kernel = weight.shape[2:]
    if weight.flags.c_contiguous:
        weight = weight.reshape(1, -1, *kernel)
    size = max(1, _BLOCK // math.prod(kernel))
    rows = max(1, size // weight.shape[1])
    for row in range(0, len(weight), rows):
        for start in range(0, weight.shape[1], size):
            yield weight[row : row + rows, start : start + size]
