"""What a shared pass hands to metrics: spectra, principal components and the moments of the classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Spectrum:
    """Eigendecomposition of the Gram matrix of N × D features, and the class sums in its basis.

    rows, dimensions  N, D
    values            (k,) positive eigenvalues of FᵀF, ascending
    projections       (k, C) Uᵀ Y: class indicators on the left singular vectors
    dropped           sum of the eigenvalues left out because the rounding of the Gram matrix drowns them
    """

    rows: int
    dimensions: int
    values: Floats
    projections: Floats
    dropped: float

    @property
    def class_sums(self) -> Floats:
        """(k, C) Vᵀ Fᵀ Y: the sum of every class's rows in the basis of the right singular vectors."""
        return np.asarray(np.sqrt(self.values)[:, None] * self.projections)


@dataclass(frozen=True, eq=False, kw_only=True)
class Principal:
    """Principal components: `values` (k,) of the centred scatter matrix, descending.

    axes     (D, k) directions if `is_tall`, else (N, k) left singular vectors
    """

    values: Floats
    axes: Floats
    is_tall: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class ClassMoments:
    """(C, D) class means, less the mean of all rows, and (C, D) variances (ddof 0) of every feature in every class."""

    means: Floats
    variances: Floats


def class_sums(values: Floats, codes: Ints, classes: int) -> Floats:
    """(C, D) sums of the rows of every class."""
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(classes))
    if len(values) * values.shape[1] <= 1_000_000:
        return np.asarray(np.add.reduceat(values[order], starts, axis=0))
    # One class at a time: a sorted copy of all rows would double the memory.
    ends = np.append(starts[1:], len(order))
    return np.stack([values[order[low:high]].sum(axis=0) for low, high in zip(starts, ends, strict=True)])


def signed(axes: Floats) -> Floats:
    """(D, k) axes with the sign that makes the entry of largest magnitude positive, as scikit-learn has it."""
    if axes.shape[1] == 0:
        return axes
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    return np.asarray(axes * np.where(largest < 0, -1.0, 1.0))
