"""LFC: label-feature correlation."""

from __future__ import annotations

from typing import Any

import numpy as np

from workers.transferability.feature_pass import FeaturePass
from workers.transferability.pass_metric import PassMetric


def label_feature_correlation(shared: FeaturePass, *, seed: int = 0, **_params: Any) -> float:
    """Pearson correlation of the N² entries of F Fᵀ with those of the label matrix (+1 same class, −1 another).

    The features are not centred, the two matrices are, by one number each. All sums follow from the spectrum and the
    class sums, so nothing of size N² is formed. 0 where F Fᵀ is constant. Scale-free. Source: Deshpande et al. 2021,
    equation 9.
    """
    spectrum, rows = shared.spectrum(), float(shared.rows)
    sums = spectrum.class_sums
    same = float(np.square(sums).sum())
    everything = float(np.square(sums.sum(axis=1)).sum())
    squares = float(np.square(spectrum.values).sum())
    pairs = float(np.square(shared.counts.astype(np.float64)).sum())
    label_mean = (2 * pairs - rows**2) / rows**2
    covariance = 2 * same - everything - everything * label_mean
    feature_spread = squares - everything**2 / rows**2
    label_spread = rows**2 * (1 - label_mean**2)
    if feature_spread <= 1e-14 * squares or label_spread <= 0:
        return 0.0
    return float(np.clip(covariance / np.sqrt(feature_spread * label_spread), -1.0, 1.0))


METRIC = PassMetric(compute=label_feature_correlation, low=-1.0, high=1.0)
