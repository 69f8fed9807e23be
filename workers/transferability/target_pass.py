"""A shared pass over features whose rows have numbers in place of a class: regression targets or several labels."""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt

from workers.kit import UserError
from workers.transferability.feature_pass import FeaturePass
from workers.transferability.spectrum import Floats, Ints, Spectrum


class TargetPass(FeaturePass):
    """Checked features with targets; metrics of classes refuse it through `MetricEntry.tasks`.

    features  (N, D), as for FeaturePass
    targets   (N,) or (N, T) numbers; of "multi-label" 0 and 1
    task      "regression" or "multi-label"

    Raises UserError for features as FeaturePass does, for targets of another length or that are not finite, and for
    labels other than 0 and 1.
    """

    def __init__(
        self, features: npt.ArrayLike, targets: npt.ArrayLike, *, task: str, row_ids: npt.ArrayLike | None = None
    ) -> None:
        super().__init__(features, np.arange(len(np.atleast_1d(features))), row_ids=row_ids)
        values = np.asarray(targets)
        values = values[:, None] if values.ndim == 1 else values
        if values.ndim != 2 or len(values) != self.rows or values.dtype.kind not in "biuf":
            raise UserError(
                f"There must be one row of numbers as targets for each of the {self.rows} rows of features."
            )
        values = values.astype(np.float64)
        if not np.isfinite(values).all():
            raise UserError("The targets hold NaN or infinite values: leave those rows out.")
        if task == "multi-label" and not np.isin(values, (0, 1)).all():
            raise UserError("Multi-label targets are tables of 0 and 1: encode them so first.")
        self.task = task
        self._given: Floats = values

    def select(self, indices: Ints) -> Self:
        """The pass over some of the rows, each at most once; their targets are levelled anew."""
        part = super().select(indices)
        part.task, part._given = self.task, self._given[indices]
        return part

    @property
    def columns(self) -> int:
        """T, the targets of every row."""
        return int(self._given.shape[1])

    def targets(self) -> Floats:
        """(N, T′) the targets that vary: of a regression with mean 0 and SD 1 (ddof 0), so that unit and offset do not
        matter; several labels as 0 and 1. Raises UserError where none varies.
        """
        values = self._given[:, self._given.max(axis=0) > self._given.min(axis=0)]
        if values.shape[1] == 0:
            raise UserError("No target varies, so there is nothing to explain.")
        if self.task == "regression":
            values = (values - values.mean(axis=0)) / values.std(axis=0)
        return np.asarray(values)

    def target_spectrum(self, *, is_accurate: bool = False) -> Spectrum:
        """The spectrum of the features with the targets in the place of the class indicators.

        By the smaller Gram matrix; by singular values of the features, slower but to the last digit, if `is_accurate`.
        """
        targets = self.targets()
        if is_accurate:
            left, singular, _right = np.linalg.svd(self.features, full_matrices=False)
            keep = singular > max(self.features.shape) * np.finfo(np.float64).eps * singular.max(initial=0.0)
            values, projections = np.square(singular[keep])[::-1], (left.T[keep] @ targets)[::-1]
            dropped = 0.0
        elif self.dimensions < self.rows:
            values, axes = np.linalg.eigh(self.features.T @ self.features)
            keep = self._is_significant(values)
            dropped = float(np.square(self.features @ axes[:, ~keep]).sum())
            values = values[keep]
            projections = axes[:, keep].T @ (self.features.T @ targets) / np.sqrt(values)[:, None]
        else:
            values, axes = np.linalg.eigh(self.kernel())
            keep = self._is_significant(values)
            dropped = float(np.square(axes[:, ~keep].T @ self.features).sum())
            values, projections = values[keep], axes[:, keep].T @ targets
        return Spectrum(
            rows=self.rows, dimensions=self.dimensions, values=values, projections=projections, dropped=dropped
        )
