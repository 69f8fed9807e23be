"""What is taken for what: counts of every class and what its rows are named, and the pairs confused most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Confusion:
    """Rows of each class (down) by what they are named (across), means over the replicates.

    counts   (C, C), sparse: with a thousand classes most cells are empty
    support  (C,) test rows of each class
    """

    counts: sparse.csr_array
    support: NDArray[np.int64]
    replicates: int

    def shares(self) -> Array:
        """(C, C), each class's rows as shares of them; zeros where it has none."""
        table = self.counts.toarray()
        return np.asarray(table / np.maximum(self.support, 1)[:, None])

    def most_confused(self, most: int) -> list[tuple[int, int, float]]:
        """(class, named as, rows) of the pairs with most rows, the larger share first among equals."""
        found = self.counts.tocoo()
        apart = (found.row != found.col) & (found.data > 0)
        of, other, rows = found.row[apart], found.col[apart], found.data[apart]
        order = np.lexsort((other, of, -rows / np.maximum(self.support[of], 1), -rows))[:most]
        return [(int(of[at]), int(other[at]), float(rows[at])) for at in order]


def confusion(logits: ArrayLike, labels: ArrayLike) -> Confusion:
    """Of logits (R, N, C), each row named by its highest, the first of equals; labels (N,) in 0..C−1."""
    z, y = np.asarray(logits), np.asarray(labels, dtype=np.int64)
    if z.ndim != 3 or z.shape[1] != y.size or not len(z):
        raise ValueError(f"logits must be (R, N, C) on the rows of the labels: {z.shape}, {y.size} labels")
    classes, replicates = z.shape[2], len(z)
    named = z.argmax(axis=2)
    cells = np.full(named.size, 1.0 / replicates)
    counts = sparse.coo_array((cells, (np.tile(y, replicates), named.ravel())), shape=(classes, classes)).tocsr()
    counts.data = np.round(counts.data * replicates) / replicates  # sums of 1 / R stray in the last digit
    return Confusion(counts=counts, support=np.bincount(y, minlength=classes).astype(np.int64), replicates=replicates)


def rows_confused(logits: ArrayLike, labels: ArrayLike, *, of: int, other: int) -> list[tuple[int, int, float]]:
    """The rows of class `of` that are named `other`: (place, in how many replicates, mean probability of `other`).

    Those of most replicates first, then the surest; `of` equal to `other` lists what is right.
    """
    z, y = np.asarray(logits), np.asarray(labels, dtype=np.int64)
    places = np.flatnonzero(y == of)
    if not places.size:
        return []
    here = np.asarray(z[:, places], dtype=np.float64)
    named = (here.argmax(axis=2) == other).sum(axis=0)
    apart = np.exp(here - here.max(axis=2, keepdims=True))
    sure = (apart[:, :, other] / apart.sum(axis=2)).mean(axis=0)
    order = np.lexsort((places, -sure, -named))
    return [(int(places[at]), int(named[at]), float(sure[at])) for at in order if named[at] > 0]
