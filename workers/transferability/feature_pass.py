"""One shared pass over the features of a data set: what several metrics need is computed once.

LogME, the H-scores, TransRate's global term and the spectral measures read one spectrum (Gram matrix and
eigendecomposition); the neighbour accuracies read tables of neighbours; GBC reads the moments of the classes. A
half-sample takes from its parent what it can: its N × N Gram matrix is a part of the whole one, its neighbours are the
parent's that lie in it.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt

from workers.kit import UserError
from workers.statistics.vectors import unit_rows
from workers.transferability.neighbour_table import NeighbourTable
from workers.transferability.probabilities import checked_probabilities
from workers.transferability.spectrum import ClassMoments, Floats, Ints, Principal, Spectrum, class_sums, signed

# 128 MB of float64: above it a half-sample forms its own Gram matrix.
_LARGEST_SHARED_KERNEL = 4096
_BLOCK_ENTRIES = 1_000_000


class FeaturePass:
    """Checked features and labels with everything that metrics share, computed on first use.

    features              (N, D), any real dtype, left unchanged; held as float64 divided by their root mean square,
                          `scale`
    labels                (N,) class labels of any sortable kind; re-indexed to 0 … C − 1 in `codes`, absent classes
                          vanish
    source_probabilities  (N, S) of the source model's classifier, where it has one
    row_ids               (N,) what names the rows whatever their order; their numbers if None

    Raises UserError for features that are no finite (N, D) array with N ≥ 2 and D ≥ 1, for labels of another length,
    for fewer than two classes, and for probabilities that are none.
    """

    def __init__(
        self,
        features: npt.ArrayLike,
        labels: npt.ArrayLike,
        *,
        source_probabilities: npt.ArrayLike | None = None,
        row_ids: npt.ArrayLike | None = None,
    ) -> None:
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
        self._features: Floats | None = scaled
        self.codes: Ints = class_codes(labels, values.shape[0])
        self.row_ids: Ints = np.arange(len(scaled)) if row_ids is None else np.asarray(row_ids)
        self._probabilities: Floats | None = None
        if source_probabilities is not None:
            self._probabilities = checked_probabilities(source_probabilities, len(scaled))
        self._parent: FeaturePass | None = None
        self._indices: Ints | None = None
        self._finish()

    def _finish(self) -> None:
        self.counts: Ints = np.bincount(self.codes).astype(np.int64)
        self._kernel: Floats | None = None
        self._centred: Floats | None = None
        self._mean: Floats | None = None
        self._members: list[Ints] | None = None
        self._spectra: dict[bool, Spectrum] = {}
        self._neighbours: dict[bool, NeighbourTable] = {}
        self._principal: Principal | None = None
        self._moments: ClassMoments | None = None

    @property
    def features(self) -> Floats:
        """(N, D) the rows, divided by `scale`; raises UserError for a pass that was made from sums."""
        if self._features is None:
            raise UserError(
                "This metric needs the rows themselves, which are too many to hold here: draw a smaller sample of the "
                "data set."
            )
        return self._features

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

    @property
    def source_probabilities(self) -> Floats:
        """(N, S) probabilities of the source classes; raises UserError where there are none."""
        if self._probabilities is None:
            raise UserError(
                "This metric needs the source classifier's probabilities for every row, which stored features do not "
                "hold: pass them as source_probabilities."
            )
        return self._probabilities

    def select(self, indices: Ints) -> Self:
        """The pass over some of the rows, each at most once, sharing what this one has computed.

        Raises UserError if fewer than two classes are left.
        """
        part = object.__new__(type(self))
        part._features = self.features[indices]
        part.scale = self.scale
        part.codes = class_codes(self.codes[indices], len(indices))
        part.row_ids = self.row_ids[indices]
        part._probabilities = None if self._probabilities is None else self._probabilities[indices]
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

    def principal(self) -> Principal:
        """The principal components of the features, largest first; none where the features are constant."""
        if self._principal is None:
            centred = self.centred()
            is_tall = self.dimensions < self.rows
            values, axes = np.linalg.eigh(centred.T @ centred if is_tall else centred @ centred.T)
            keep = self._is_significant(values)
            values, axes = values[keep][::-1], axes[:, keep][:, ::-1]
            self._principal = Principal(values=values, axes=axes, is_tall=is_tall)
        return self._principal

    def scores(self, components: int) -> Floats:
        """(N, m) rows on the first m ≤ `components` principal components; the largest loading of each is positive."""
        principal, centred = self.principal(), self.centred()
        values, axes = principal.values[:components], principal.axes[:, :components]
        if not principal.is_tall:
            axes = centred.T @ axes / np.sqrt(values)
        return np.asarray(centred @ signed(axes))

    def neighbours(self, *, is_angular: bool = False) -> NeighbourTable:
        """The nearest other rows of every row, by Euclidean distance, or by angle if `is_angular`."""
        if is_angular not in self._neighbours:
            if self._parent is not None and self._indices is not None:
                whole = self._parent.neighbours(is_angular=is_angular)
                self._neighbours[is_angular] = whole.within(self._indices)
            else:
                self._neighbours[is_angular] = NeighbourTable.of(self.unit_rows() if is_angular else self.features)
        return self._neighbours[is_angular]

    def unit_rows(self) -> Floats:
        """(N, D) rows divided by their length; zero rows stay zero."""
        return unit_rows(self.features)

    def centred(self) -> Floats:
        """(N, D) rows less their mean."""
        if self._centred is None:
            self._centred = self.features - self.mean()
        return self._centred

    def mean(self) -> Floats:
        """(D,) the mean row."""
        if self._mean is None:
            self._mean = self.features.mean(axis=0)
        return self._mean

    def class_rows(self, code: int) -> Floats:
        """(n, D) the rows of a class, less the mean of all rows."""
        rows = self.features[self._order()[code]]
        rows -= self.mean()
        return rows

    def fourth_moment(self) -> float:
        """Σ ‖x − μ‖⁴ over the rows."""
        total = 0.0
        step = max(1, _BLOCK_ENTRIES // self.dimensions)
        for start in range(0, self.rows, step):
            block = self.features[start : start + step] - self.mean()
            total += float(np.square(np.einsum("ij,ij->i", block, block)).sum())
        return total

    def class_moments(self) -> ClassMoments:
        """Mean and variance of every feature in every class, about the mean of all rows."""
        if self._moments is None:
            means = np.empty((self.classes, self.dimensions))
            variances = np.empty_like(means)
            for code in range(self.classes):
                rows = self.class_rows(code)
                means[code] = rows.mean(axis=0)
                rows -= means[code]
                variances[code] = np.einsum("ij,ij->j", rows, rows) / len(rows)
            self._moments = ClassMoments(means=means, variances=variances)
        return self._moments

    def _order(self) -> list[Ints]:
        """The numbers of the rows of every class."""
        if self._members is None:
            order = np.argsort(self.codes, kind="stable")
            self._members = np.split(order, np.cumsum(self.counts)[:-1])
        return self._members

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
        features = self.centred() if is_centred else self.features
        if self.dimensions < self.rows:
            values, axes = np.linalg.eigh(features.T @ features)
            keep = self._is_significant(values)
            values = values[keep]
            dropped = float(np.square(features @ axes[:, ~keep]).sum())
            sums = class_sums(features, self.codes, self.classes)
            projections = axes[:, keep].T @ sums.T / np.sqrt(values)[:, None]
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


def class_codes(labels: npt.ArrayLike, rows: int) -> Ints:
    """(N,) labels as numbers 0 … C − 1 of the classes that are present, in their order.

    Raises UserError for labels of another length, real numbers, and a single class.
    """
    values = np.asarray(labels)
    if values.shape != (rows,):
        raise UserError(f"There must be one label for each of the {rows} rows, not labels of shape {values.shape}.")
    if values.dtype.kind == "f" and not (np.isfinite(values) & (values == np.round(values))).all():
        raise UserError("The labels are not classes but real numbers: these metrics score classification.")
    present, codes = np.unique(values, return_inverse=True)
    if len(present) < 2:
        raise UserError("All rows have the same label: a data set needs two classes or more to be scored.")
    return codes.astype(np.int64)
