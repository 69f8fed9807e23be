"""Health of the features, whatever the labels: how many directions they use, and how evenly."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from workers.kit import UserError
from workers.transferability.feature_pass import FeaturePass
from workers.transferability.pass_metric import PassMetric

Floats = npt.NDArray[np.float64]

NORMALISATIONS = ("none", "centred", "rows")


def singular_value_entropy(shared: FeaturePass, *, seed: int = 0, normalise: str = "none", **_params: Any) -> float:
    """SVE: −Σ p_i ln p_i with p_i = s_i/Σ s_j, s the singular values of the features; in [0, ln min(N, D)].

    normalise  "none": of the features as they are, the paper's definition; "centred": less the mean row; "rows": every
               row divided by its length, then less its own mean, as in the authors' code

    Scale- and rotation-free ("rows": not rotation-free). Raises UserError for features that are all zero so normalised.
    Source: Chen et al. 2024 (NMTune), equation 1.
    """
    shares = _shares(shared, normalise)
    return float(-(shares * np.log(shares)).sum())


def largest_singular_value_ratio(
    shared: FeaturePass, *, seed: int = 0, normalise: str = "none", **_params: Any
) -> float:
    """LSVR: −ln(s_1/Σ s_j); in [0, ln min(N, D)]. See `singular_value_entropy`.

    Source: Chen et al. 2024, equation 2.
    """
    return float(-np.log(_shares(shared, normalise).max()))


def effective_rank(shared: FeaturePass, *, seed: int = 0, normalise: str = "centred", **_params: Any) -> float:
    """exp of the entropy of the singular values: how many directions the features use; in [1, min(N, D)].

    Of the centred features unless `normalise` says otherwise. Source: Roy and Vetterli 2007, definition 1.
    """
    return float(np.exp(singular_value_entropy(shared, normalise=normalise)))


def _shares(shared: FeaturePass, normalise: str) -> Floats:
    """Singular values divided by their sum, those that rounding drowns left out."""
    if normalise not in NORMALISATIONS:
        raise UserError(
            f"Singular values are of features normalised by {', '.join(NORMALISATIONS)}, not {normalise!r}.",
            field="normalise",
        )
    if normalise == "rows":
        rows = shared.unit_rows()
        singular = np.linalg.svd(rows - rows.mean(axis=1, keepdims=True), compute_uv=False)
        singular = singular[singular > max(rows.shape) * np.finfo(np.float64).eps]
    else:
        singular = np.sqrt(shared.spectrum(is_centred=normalise == "centred").values)
    if len(singular) == 0:
        raise UserError("These features do not vary, so they have no singular values to describe.")
    return np.asarray(singular / singular.sum())


SVE = PassMetric(compute=singular_value_entropy, low=0.0)
LSVR = PassMetric(compute=largest_singular_value_ratio, low=0.0)
RANK = PassMetric(compute=effective_rank, low=1.0)
