"""N-LEEP: LEEP on the components of a Gaussian mixture of the features."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from workers.transferability.feature_pass import FeaturePass
from workers.transferability.parc import sample
from workers.transferability.pass_metric import PassMetric
from workers.transferability.probabilities import expected_log_likelihoods

# Least rows per mixture component: below it components are single rows, and the score is 0 for any labels.
_LEAST_ROWS = 5


def nleep(
    shared: FeaturePass,
    *,
    seed: int = 0,
    energy: float = 0.8,
    components_per_class: int = 5,
    most_rows: int = 5000,
    **_params: Any,
) -> float:
    """Mean of log Σ_z P(y_n | z) P(z | x_n), z the components of a Gaussian mixture on the principal components.

    energy                share of the variance that the principal components keep
    components_per_class  mixture components for each class, at most one for every five rows in all
    most_rows             of more rows a stratified sample by `seed` is scored

    Diagonal covariances and a seeded start (the published ones are full, and unseeded); the features have RMS 1, which
    makes the covariance floor of 1e-6 scale-free. Natural logarithm, as in the paper; several codebases drop it.
    Constant features say −H(Y). Source: Li et al. 2021, section 3.3.
    """
    chosen = sample(shared.codes, most=most_rows, seed=seed)
    part = shared if len(chosen) == shared.rows else shared.select(chosen)
    values = part.principal().values
    if len(values) == 0:
        shares = part.counts / part.rows
        return float(shares @ np.log(shares))
    kept = int(np.searchsorted(np.cumsum(values) / values.sum(), energy * (1 - 1e-12))) + 1
    scores = part.scores(kept)
    count = max(1, min(components_per_class * part.classes, part.rows // _LEAST_ROWS))
    mixture = GaussianMixture(count, covariance_type="diag", random_state=seed % 2**32, max_iter=100, tol=1e-3)
    with warnings.catch_warnings():
        # Equal rows leave fewer clusters than components, and a hundred steps may not suffice: both are well defined.
        warnings.simplefilter("ignore", ConvergenceWarning)
        posteriors = mixture.fit(scores).predict_proba(scores)
    return float(expected_log_likelihoods(posteriors, part.codes, part.classes).mean())


METRIC = PassMetric(compute=nleep, high=0.0)
