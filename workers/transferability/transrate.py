"""TransRate: coding rate of the features less that of the classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from workers.kit import UserError
from workers.transferability.feature_pass import FeaturePass
from workers.transferability.pass_metric import PassMetric
from workers.transferability.spectrum import Spectrum

Floats = npt.NDArray[np.float64]

NORMALISATIONS = ("none", "rms", "rows")
# Below this share, what is left after taking the mean away has lost half of its digits.
_ILL_CENTRED = 1e-7


def transrate(
    shared: FeaturePass,
    *,
    seed: int = 0,
    epsilon: float = 1e-4,
    normalise: str = "none",
    weights: str = "uniform",
    **_params: Any,
) -> float:
    """R(Z) − Σ_c w_c R(Z_c), R(Z) = ½ ln|I + ZᵀZ/(n ε)|, Z centred by the mean of all rows.

    normalise  "none": the features as they are, as in TLL; "rms": divided by their root mean square, which makes the
               score scale-free; "rows": every row divided by its length first, as in the authors' code
    weights    "uniform": 1/C, as in TLL; "size": n_c/N, as in the paper

    Natural logarithm. Not scale-free unless normalised. Source: Huang et al. 2022, equations 4 and 5; TLL's `transrate`
    for the defaults. Raises UserError for other options.
    """
    if normalise not in NORMALISATIONS:
        raise UserError(f"TransRate normalises by {', '.join(NORMALISATIONS)}, not {normalise!r}.", field="normalise")
    if not epsilon > 0:
        raise UserError("TransRate's distortion must be above 0.", field="epsilon")
    if normalise == "rows":
        rows = shared.unit_rows()
        centred, strength = rows - rows.mean(axis=0), 1 / epsilon
        whole = _rate(centred, strength / len(rows))
        classes = (centred[shared.codes == code] for code in range(shared.classes))
    else:
        strength = (shared.scale**2 if normalise == "none" else 1.0) / epsilon
        whole = _whole_rate(shared, strength / shared.rows)
        classes = (shared.class_rows(code) for code in range(shared.classes))
    by_class = np.array([_rate(rows, strength / len(rows)) for rows in classes])
    share = np.full(shared.classes, 1 / shared.classes) if weights == "uniform" else shared.counts / shared.rows
    return float(whole - share @ by_class)


def _rate(centred: Floats, strength: float) -> float:
    """½ ln|I + s ZᵀZ| through the smaller of the two Gram matrices (Sylvester)."""
    gram = centred @ centred.T if len(centred) <= centred.shape[1] else centred.T @ centred
    gram *= strength
    gram.flat[:: len(gram) + 1] += 1.0
    return float(np.linalg.slogdet(gram)[1]) / 2


def _whole_rate(shared: FeaturePass, strength: float) -> float:
    result = _rate_of_spectrum(shared.spectrum(), strength)
    if result is None:
        values = shared.spectrum(is_centred=True).values
        result = float(np.log1p(strength * values).sum()) / 2
    return result


def _rate_of_spectrum(spectrum: Spectrum, strength: float) -> float | None:
    """½ ln|I + s(FᵀF − N μμᵀ)| by the determinant of a rank-one change; None where the mean swamps the spread."""
    mean = spectrum.class_sums.sum(axis=1) / spectrum.rows
    rest = 1 - strength * spectrum.rows * float(np.square(mean) @ (1 / (1 + strength * spectrum.values)))
    if not rest > _ILL_CENTRED:
        return None
    return float(np.log1p(strength * spectrum.values).sum() + np.log(rest)) / 2


METRIC = PassMetric(compute=transrate)
