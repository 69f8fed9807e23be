"""LOOK: leave-one-out accuracy of neighbours weighted by their likeness."""

from __future__ import annotations

from typing import Any

import numpy as np

from workers.kit import UserError
from workers.transferability.feature_pass import FeaturePass
from workers.transferability.pass_metric import PassMetric


def weighted_neighbour_accuracy(
    shared: FeaturePass, *, seed: int = 0, k: int = 20, temperature: float = 0.1, **_params: Any
) -> float:
    """Share of rows for which the k most alike other rows (cosine) give the row's class the most Σ exp(cos/τ).

    Classes that tie share the row. With fewer than k other rows all of them vote; zero rows are at cosine 0 from all.
    Scale-free, also row by row. Source: Feng et al. 2022, equation 2, of which this is the decision in place of the
    loss. Raises UserError for k below 1 and τ not above 0.
    """
    if k < 1:
        raise UserError("Choose one neighbour or more.", field="k")
    if not temperature > 0:
        raise UserError("The temperature must be above 0.", field="temperature")
    nearest = shared.neighbours(is_angular=True).nearest(min(k, shared.rows - 1))
    unit = shared.unit_rows()
    weights = np.empty(nearest.shape)
    for rank in range(nearest.shape[1]):
        weights[:, rank] = np.einsum("ij,ij->i", unit, unit[nearest[:, rank]])
    # Rounded, so that rows that are equal weigh the same, and shifted by the nearest one's: a small τ would overflow.
    weights = np.exp((np.round(weights, 12) - np.round(weights[:, :1], 12)) / temperature)
    voters = shared.codes[nearest]
    votes = np.zeros((shared.rows, shared.classes))
    np.add.at(votes, (np.arange(shared.rows)[:, None], voters), weights)
    most = votes.max(axis=1, keepdims=True)
    is_first = votes >= most * (1 - 1e-12)
    own = is_first[np.arange(shared.rows), shared.codes]
    return float(np.mean(own / is_first.sum(axis=1)))


METRIC = PassMetric(compute=weighted_neighbour_accuracy, low=0.0, high=1.0)
