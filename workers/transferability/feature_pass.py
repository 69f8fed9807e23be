"""One shared pass over the features of a data set: what several metrics need is computed once.

LogME and the regularised H-score read one spectrum (Gram matrix and eigendecomposition); the nearest-neighbour accuracy
reads one table of neighbours. A half-sample takes both from its parent where it can: its N × N Gram matrix is a part of
the whole one, its neighbours are the parent's that lie in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from workers.kit import UserError
from workers.transferability.neighbour_table import NeighbourTable

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# 128 MB of float64: above it a half-sample forms its own Gram matrix.
_LARGEST_SHARED_KERNEL = 4096


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


class FeaturePass:
    """Checked features and labels with everything that metrics share, computed on first use.

    features  (N, D), any real dtype, left unchanged; held as float64 divided by their root mean square, `scale`
    labels    (N,) class labels of any sortable kind; re-indexed to 0 … C − 1 in `codes`, absent classes vanish

    Raises UserError for features that are no finite (N, D) array with N ≥ 2 and D ≥ 1, for labels of another length,
    and for fewer than two classes.
    """

    def __init__(self, features: npt.ArrayLike, labels: npt.ArrayLike) -> None:
        values = np.asarray(features)
        if values.ndim != 2 or values.shape[0] < 2 or values.shape[1] < 1 or values.dtype.kind not in "biuf":
            raise UserError(
                f"Features must be a table of numbers with two rows or more, not {values.dtype} {values.shape}."
            )
        scaled = values.astype(np.float64)
        peak = float(max(scaled.max(), -scaled.min()))
        if not np.isfinite(peak):
            raise UserError("The features hold NaN or infinite values: the model overflows on this data set.")
        # Divided by the largest magnitude first: squares of very large features would overflow.
        if peak > 0:
            scaled /= peak
            root = float(np.sqrt(np.vdot(scaled, scaled) / scaled.size))
            scaled /= root
            self.scale = peak * root
        else:
            self.scale = 1.0
        self.features: Floats = scaled
        self.codes: Ints = _codes(labels, values.shape[0])
        self._parent: FeaturePass | None = None
        self._indices: Ints | None = None
        self._finish()

    def _finish(self) -> None:
        self.counts: Ints = np.bincount(self.codes).astype(np.int64)
        self._kernel: Floats | None = None
        self._spectra: dict[bool, Spectrum] = {}
        self._neighbours: NeighbourTable | None = None

    @property
    def rows(self) -> int:
        """N."""
        return len(self.codes)

    @property
    def dimensions(self) -> int:
        """D."""
        return int(self.features.shape[1])

    @property
    def classes(self) -> int:
        """C, the classes that are present."""
        return len(self.counts)

    @property
    def indicators(self) -> Floats:
        """(N, C) one-hot labels."""
        return np.eye(self.classes)[self.codes]

    def select(self, indices: Ints) -> FeaturePass:
        """The pass over some of the rows, each at most once, sharing what this one has computed.

        Raises UserError if fewer than two classes are left.
        """
        part = object.__new__(FeaturePass)
        part.features = self.features[indices]
        part.scale = self.scale
        part.codes = _codes(self.codes[indices], len(indices))
        part._parent = self
        part._indices = indices
        part._finish()
        return part

    def spectrum(self, *, is_centred: bool = False) -> Spectrum:
        """The spectrum of the features, of the centred features if `is_centred`.

        Through the smaller Gram matrix: D × D if D < N, else N × N.
        """
        if is_centred not in self._spectra:
            self._spectra[is_centred] = self._decompose(is_centred=is_centred)
        return self._spectra[is_centred]

    def accurate_spectrum(self) -> Spectrum:
        """The spectrum by singular values of the features: slower, but small directions keep their digits."""
        left, singular, _right = np.linalg.svd(self.features, full_matrices=False)
        keep = singular > max(self.features.shape) * np.finfo(np.float64).eps * singular.max(initial=0.0)
        return Spectrum(
            rows=self.rows,
            dimensions=self.dimensions,
            values=np.square(singular[keep])[::-1],
            projections=(left.T[keep] @ self.indicators)[::-1],
            dropped=0.0,
        )

    def neighbours(self) -> NeighbourTable:
        """The nearest other rows of every row, by Euclidean distance."""
        if self._neighbours is None:
            if self._parent is not None and self._indices is not None:
                self._neighbours = self._parent.neighbours().within(self._indices)
            else:
                self._neighbours = NeighbourTable.of(self.features)
        return self._neighbours

    def centred_lengths_squared(self) -> Floats:
        """(N,) squared distance of every row from the mean row."""
        centred = self.features - self.features.mean(axis=0)
        return np.asarray(np.einsum("ij,ij->i", centred, centred))

    def kernel(self) -> Floats:
        """The (N, N) Gram matrix F Fᵀ."""
        if self._kernel is None:
            parent = self._parent
            if parent is not None and self._indices is not None and parent.rows <= _LARGEST_SHARED_KERNEL:
                self._kernel = parent.kernel()[np.ix_(self._indices, self._indices)]
            else:
                self._kernel = self.features @ self.features.T
        return self._kernel

    def _decompose(self, *, is_centred: bool) -> Spectrum:
        # Centring the Gram matrix instead would lose the digits that a large common offset takes.
        features = self.features - self.features.mean(axis=0) if is_centred else self.features
        if self.dimensions < self.rows:
            values, axes = np.linalg.eigh(features.T @ features)
            keep = self._is_significant(values)
            values = values[keep]
            dropped = float(np.square(features @ axes[:, ~keep]).sum())
            class_sums = np.stack([features[self.codes == code].sum(axis=0) for code in range(self.classes)], axis=1)
            projections = axes[:, keep].T @ class_sums / np.sqrt(values)[:, None]
        else:
            values, axes = np.linalg.eigh(features @ features.T if is_centred else self.kernel())
            keep = self._is_significant(values)
            values = values[keep]
            dropped = float(np.square(axes[:, ~keep].T @ features).sum())
            projections = axes[:, keep].T @ self.indicators
        return Spectrum(
            rows=self.rows,
            dimensions=self.dimensions,
            values=values,
            projections=projections,
            dropped=dropped,
        )

    def _is_significant(self, values: Floats) -> npt.NDArray[np.bool_]:
        # Eigenvalues of a Gram matrix are known to about eps × the largest, times a slowly growing factor.
        return values > max(self.rows, self.dimensions) * np.finfo(np.float64).eps * max(float(values[-1]), 0.0)


class PassFunction(Protocol):
    """What a metric computes from a shared pass."""

    def __call__(self, shared: FeaturePass, *, seed: int, **params: Any) -> float:
        """The score."""
        ...


@dataclass(frozen=True, kw_only=True)
class PassMetric:
    """A metric that reads a shared pass, called as any METRICS target: `metric(features, labels, seed=…, **params)`.

    compute    the score from a pass
    low, high  bounds of the score, for its interval
    """

    compute: PassFunction
    low: float = -np.inf
    high: float = np.inf

    def __call__(self, features: npt.ArrayLike, labels: npt.ArrayLike, *, seed: int = 0, **params: Any) -> float:
        """The score of (N, D) features and (N,) labels; raises UserError as FeaturePass does."""
        return self.compute(FeaturePass(features, labels), seed=seed, **params)


def _codes(labels: npt.ArrayLike, rows: int) -> Ints:
    values = np.asarray(labels)
    if values.shape != (rows,):
        raise UserError(f"There must be one label for each of the {rows} rows, not labels of shape {values.shape}.")
    if values.dtype.kind == "f" and not (np.isfinite(values) & (values == np.round(values))).all():
        raise UserError("The labels are not classes but real numbers: these metrics score classification.")
    present, codes = np.unique(values, return_inverse=True)
    if len(present) < 2:
        raise UserError("All rows have the same label: a data set needs two classes or more to be scored.")
    return codes.astype(np.int64)
