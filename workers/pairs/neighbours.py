"""Nearest rows by cosine, block by block, and how many of them two models agree on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
BLOCK = 1024
EQUALS = 16  # further rows that are looked at, so that equals at the last place are taken in their order


def nearest_rows(
    queries: Floats,
    gallery: Floats,
    *,
    depth: int,
    block: int = BLOCK,
    pause: Callable[[], None] | None = None,
) -> Places:
    """For each query row the `depth` nearest rows of the gallery by inner product, the row of its own number left out.

    queries, gallery  (N, D) of the same N items, as `unit_rows` makes them; the result is (N, min(depth, N − 1)),
    nearest first, of equals the lower number first.
    """
    rows = len(queries)
    depth = min(depth, rows - 1)
    wide = min(depth + EQUALS, rows)
    found = np.empty((rows, depth), dtype=np.int64)
    for start in range(0, rows, block):
        similarity = queries[start : start + block] @ gallery.T
        count = len(similarity)
        similarity[np.arange(count), np.arange(start, start + count)] = -np.inf
        kept = np.sort(np.argpartition(similarity, rows - wide, axis=1)[:, rows - wide :], axis=1)
        # Products of equal rows may differ in their last digits; so rounded, equals are equal.
        near = np.round(np.take_along_axis(similarity, kept, axis=1), 12)
        order = np.argsort(-near, axis=1, kind="stable")[:, :depth]
        found[start : start + count] = np.take_along_axis(kept, order, axis=1)
        if pause is not None:
            pause()
    return found


def nearest_within(table: Places, members: npt.NDArray[np.bool_], *, k: int) -> Places:
    """For each member row its k nearest rows among the members, from a deeper table: (M, k), −1 where it ran out."""
    rows = table[members]
    is_in = members[rows]
    order = np.argsort(~is_in, axis=1, kind="stable")[:, :k]
    nearest = np.take_along_axis(rows, order, axis=1)
    nearest[~np.take_along_axis(is_in, order, axis=1)] = -1
    return nearest


def mutual_share(one: Places, two: Places) -> float:
    """Mean over the rows of the share of k nearest rows that two models have in common, in [0, 1].

    Huh et al., The Platonic Representation Hypothesis, ICML 2024, arXiv 2405.07987, mutual k-nearest-neighbour metric.
    Unrelated models have k / (N − 1) in common.
    """
    both = (one[:, :, None] == two[:, None, :]) & (one >= 0)[:, :, None]
    return float(both.any(axis=2).sum(axis=1).mean() / one.shape[1])
