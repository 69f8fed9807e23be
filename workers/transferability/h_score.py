"""H-score and regularised H-score: trace of the covariance's inverse times the covariance of the class means."""

from __future__ import annotations

from typing import Any

import numpy as np

from workers.kit import UserError
from workers.transferability.feature_pass import FeaturePass
from workers.transferability.pass_metric import PassMetric
from workers.transferability.spectrum import Spectrum

# Below this share of the raw trace, what is left after taking the mean away has lost half of its digits.
_ILL_CENTRED = 1e-7


def h_score(shared: FeaturePass, *, seed: int = 0, **_params: Any) -> float:
    """tr(S⁺ S_b): S the covariance of the features, S_b that of the rows' class means, both with ddof 1.

    Between 0 and C − 1; scale-free, rotation-free. S⁺ is the pseudo-inverse. Raises UserError for N ≤ D, where the
    score is C − 1 for true and for shuffled labels alike. 0 where the features are constant. Source: Bao et al. 2019,
    definition 2.
    """
    if shared.rows <= shared.dimensions:
        raise UserError(
            f"The plain H-score has no meaning with {shared.rows} rows of {shared.dimensions} features: it is the same "
            "for true and for shuffled labels. Use the regularised H-score, or more rows than features."
        )
    result = _from_spectrum(shared.spectrum(), shared, None)
    if result is None:
        result = _from_spectrum(shared.spectrum(is_centred=True), shared, None)
    # The covariances' (N − 1)s cancel; the ratio of ddof is that of the sums below.
    return 0.0 if result is None else result * (shared.rows - 1) / shared.rows


def regularised_h_score(shared: FeaturePass, *, seed: int = 0, **_params: Any) -> float:
    """tr(Sₐ⁻¹ (1 − a) S_b): Sₐ = (1 − a) S + a tr(S)/D I with Ledoit-Wolf's intensity a, S_b of the class means.

    S has ddof 0, S_b has ddof 1, as in the published code. 0 where the features are constant. Scale-free, and defined
    for every N and D. Source: Ibrahim et al. 2021, equation 5; Ledoit and Wolf 2004 for a.
    """
    fourth = shared.fourth_moment()
    result = _from_spectrum(shared.spectrum(), shared, fourth)
    if result is None:
        result = _from_spectrum(shared.spectrum(is_centred=True), shared, fourth)
    return 0.0 if result is None else result


def _from_spectrum(spectrum: Spectrum, shared: FeaturePass, fourth: float | None) -> float | None:
    """The score from the raw or the centred spectrum, not regularised if `fourth` is None; None where the mean swamps
    the spread (or nothing varies).

    With FᵀF = V Λ Vᵀ the shrunk covariance is V A Vᵀ − (1 − a) μ μᵀ, A diagonal: a rank-one change (Sherman-Morrison).
    """
    rows, values = spectrum.rows, spectrum.values
    sums = spectrum.class_sums
    mean = sums.sum(axis=1) / rows
    raw_trace = float(values.sum())
    trace = raw_trace - rows * float(mean @ mean)
    if not trace > _ILL_CENTRED * raw_trace:
        return None
    intensity = 0.0
    if fourth is not None:
        squared = float(values @ values) - 2 * rows * float(mean @ (values * mean)) + rows**2 * float(mean @ mean) ** 2
        intensity = _ledoit_wolf_intensity(rows, spectrum.dimensions, trace, squared, fourth)
    offsets = sums / shared.counts - mean[:, None]
    diagonal = (1 - intensity) * values / rows + intensity * trace / (rows * spectrum.dimensions)
    solved_mean = mean / diagonal
    denominator = 1 - (1 - intensity) * float(mean @ solved_mean)
    if denominator < _ILL_CENTRED:
        return None
    direct = np.square(offsets).T @ (1 / diagonal)
    through_mean = (1 - intensity) * np.square(offsets.T @ solved_mean) / denominator
    return float((1 - intensity) * (shared.counts @ (direct + through_mean)) / (rows - 1))


def _ledoit_wolf_intensity(rows: int, dimensions: int, trace: float, squared: float, fourth: float) -> float:
    """Shrinkage intensity from tr(S), tr(S²) (both of the scatter, not divided by N) and Σ‖x − μ‖⁴."""
    level = trace / rows / dimensions
    spread = squared / rows**2
    beta = (fourth / rows - spread) / (dimensions * rows)
    delta = (spread - 2 * level * trace / rows + dimensions * level**2) / dimensions
    beta = min(beta, delta)
    return 0.0 if beta <= 0 else beta / delta


METRIC = PassMetric(compute=regularised_h_score, low=0.0)
PLAIN = PassMetric(compute=h_score, low=0.0)
