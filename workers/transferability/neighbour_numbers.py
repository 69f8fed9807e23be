"""Leave-one-out nearest neighbours of rows with numbers: the share of their variance that neighbours explain."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from workers.kit import UserError
from workers.transferability.feature_pass import FeaturePass
from workers.transferability.pass_metric import PassMetric
from workers.transferability.target_pass import TargetPass


def leave_one_out_share(shared: FeaturePass, *, seed: int = 0, k: int = 5, **_params: Any) -> float:
    """R² of the mean of the k nearest other rows' targets (Euclidean), mean over the targets; 1 is perfect.

    Against the mean of all *other* rows, as each row is left out: 0 where neighbours know no more than that. With fewer
    than k other rows all of them count. Raises UserError for k below 1 and for rows with classes.
    """
    if k < 1:
        raise UserError("Choose one neighbour or more.", field="k")
    if not isinstance(shared, TargetPass):
        raise UserError("This metric scores numbers, and the rows have classes: use knn.")
    targets = shared.targets()
    nearest = shared.neighbours().nearest(min(k, shared.rows - 1))
    missed = np.square(targets - targets[nearest].mean(axis=1)).sum(axis=0)
    rows = shared.rows
    # y less the mean of the others is rows/(rows − 1) × (y − mean).
    blind = np.square(targets - targets.mean(axis=0)).sum(axis=0) * (rows / (rows - 1)) ** 2
    return float(np.mean(1 - missed / blind))


class _OfNumbers(PassMetric):
    """A metric by name of numbers in place of classes."""

    def __call__(
        self,
        features: npt.ArrayLike,
        labels: npt.ArrayLike,
        *,
        seed: int = 0,
        source_probabilities: npt.ArrayLike | None = None,
        **params: Any,
    ) -> float:
        """The score of (N, D) features and (N,) or (N, T) targets; raises UserError as TargetPass does."""
        return self.compute(TargetPass(features, labels, task="regression"), seed=seed, **params)


METRIC = _OfNumbers(compute=leave_one_out_share, high=1.0)
