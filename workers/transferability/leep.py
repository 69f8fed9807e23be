"""LEEP: log expected empirical prediction of the labels from the source classifier's probabilities."""

from __future__ import annotations

from typing import Any

from workers.transferability.feature_pass import FeaturePass
from workers.transferability.pass_metric import Floats, PassMetric
from workers.transferability.probabilities import expected_log_likelihoods


def leep_terms(shared: FeaturePass, *, seed: int = 0, **_params: Any) -> Floats:
    """(N,) log Σ_z P(y_n | z) θ(x_n)_z, P(y | z) the empirical conditional under θ; LEEP is their mean.

    0 for a source that tells the classes apart with certainty, −H(Y) for one that says nothing. Natural logarithm.
    Several later codebases drop the logarithm under the same name; this is the paper's. Source: Nguyen et al. 2020,
    equations 1 and 2.
    """
    return expected_log_likelihoods(shared.source_probabilities, shared.codes, shared.classes)


METRIC = PassMetric.of_terms(leep_terms, high=0.0)
