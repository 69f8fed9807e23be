"""Regularised H-score: trace of the shrunk covariance's inverse times the covariance of the class means."""

from __future__ import annotations

from typing import Any

import numpy as np

from workers.transferability.feature_pass import FeaturePass, PassMetric, Spectrum

# Below this share of the raw trace, what is left after taking the mean away has lost half of its digits.
_ILL_CENTRED = 1e-7


def regularised_h_score(shared: FeaturePass, *, seed: int = 0, **_params: Any) -> float:
    """tr(Sₐ⁻¹ (1 − a) S_b): Sₐ = (1 − a) S + a tr(S)/D I with Ledoit-Wolf's intensity a, S_b of the class means.

    S has ddof 0, S_b has ddof 1, as in the published code. 0 where the features are constant. Scale-free, and defined
    for every N and D. Source: Ibrahim et al. 2021, equation 5; Ledoit and Wolf 2004 for a.
    """
    fourth = float(np.square(shared.centred_lengths_squared()).sum())
    result = _from_spectrum(shared.spectrum(), shared, fourth)
    if result is None:
        result = _from_spectrum(shared.spectrum(is_centred=True), shared, fourth)
    return 0.0 if result is None else result


def _from_spectrum(spectrum: Spectrum, shared: FeaturePass, fourth: float) -> float | None:
    """The score from the raw or the centred spectrum; None where the mean swamps the spread (or nothing varies).

    With FᵀF = V Λ Vᵀ the shrunk covariance is V A Vᵀ − (1 − a) μ μᵀ, A diagonal: a rank-one change (Sherman-Morrison).
    """
    rows, values = spectrum.rows, spectrum.values
    sums = np.sqrt(values)[:, None] * spectrum.projections
    mean = sums.sum(axis=1) / rows
    raw_trace = float(values.sum())
    trace = raw_trace - rows * float(mean @ mean)
    if not trace > _ILL_CENTRED * raw_trace:
        return None
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
