"""Leave-one-out accuracy of the nearest class mean."""

from __future__ import annotations

from typing import Any

import numpy as np

from workers.transferability.feature_pass import FeaturePass
from workers.transferability.pass_metric import PassMetric

# Distances closer than this share of the spread are equal.
_ROUNDING = 1e-12


def nearest_mean_accuracy(shared: FeaturePass, *, seed: int = 0, **_params: Any) -> float:
    """Share of rows that are nearer to the mean of their class's other rows than to any other class mean (Euclidean).

    Closed form: without row x its class mean is at distance ‖x − μ_c‖ n_c/(n_c − 1) from it. Means at equal distance
    share the row; a class of one row has no other rows, and that row counts as wrong. Scale- and rotation-free. Source:
    the nearest class mean of Mensink et al. 2013, left out one by one.
    """
    centred, means = shared.centred(), shared.class_moments().means
    lengths = np.einsum("ij,ij->i", centred, centred)
    distances = centred @ means.T
    distances *= -2
    distances += np.einsum("ij,ij->i", means, means)
    distances += lengths[:, None]
    np.maximum(distances, 0.0, out=distances)
    everyone = np.arange(shared.rows)
    counts = shared.counts[shared.codes].astype(np.float64)
    own = distances[everyone, shared.codes] * np.square(counts / np.maximum(counts - 1, 1))
    distances[everyone, shared.codes] = np.inf
    slack = _ROUNDING * max(float(lengths.max(initial=0.0)), float(np.square(means).sum(axis=1).max()))
    nearest = distances.min(axis=1)
    rivals = (distances <= np.minimum(own, nearest)[:, None] + slack).sum(axis=1)
    is_right = (own <= nearest + slack) & (counts > 1)
    return float(np.mean(is_right / (1 + rivals)))


METRIC = PassMetric(compute=nearest_mean_accuracy, low=0.0, high=1.0)
