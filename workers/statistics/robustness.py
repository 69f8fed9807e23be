"""Effective robustness: accuracy under a shift beyond what accuracy without it predicts. numpy and scipy only.

Miller et al., Accuracy on the Line, ICML 2021, arXiv 2107.04649; Nguyen et al., Quality Not Quantity, NeurIPS 2022,
arXiv 2208.05516: logit(acc_ood) = b · logit(acc_id) + c fitted to reference models, and
ρ = acc_ood − σ(b · logit(acc_id) + c).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike
from scipy import stats

Floats = npt.NDArray[np.float64]
FEWEST_REFERENCES = 3
EDGE = 1e-4  # accuracies of 0 and 1 have no logit; they are read as this far from it


def logit(share: ArrayLike) -> Floats:
    """ln(p / (1 − p)), with p kept within [1e-4, 1 − 1e-4]."""
    p = np.clip(np.asarray(share, dtype=np.float64), EDGE, 1 - EDGE)
    return np.asarray(np.log(p / (1 - p)))


def sigmoid(value: ArrayLike) -> Floats:
    """1 / (1 + exp(−x))."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.asarray(value, dtype=np.float64))))


@dataclass(frozen=True, kw_only=True)
class LogitLine:
    """The line through the reference models' accuracies on logit axes.

    slope, intercept  b and c, least squares
    r_squared         share of the variance of logit(acc_ood) that it explains
    residual_sd       of logit(acc_ood) about it, ddof 2; 0 of two references
    """

    slope: float
    intercept: float
    r_squared: float
    residual_sd: float
    count: int
    mean: float
    spread: float

    def expected(self, accuracy: float) -> float:
        """The accuracy under the shift that the line predicts."""
        return float(sigmoid(self.slope * logit(accuracy) + self.intercept))

    def prediction_error(self, accuracy: float) -> float:
        """SD of logit(acc_ood) of a further model about the line: its own scatter and that of the fitted line."""
        apart = float(logit(accuracy)) - self.mean
        return self.residual_sd * math.sqrt(1 + 1 / self.count + apart * apart / self.spread)


def logit_line(accuracy: ArrayLike, shifted: ArrayLike) -> LogitLine:
    """Fit logit(shifted) = b · logit(accuracy) + c over M reference models, each of one accuracy in [0, 1].

    Raises ValueError for fewer than three models, and where all have the same accuracy.
    """
    x, y = logit(accuracy), logit(shifted)
    if x.ndim != 1 or x.shape != y.shape or x.size < FEWEST_REFERENCES:
        raise ValueError(f"a line needs {FEWEST_REFERENCES} reference models or more, with both accuracies")
    mean, spread = float(x.mean()), float(np.square(x - x.mean()).sum())
    if spread <= 1e-18:
        raise ValueError("all reference models have the same accuracy, so no line goes through them")
    slope = float((x - mean) @ (y - y.mean())) / spread
    intercept = float(y.mean()) - slope * mean
    left = y - slope * x - intercept
    whole = float(np.square(y - y.mean()).sum())
    return LogitLine(
        slope=slope,
        intercept=intercept,
        r_squared=1.0 - float(left @ left) / whole if whole > 0 else 1.0,
        residual_sd=math.sqrt(float(left @ left) / (x.size - 2)),
        count=x.size,
        mean=mean,
        spread=spread,
    )


@dataclass(frozen=True, kw_only=True)
class EffectiveRobustness:
    """ρ of one model against a line fitted without it.

    expected      σ(b · logit(acc_id) + c)
    low, high     interval of ρ: what a further model of the same kind as the references would have it within
    is_separable  whether the interval leaves out 0
    """

    value: float
    expected: float
    low: float
    high: float
    is_separable: bool
    line: LogitLine
    interval: str


def effective_robustness(
    accuracy: float,
    shifted: float,
    reference: Sequence[tuple[float, float]],
    *,
    shifted_error: float = 0.0,
    confidence: float = 0.95,
) -> EffectiveRobustness:
    """ρ = shifted − σ(b · logit(accuracy) + c), the line from `reference` pairs (accuracy, shifted) of other models.

    shifted_error  standard error of `shifted` itself, which adds to the interval

    Interval: the t prediction interval (n − 2 degrees of freedom) of logit(acc_ood) about the line, brought back by σ,
    with the model's own standard error added in quadrature on the scale of accuracies. Raises as `logit_line` does.
    """
    line = logit_line([one for one, _ in reference], [two for _, two in reference])
    expected = line.expected(accuracy)
    value = shifted - expected
    quantile = float(stats.t.ppf(0.5 + confidence / 2, line.count - 2))
    centre = line.slope * float(logit(accuracy)) + line.intercept
    reach = quantile * line.prediction_error(accuracy)
    own = float(stats.norm.ppf(0.5 + confidence / 2)) * shifted_error
    above = float(sigmoid(centre + reach)) - expected
    below = expected - float(sigmoid(centre - reach))
    low, high = value - math.hypot(above, own), value + math.hypot(below, own)
    return EffectiveRobustness(
        value=value,
        expected=expected,
        low=low,
        high=high,
        is_separable=low > 0 or high < 0,
        line=line,
        interval=f"{confidence:.0%} interval: t prediction interval of the line over {line.count} reference models, "
        f"{line.count - 2} degrees of freedom, and the test rows of this model",
    )
