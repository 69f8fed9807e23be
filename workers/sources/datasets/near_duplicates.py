"""Images that are nearly the same: average hashes find candidates, small grey copies decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.sources.protocols import Items

SIDE = 16
BITS = 64
BANDS = 4
SMALLEST_SIDE = 16
LARGEST_DIFFERENCE = 3.0
LARGEST_DISTANCE = 3
FLAT = 8.0
LARGEST_BUCKET = 200
PIXELS_AT_ONCE = 4_000_000

Small = npt.NDArray[np.float32]


def small_copies(images: npt.NDArray[Any]) -> Small:
    """Grey copies (n, 16, 16) of images (n, height, width[, 3]): means over equal areas, 0 … 255."""
    grey = images.astype(np.float32)
    if grey.ndim == 4:
        grey = grey @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    for axis in (1, 2):
        # Means over [i·h/16, (i+1)·h/16), the borders rounded down: the sums of a running total.
        edges = np.arange(SIDE + 1) * grey.shape[axis] // SIDE
        total = np.concatenate([np.zeros_like(grey.take([0], axis=axis)), grey.cumsum(axis=axis)], axis=axis)
        widths = np.diff(edges).reshape([-1 if at == axis else 1 for at in range(3)])
        grey = np.diff(total.take(edges, axis=axis), axis=axis) / widths
    return grey.astype(np.float32)


def average_hashes(small: Small) -> npt.NDArray[np.uint8]:
    """Average hashes (n, 8) of 64 bits: which cells of 8 × 8 are brighter than their mean."""
    cells = small.reshape(len(small), 8, 2, 8, 2).mean(axis=(2, 4)).reshape(len(small), BITS)
    return np.packbits(cells > cells.mean(axis=1, keepdims=True), axis=1)


def copies_of(items: Items) -> Small | None:
    """The small copies of all images of a data set, batch by batch; None where they are too small to say."""
    if not len(items):
        return None
    first = np.asarray(items[0])
    if min(first.shape[:2]) < SMALLEST_SIDE:
        return None
    step = max(1, PIXELS_AT_ONCE // (first.shape[0] * first.shape[1]))
    return np.concatenate(
        [small_copies(np.asarray(items[start : start + step])) for start in range(0, len(items), step)]
    )


def near_pairs(small: Small, *, contents: Sequence[bytes]) -> list[tuple[int, int]]:
    """Pairs (earlier, later) of rows that look the same without being the same.

    Average hashes at most 3 bits apart, which therefore agree in one of four bands, and small copies that differ by 3
    grey levels of 255 on average at most. Images without contrast are left out, as are buckets above LARGEST_BUCKET.
    """
    hashes = average_hashes(small)
    usable = np.flatnonzero(small.std(axis=(1, 2)) >= FLAT)
    found: set[tuple[int, int]] = set()
    width = BITS // 8 // BANDS
    for band in range(BANDS):
        keys = hashes[usable, band * width : (band + 1) * width]
        _, codes = np.unique(keys, axis=0, return_inverse=True)
        order = usable[np.argsort(codes, kind="stable")]
        for bucket in np.split(order, np.cumsum(np.bincount(codes.ravel()))[:-1]):
            if 2 <= len(bucket) <= LARGEST_BUCKET:
                found |= _near_in(bucket, hashes=hashes, small=small)
    return sorted((a, b) for a, b in found if contents[a] != contents[b])


def _near_in(bucket: npt.NDArray[np.int64], *, hashes: npt.NDArray[np.uint8], small: Small) -> set[tuple[int, int]]:
    first, second = np.triu_indices(len(bucket), 1)
    a, b = bucket[first], bucket[second]
    distance = np.unpackbits(hashes[a] ^ hashes[b], axis=1).sum(axis=1)
    close = distance <= LARGEST_DISTANCE
    a, b = a[close], b[close]
    difference = np.abs(small[a] - small[b]).mean(axis=(1, 2))
    near = difference <= LARGEST_DIFFERENCE
    return {(min(int(x), int(y)), max(int(x), int(y))) for x, y in zip(a[near], b[near], strict=True)}
