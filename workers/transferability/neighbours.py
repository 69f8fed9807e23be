"""Leave-one-out nearest-neighbour accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np

from workers.kit import UserError
from workers.transferability.feature_pass import FeaturePass
from workers.transferability.pass_metric import PassMetric


def leave_one_out_accuracy(shared: FeaturePass, *, seed: int = 0, k: int = 5, **_params: Any) -> float:
    """Share of rows whose k nearest other rows (Euclidean, features as they are) vote for the row's class.

    Ties between classes go to the tied class with the nearest member; rows at equal distance rank in row order. With
    fewer than k other rows all of them vote. Raises UserError for k below 1.
    """
    if k < 1:
        raise UserError("Choose one neighbour or more.", field="k")
    nearest = shared.neighbours().nearest(min(k, shared.rows - 1))
    voters = shared.codes[nearest]
    counts = np.stack([(voters == voters[:, rank, None]).sum(axis=1) for rank in range(voters.shape[1])], axis=1)
    # argmax takes the first, which is the nearest, of the voters from the most frequent classes.
    winners = np.take_along_axis(voters, counts.argmax(axis=1)[:, None], axis=1)[:, 0]
    return float(np.mean(winners == shared.codes))


METRIC = PassMetric(compute=leave_one_out_accuracy, low=0.0, high=1.0)
