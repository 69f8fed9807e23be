"""Small pictures for pages without a chart of their own: filters and densities as PNG in `data:` addresses.

Strength is opacity, so that zero shows the page's own ground and one picture serves both themes.
"""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

POSITIVE, NEGATIVE = (43, 140, 190), (217, 118, 34)  # 3:1 or more on the ground of both themes


def filter_thumbnail(taps: npt.ArrayLike, *, top: float | None = None) -> str:
    """A (height, width) filter, one pixel a weight: blue above zero, orange below, full strength at `top`.

    `top` is the largest magnitude of the filter itself unless it is given, so that filters can share a scale.
    """
    weights = np.nan_to_num(np.asarray(taps, dtype=np.float64))
    largest = top or float(np.abs(weights).max(initial=0.0)) or 1.0
    return _signed(np.clip(weights / largest, -1, 1))


def density_thumbnail(counts: npt.ArrayLike) -> str:
    """A histogram of two coefficients, the first over rows, one pixel a bin, on a log scale from the rarest."""
    held = np.nan_to_num(np.asarray(counts, dtype=np.float64))
    filled = held[held > 0]
    if not filled.size:
        return _signed(np.zeros_like(held))
    low, high = np.log(filled.min()), np.log(filled.max())
    with np.errstate(divide="ignore"):
        strength = (np.log(held) - low) / (high - low) if high > low else np.ones_like(held)
    return _signed(np.where(held > 0, 0.12 + 0.88 * strength, 0.0))


def _signed(values: npt.NDArray[Any]) -> str:
    pixels = np.empty((*values.shape, 4), dtype=np.uint8)
    pixels[..., :3] = np.where((values < 0)[..., None], NEGATIVE, POSITIVE)
    pixels[..., 3] = np.round(np.abs(values) * 255)
    return _png(pixels)


def _png(pixels: npt.NDArray[np.uint8]) -> str:
    """An RGBA picture of shape (height, width, 4) as a `data:` address."""
    height, width = pixels.shape[:2]
    lines = np.zeros((height, 1 + 4 * width), dtype=np.uint8)  # each line begins with its filter type: none
    lines[:, 1:] = pixels.reshape(height, 4 * width)
    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + body).decode()
