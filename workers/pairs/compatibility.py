"""May a model take another one's place without a new gallery? Compatibility matrix, AC and AM.

Biondi et al., CoReS: Compatible Representations via Stationarity, TPAMI 2023, arXiv 2111.07632, equations 11 and 12:
M_ij is the accuracy of queries of model i on a gallery of model j, for i ≥ j (newer queries, older gallery).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from workers.pairs.neighbours import nearest_rows, nearest_within
from workers.pairs.rows import Halves
from workers.statistics.vectors import unit_rows

Floats = npt.NDArray[np.float64]
DEPTH = 48  # of which a half misses all with odds of 1 in 10¹⁴


def compatibility_matrices(
    features: Sequence[npt.NDArray[np.floating]],
    labels: npt.NDArray[np.int64],
    halves: Halves,
    *,
    pause: Callable[[int, int], None] | None = None,
) -> Floats:
    """(1 + H, T, T): M over all rows, then over each half; NaN above the diagonal, which the formulas do not read.

    features  T models' (N, D) of equal D, from the oldest to the newest; labels (N,)

    Each row is a query against all others as the gallery, itself left out, and is right where its nearest row by
    cosine has its label.
    """
    count, total = len(features), len(features) * (len(features) + 1) // 2
    units = [unit_rows(one) for one in features]
    found = np.full((1 + halves.shape[1], count, count), np.nan)
    done = 0
    for new in range(count):
        for old in range(new + 1):
            table = nearest_rows(units[new], units[old], depth=DEPTH)
            found[0, new, old] = float(np.mean(labels[table[:, 0]] == labels))
            for number in range(halves.shape[1]):
                members = halves[:, number]
                nearest = nearest_within(table, members, k=1)[:, 0]
                found[1 + number, new, old] = float(np.mean((labels[nearest] == labels[members]) & (nearest >= 0)))
            done += 1
            if pause is not None:
                pause(done, total)
    return found


def average_compatibility(matrix: Floats) -> float:
    """AC = 2 / (T (T − 1)) Σ_{i>j} 1[M_ij ≥ M_jj]: the share of replacements that are not worse than no replacement."""
    new, old = np.tril_indices(len(matrix), -1)
    return float(np.mean(matrix[new, old] >= matrix[old, old]))


def average_accuracy(matrix: Floats) -> float:
    """AM: the mean of M over the lower triangle, its diagonal included."""
    return float(np.mean(matrix[np.tril_indices(len(matrix))]))
