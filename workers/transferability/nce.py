"""NCE: negative conditional entropy of the labels given the source classifier's decisions."""

from __future__ import annotations

from typing import Any

import numpy as np

from workers.transferability.feature_pass import FeaturePass
from workers.transferability.pass_metric import Floats, PassMetric


def nce_terms(shared: FeaturePass, *, seed: int = 0, **_params: Any) -> Floats:
    """(N,) log P(y_n | z_n), z the most probable source class (the first of equals); NCE = −H(Y | Z) is their mean.

    No constant is added to the counts. Natural logarithm. Source: Tran et al. 2019, equation 8.
    """
    decisions = shared.source_probabilities.argmax(axis=1)
    present, decisions = np.unique(decisions, return_inverse=True)
    joint = np.zeros((len(present), shared.classes))
    np.add.at(joint, (decisions, shared.codes), 1.0)
    conditional = joint / joint.sum(axis=1, keepdims=True)
    return np.asarray(np.log(conditional[decisions, shared.codes]))


METRIC = PassMetric.of_terms(nce_terms, high=0.0)
