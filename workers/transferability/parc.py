"""PARC: rank correlation of the distances between features with those between labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from workers.kit import generator_for
from workers.transferability.feature_pass import FeaturePass
from workers.transferability.pass_metric import PassMetric

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def parc(shared: FeaturePass, *, seed: int = 0, components: int = 32, most_rows: int = 2000, **_params: Any) -> float:
    """100 × Spearman correlation, over pairs of rows, of 1 − corr(features) with 1 − corr(one-hot labels).

    components  principal components kept first, each then divided by its standard deviation; 0 keeps the features
    most_rows   of more rows a stratified sample by `seed` is scored: the pairs grow with the square

    The labels' distances have two values, so the coefficient is a sum of ranks; equal distances share their mean rank,
    where the published code leaves ties to rounding. Equal distances throughout, and rows without spread, correlate
    with nothing: 0. Scale-free. The sign of a component decides part of a row's mean: it is the one that makes its
    largest loading positive, so the score is not rotation-free. Source: Bolya et al. 2021, equations 2 to 4.
    """
    chosen = sample(shared.codes, most=most_rows, seed=seed)
    part = shared if len(chosen) == shared.rows else shared.select(chosen)
    values = part.scores(components) if components else part.centred()
    if values.shape[1] == 0:
        return 0.0
    deviations = values.std(axis=0)
    values = np.divide(values, deviations, out=np.zeros_like(values), where=deviations > 0)
    values = values - values.mean(axis=1, keepdims=True)
    lengths = np.sqrt(np.square(values).sum(axis=1, keepdims=True))
    values = np.divide(values, lengths, out=np.zeros_like(values), where=lengths > 1e-9)
    first, second = np.triu_indices(part.rows, 1)
    # Rounded, so that equal rows are at equal distance whatever their place.
    distances = np.round(1 - (values @ values.T)[first, second], 12)
    is_same = part.codes[first] == part.codes[second]
    ranks = rankdata(distances)
    pairs, same = len(ranks), int(is_same.sum())
    spread = float(np.std(ranks))
    if spread == 0 or same in (0, pairs):
        return 0.0
    gap = float(ranks[~is_same].mean() - ranks[is_same].mean())
    return float(100 * gap / spread * np.sqrt(same / pairs * (1 - same / pairs)))


def sample(codes: Ints, *, most: int, seed: int) -> Ints:
    """Ascending numbers of at most about `most` rows, the same share of every class, one of each at least."""
    if len(codes) <= most:
        return np.arange(len(codes))
    generator = generator_for(seed, "rows")
    share = most / len(codes)
    parts = []
    for code in range(int(codes.max()) + 1):
        members = np.flatnonzero(codes == code)
        parts.append(generator.permutation(members)[: max(1, int(len(members) * share))])
    return np.sort(np.concatenate(parts))


METRIC = PassMetric(compute=parc, low=-100.0, high=100.0)
