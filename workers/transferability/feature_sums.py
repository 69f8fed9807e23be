"""Sums over rows that several metrics can be computed from, so that memory does not grow with the rows.

They add up: batches, shards, and rows added or taken away need no second pass over the others. LogME, both H-scores,
LFC, GBC and the spectral measures come from them; metrics that look at single rows do not.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt

from workers.kit import UserError
from workers.transferability.feature_pass import FeaturePass, class_codes
from workers.transferability.probabilities import checked_probabilities
from workers.transferability.spectrum import ClassMoments, Floats, Ints, Spectrum

_BLOCK_ENTRIES = 4_000_000
# Above it the rows are not held in memory as float64 (2 GB), but summed in blocks.
LARGEST_HELD = 250_000_000
# Below this share of the raw trace, what is left after taking the mean away has lost half of its digits.
_ILL_CENTRED = 1e-7


class FeatureSums:
    """Sums over rows x of D features in C classes, in float64.

    gram (D, D) Σ x xᵀ; sums, squares (C, D) Σ x and Σ x² of every class; counts (C,); cubes (D,) Σ ‖x‖² x; fourth
    Σ ‖x‖⁴. 8 D (D + 2 C + 1) bytes, whatever the number of rows.
    """

    def __init__(self, *, dimensions: int, classes: int) -> None:
        self.gram: Floats = np.zeros((dimensions, dimensions))
        self.sums: Floats = np.zeros((classes, dimensions))
        self.squares: Floats = np.zeros((classes, dimensions))
        self.counts: Ints = np.zeros(classes, dtype=np.int64)
        self.cubes: Floats = np.zeros(dimensions)
        self.fourth = 0.0

    @classmethod
    def of(cls, features: npt.NDArray[np.generic], codes: Ints, *, classes: int, rows: Ints | None = None) -> Self:
        """The sums over (N, D) features, which may be memory-mapped, in blocks; over some of the rows if given.

        codes  (N,) classes as numbers 0 … C − 1
        """
        total = cls(dimensions=features.shape[1], classes=classes)
        count = len(codes) if rows is None else len(rows)
        step = max(1, _BLOCK_ENTRIES // features.shape[1])
        for start in range(0, count, step):
            block = slice(start, start + step) if rows is None else rows[start : start + step]
            total.add(features[block], codes[block])
        return total

    def add(self, features: npt.ArrayLike, codes: Ints, *, times: int = 1) -> Self:
        """Add a batch of (n, D) rows; `times=-1` takes rows away that were added before.

        Raises UserError for values that are not finite.
        """
        rows = np.asarray(features, dtype=np.float64)
        if not np.isfinite(rows).all():
            raise UserError("The features hold NaN or infinite values: the model overflows on this data set.")
        lengths = np.einsum("ij,ij->i", rows, rows)
        self.gram += times * (rows.T @ rows)
        for code in np.unique(codes):
            members = rows[codes == code]
            self.sums[code] += times * members.sum(axis=0)
            self.squares[code] += times * np.einsum("ij,ij->j", members, members)
            self.counts[code] += times * len(members)
        self.cubes += times * (lengths @ rows)
        self.fourth += times * float(lengths @ lengths)
        return self

    def merge(self, other: FeatureSums, *, times: int = 1) -> Self:
        """Add the sums of other rows; `times=-1` takes them away."""
        self.gram += times * other.gram
        self.sums += times * other.sums
        self.squares += times * other.squares
        self.counts += times * other.counts
        self.cubes += times * other.cubes
        self.fourth += times * other.fourth
        return self


class SummedPass(FeaturePass):
    """A shared pass made from sums; what needs single rows raises UserError.

    sums    of the rows, in the classes' numbers
    source  (N, D) features and (N,) codes, where they can be read again: then the pass can select
    """

    def __init__(
        self,
        sums: FeatureSums,
        *,
        source: tuple[npt.NDArray[np.generic], Ints] | None = None,
        row_ids: npt.ArrayLike | None = None,
    ) -> None:
        present = np.flatnonzero(sums.counts > 0)
        if len(present) < 2:
            raise UserError("All rows have the same label: a data set needs two classes or more to be scored.")
        self._total = int(sums.counts.sum())
        self._source = source
        width = len(sums.gram)
        trace = float(np.trace(sums.gram))
        self.scale = float(np.sqrt(trace / (self._total * width))) if trace > 0 else 1.0
        self._sums = FeatureSums(dimensions=width, classes=len(present))
        self._sums.gram = sums.gram / self.scale**2
        self._sums.sums = sums.sums[present] / self.scale
        self._sums.squares = sums.squares[present] / self.scale**2
        self._sums.cubes = sums.cubes / self.scale**3
        self._sums.fourth = sums.fourth / self.scale**4
        self.codes = source[1] if source is not None else np.repeat(np.arange(len(present)), sums.counts[present])
        self.row_ids = np.arange(self._total) if row_ids is None else np.asarray(row_ids)
        self._features = None
        self._probabilities = None
        self._parent = None
        self._indices = None
        self._finish()
        self.counts = sums.counts[present]

    def with_probabilities(self, probabilities: npt.ArrayLike) -> Self:
        """This pass, with the (N, S) probabilities of the source classifier for its rows."""
        self._probabilities = checked_probabilities(probabilities, len(self.codes))
        return self

    @property
    def dimensions(self) -> int:
        """D."""
        return len(self._sums.gram)

    def select(self, indices: Ints) -> Self:
        """The pass over some of the rows, read again and summed; raises UserError where they cannot be read."""
        if self._source is None:
            raise UserError("This pass holds sums only, from which no rows can be selected.")
        features, codes = self._source
        sums = FeatureSums.of(features, codes, classes=len(self.counts), rows=indices)
        part = type(self)(sums, row_ids=self.row_ids[indices])
        part.codes = class_codes(codes[indices], len(indices))
        return part

    def fourth_moment(self) -> float:
        """Σ ‖x − μ‖⁴ over the rows, from Σ ‖x‖⁴, Σ ‖x‖² x and the Gram matrix."""
        total = self._total
        mean = self._sums.sums.sum(axis=0) / total
        length = float(mean @ mean)
        trace = float(np.trace(self._sums.gram))
        result = self._sums.fourth - 4 * float(mean @ self._sums.cubes) + 2 * length * trace
        result += 4 * float(mean @ self._sums.gram @ mean) - 4 * total * length**2 + total * length**2
        return max(result, 0.0)

    def class_moments(self) -> ClassMoments:
        """Mean and variance of every feature in every class, about the mean of all rows."""
        self._refuse_if_swamped()
        means = self._sums.sums / self.counts[:, None]
        variances = np.maximum(self._sums.squares / self.counts[:, None] - np.square(means), 0.0)
        return ClassMoments(means=means - self._sums.sums.sum(axis=0) / self._total, variances=variances)

    def _decompose(self, *, is_centred: bool) -> Spectrum:
        gram, sums = self._sums.gram, self._sums.sums
        if is_centred:
            self._refuse_if_swamped()
            mean = sums.sum(axis=0) / self._total
            gram = gram - self._total * np.outer(mean, mean)
            sums = sums - self.counts[:, None] * mean
        values, axes = np.linalg.eigh(gram)
        keep = self._is_significant(values)
        # With no rows to measure them on, dropped directions are taken for rounding.
        return Spectrum(
            rows=self._total,
            dimensions=self.dimensions,
            values=values[keep],
            projections=axes[:, keep].T @ sums.T / np.sqrt(values[keep])[:, None],
            dropped=0.0,
        )

    def _refuse_if_swamped(self) -> None:
        mean = self._sums.sums.sum(axis=0) / self._total
        trace = float(np.trace(self._sums.gram))
        if trace > 0 and trace - self._total * float(mean @ mean) < _ILL_CENTRED * trace:
            raise UserError(
                "The features' mean swamps their spread, so sums over them have lost the digits that are needed: score "
                "the rows themselves, or take their mean away first."
            )


def pass_over(
    features: npt.NDArray[np.generic],
    labels: npt.ArrayLike,
    *,
    row_ids: npt.ArrayLike,
    probabilities: npt.ArrayLike | None = None,
) -> FeaturePass:
    """The pass over stored features: of the rows where they fit in memory, else of sums over them, in blocks.

    probabilities  (N, S) of the source classifier, where metrics need them
    """
    if features.size <= LARGEST_HELD:
        return FeaturePass(features, labels, source_probabilities=probabilities, row_ids=row_ids)
    codes = class_codes(labels, len(features))
    sums = FeatureSums.of(features, codes, classes=int(codes.max()) + 1)
    whole = SummedPass(sums, source=(features, codes), row_ids=row_ids)
    return whole if probabilities is None else whole.with_probabilities(probabilities)
