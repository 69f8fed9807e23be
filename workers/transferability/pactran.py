"""PACTran-Gauss: a PAC-Bayesian bound on the loss of a linear classifier."""

from __future__ import annotations

from typing import Any

import numpy as np

from workers.transferability.feature_pass import FeaturePass
from workers.transferability.logistic import compact, logistic_fit
from workers.transferability.pass_metric import PassMetric


def pactran_gauss(
    shared: FeaturePass, *, seed: int = 0, prior: float = 10.0, posterior: float = 100.0, **_params: Any
) -> float:
    """−(L + D C s / (2 p) · ln(p · mean of the loss's second derivatives)), p = `prior` · N, s = `posterior` / D.

    L is the least mean −log p(y | x) + ‖W‖²/(2 p) of a linear classifier with free intercepts; the second derivatives
    are those of the summed loss, with 1/p for the weights, and are counted per weight. Features are centred and have
    RMS 1, which makes the score scale- and rotation-free; the published code takes them as they are, starts from random
    weights and returns the negative. Source: Ding et al. 2022, equation 9, and the authors' `calculate_pac_gauss`.
    """
    rows, dimensions, classes = shared.rows, shared.dimensions, shared.classes
    strength = prior * rows
    level = float(np.sqrt(np.square(shared.centred()).mean()))
    values, _axes = compact(shared.centred() / (level if level > 0 else 1.0))
    fit = logistic_fit(values, shared.codes, classes, penalty=1 / strength)
    shares = np.exp(fit.log_probabilities(values))
    bends = (shares * (1 - shares)).sum(axis=1)
    lengths = np.square(values).sum(axis=1)
    trace = float(lengths @ bends) + dimensions * classes / strength + float(bends.sum())
    weights = dimensions * classes
    flatness = weights / (2 * strength) * posterior / dimensions * np.log(trace * strength / weights + 1e-10)
    return float(-(fit.loss + flatness))


METRIC = PassMetric(compute=pactran_gauss)
