"""Dealing rows into parts of given shares so that whole groups stay together and classes keep their shares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workers.kit import UserError

Rows = NDArray[np.int64]
Counts = NDArray[np.float64]
TRIES = 20


def parts_of_groups(
    marks: NDArray[np.uint8],
    groups: Rows,
    shares: Sequence[float],
    generator: np.random.Generator,
    *,
    names: Sequence[str] = (),
) -> Rows:
    """The part of each row, (n,): rows of one group share theirs, each mark's share of rows is kept as near as can be.

    marks   (n, M) 0/1: what should be spread over the parts, such as classes
    groups  (n,) whole numbers
    names   of the marks that must be in each part; UserError says which cannot be. Empty: none must

    Large groups are dealt first, each to the part that lacks most of what it has (as scikit-learn's
    StratifiedGroupKFold does); ties and order are drawn. Of several deals the first in which each part has each mark.
    """
    found, of_row = np.unique(groups, return_inverse=True)
    rows, columns = np.nonzero(marks)
    shape = (len(found), marks.shape[1])
    counts = np.bincount(of_row[rows] * shape[1] + columns, minlength=shape[0] * shape[1]).reshape(shape).astype(float)
    holding = (counts > 0).sum(axis=0)
    if len(names) and holding.min(initial=len(shares)) < len(shares):
        least = int(np.argmin(holding))
        raise UserError(
            f"The class {names[least]!r} lies in {holding[least]} {'group' if holding[least] == 1 else 'groups'}: it "
            f"needs at least {len(shares)}, as groups are kept whole and each part of the split needs the class. Add "
            "rows of other groups or leave the class out."
        )
    best: tuple[int, Rows] | None = None
    for _ in range(TRIES):
        parts = _dealt(counts, np.asarray(shares), generator)
        lacking = sum(int((counts[parts == part].sum(axis=0) == 0).sum()) for part in range(len(shares)))
        if best is None or lacking < best[0]:
            best = (lacking, parts)
        if lacking == 0 or not len(names):
            break
    if best is None or (best[0] and len(names)):
        raise UserError(
            "No split of whole groups was found that gives each class a row in training, validation and test. Add "
            "groups, or leave out the classes that lie in few of them."
        )
    return best[1][of_row]


def _dealt(counts: Counts, shares: Counts, generator: np.random.Generator) -> Rows:
    """The part of each group, (G,)."""
    wanted = shares[:, None] * counts.sum(axis=0)[None, :]
    scale = 1.0 / np.maximum(wanted, 1e-9)
    held = np.zeros_like(wanted)
    parts = np.full(len(counts), -1, dtype=np.int64)
    holders = counts > 0
    order = generator.permutation(len(counts))
    # What few groups have comes first, one group for each part, so that no part is left without.
    for mark in np.argsort(holders.sum(axis=0), kind="stable").tolist():
        for part in np.argsort(shares, kind="stable").tolist():
            if held[part, mark] > 0:
                continue
            free = order[(parts[order] < 0) & holders[order, mark]]
            if len(free):
                chosen = free[np.argmin(counts[free].sum(axis=1))]
                parts[chosen] = part
                held[part] += counts[chosen]
    left = order[parts[order] < 0]
    for group in left[np.argsort(-counts[left].sum(axis=1), kind="stable")].tolist():
        need = (wanted - held) * scale
        parts[group] = int(np.argmax(need @ counts[group]))
        held[parts[group]] += counts[group]
    return parts


def rows_by_pattern(marks: NDArray[np.uint8], shares: Sequence[float], generator: np.random.Generator) -> Rows:
    """The part of each row, (n,), for rows without groups: rows with the same marks are dealt by the shares.

    What whole shares leave over, and rare patterns, are dealt one by one to the part that lacks most of them.
    """
    weights = np.asarray(shares)
    _, pattern = np.unique(marks, axis=0, return_inverse=True)
    pattern = pattern.reshape(-1)
    order = generator.permutation(len(marks))
    order = order[np.argsort(pattern[order], kind="stable")]
    parts = np.full(len(marks), -1, dtype=np.int64)
    starts = np.flatnonzero(np.r_[True, np.diff(pattern[order]) != 0])
    for rows in np.split(order, starts[1:]):
        sizes = np.floor(weights * len(rows)).astype(np.int64)
        parts[rows[: sizes.sum()]] = np.repeat(np.arange(len(weights)), sizes)
    wanted = weights[:, None] * marks.sum(axis=0, dtype=np.float64)[None, :]
    scale = 1.0 / np.maximum(wanted, 1e-9)
    held = np.stack([marks[parts == part].sum(axis=0, dtype=np.float64) for part in range(len(weights))])
    left = np.flatnonzero(parts < 0)
    # Rows with rare marks choose first, while every part still lacks something.
    rarity = (marks[left] / np.maximum(marks.sum(axis=0), 1)).max(axis=1, initial=0.0)
    for row in left[np.argsort(-rarity, kind="stable")].tolist():
        need = ((wanted - held) * scale) @ marks[row]
        empty = (held == 0) @ marks[row].astype(np.float64)  # a part without any of a mark goes before all others
        parts[row] = int(np.argmax(need + 1e6 * empty))
        held[parts[row]] += marks[row]
    return parts
