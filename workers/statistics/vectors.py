"""Vectors by row: what several rooms do with them before they compare them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def unit_rows(x: ArrayLike) -> NDArray[np.float64]:
    """The rows (…, D) divided by their Euclidean length, in float64; a row of zeros stays zeros."""
    rows = np.array(x, dtype=np.float64)
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    np.divide(rows, lengths, out=rows, where=lengths > 0)
    return rows
