"""Do a model's similarities go with those that people gave? Pearson's r and RSA over the pairs of items.

Marjieh et al., Words are all you need?, ICLR 2023, arXiv 2206.04105: Pearson's r of the upper triangles of the model's
cosine similarities and the human ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workers.kit import UserError
from workers.pairs.geometry import pearson, spearman, upper
from workers.pairs.rows import Halves
from workers.sources.store import Features
from workers.statistics.vectors import unit_rows

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Aligned:
    """Correlation over the pairs of items, and over those of each half of the items."""

    value: float
    halves: tuple[float, ...]


def item_features(features: Features, names: Sequence[str]) -> tuple[Floats, str]:
    """The features (n, D) of the named items, and what the items are: "classes" (means of their rows) or "rows".

    Raises UserError where the names are neither all classes nor all row ids of the data set.
    """
    by_class = {name: label for label, name in enumerate(features.classes)}
    x = features.x
    if all(name in by_class for name in names):
        means = np.empty((len(names), x.shape[1]))
        for place, name in enumerate(names):
            rows = features.labels == by_class[name]
            if not rows.any():
                raise UserError(f"The class {name[:60]!r} has no row in this data set: leave it out of the matrix.")
            means[place] = x[rows].mean(axis=0, dtype=np.float64)
        return means, "classes"
    by_id = {str(row): place for place, row in enumerate(features.row_ids.tolist())}
    if all(name in by_id for name in names):
        return x[[by_id[name] for name in names]].astype(np.float64), "rows"
    unknown = next((name for name in names if name not in by_class and name not in by_id), names[0])
    known = ", ".join(features.classes[:3])
    raise UserError(
        f"The matrix names {unknown[:60]!r}, which is no class of this data set (such as {known[:120]}) and no row of "
        f"it: name all items by class, or all by row number.",
        field="matrix",
    )


def alignment(features: Floats, human: Floats, halves: Halves) -> dict[str, Aligned]:
    """Of the cosine similarities of the items' features (n, D) with the human similarities (n, n).

    "alignment_pearson": Pearson's r of the upper triangles. "alignment_rsa": Spearman's, as RSA has it (of
    similarities or of dissimilarities, which gives the same).
    """
    unit = unit_rows(features)
    cosine = unit @ unit.T
    sets = [np.arange(len(human)), *(np.flatnonzero(halves[:, number]) for number in range(halves.shape[1]))]
    found = {}
    for name, correlate in (("alignment_pearson", pearson), ("alignment_rsa", spearman)):
        values = [correlate(upper(cosine[np.ix_(one, one)]), upper(human[np.ix_(one, one)])) for one in sets]
        found[name] = Aligned(value=values[0], halves=tuple(values[1:]))
    return found
