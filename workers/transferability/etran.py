"""ETran's raw parts: energy of the features, and its linear discriminant; combined over many models when read."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import logsumexp, softmax

from workers.transferability.feature_pass import FeaturePass
from workers.transferability.pass_metric import PassMetric


def energy(shared: FeaturePass, *, seed: int = 0, share: float = 0.005, **_params: Any) -> float:
    """Mean of ln Σ_d exp(x_d) over the rows where it is lowest (`share` of them, one at least).

    Of the features in their own scale, as in the authors' code; the paper speaks of logits. It does not look at the
    labels. The authors' code has no value for fewer than 200 rows. Source: Gholami et al. 2023, equation 4, and the
    authors' `Energy_Score`.
    """
    energies = np.sort(logsumexp(shared.features * shared.scale, axis=1))
    return float(energies[: max(1, int(len(energies) * share))].mean())


def discriminant(shared: FeaturePass, *, seed: int = 0, **_params: Any) -> float:
    """Mean of softmax(xᵀμ_c − ‖μ_c‖²/2 + ln n_c/N) at the right class: the nearest mean with unit covariance.

    What the authors' `LDA_Score` computes: it decomposes a matrix that is not symmetric as if it were, so that the
    eigenvectors cancel and the within-class covariance drops out. Of the features in their own scale: not scale-free.
    Source: Gholami et al. 2023, section 3.2.
    """
    rows = shared.centred() * shared.scale
    means = shared.class_moments().means * shared.scale
    scores = rows @ means.T - np.square(means).sum(axis=1) / 2 + np.log(shared.counts / shared.rows)
    return float(softmax(scores, axis=1)[np.arange(shared.rows), shared.codes].mean())


ENERGY = PassMetric(compute=energy)
LDA = PassMetric(compute=discriminant, low=0.0, high=1.0)
