"""Intervals of scores: draw of labels and test rows in one interval, delete-half jackknife, exact binomial."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A two-sided interval and how it was made.

    kind                 in words, for people: which sources of variance it holds and which quantile it uses
    degrees_of_freedom   of the t distribution; infinite for the normal
    draw_standard_error  the part that comes from the draw of the labels; None if it is not part of the interval
    test_standard_error  the part that comes from the test rows; None if it is not part of the interval
    """

    low: float
    high: float
    standard_error: float
    degrees_of_freedom: float
    kind: str
    draw_standard_error: float | None = None
    test_standard_error: float | None = None


def _clip(value: float, bounds: tuple[float, float] | None) -> float:
    return value if bounds is None else min(max(value, bounds[0]), bounds[1])


def _df_words(degrees_of_freedom: float) -> str:
    return "over 1,000" if degrees_of_freedom > 1000 else f"{degrees_of_freedom:.1f}"


def _quantile(degrees_of_freedom: float, confidence: float) -> float:
    tail = 0.5 + confidence / 2
    if math.isinf(degrees_of_freedom):
        return float(stats.norm.ppf(tail))
    return float(stats.t.ppf(tail, degrees_of_freedom))


def satterthwaite(variances: Sequence[float], degrees_of_freedom: Sequence[float]) -> float:
    """Degrees of freedom of a sum of variance estimates: (Σ v)² / Σ (v² / df), infinite if nothing varies.

    Satterthwaite, Biometrics Bulletin 1946, equation 17.
    """
    total = sum(variances)
    below = sum(v * v / df for v, df in zip(variances, degrees_of_freedom, strict=True) if v > 0)
    return total * total / below if below > 0 else math.inf


def combined_interval(
    replicate_values: ArrayLike,
    test_variance: float,
    *,
    confidence: float = 0.95,
    bounds: tuple[float, float] | None = None,
    test_degrees_of_freedom: float = math.inf,
) -> Interval:
    """Interval of the mean over R replicates that holds both the draw of the labels and the draw of the test rows.

    replicate_values  (R,) scores, one for each draw of the labels, all on the same test rows
    test_variance     variance of the mean over the replicates under resampling of the test rows (clusters resampled
                      whole)
    bounds            range of the metric, to which the interval is clipped

    variance = s² / R + test_variance with s² the sample variance (ddof 1) of the replicates; t quantile with
    Satterthwaite's degrees of freedom. With one value there is no draw to speak of, and the interval says "test only".
    """
    values = np.asarray(replicate_values, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError("replicate_values must be a vector of at least one score")
    if not (np.isfinite(values).all() and math.isfinite(test_variance) and test_variance >= 0):
        raise ValueError("scores must be finite and the variance finite and not negative")
    mean = float(values.mean())
    count = values.size
    test_error = math.sqrt(test_variance)
    if count == 1:
        draw, df = None, test_degrees_of_freedom
        error = test_error
        kind = "test rows only"
    else:
        draw_variance = float(values.var(ddof=1)) / count
        draw = math.sqrt(draw_variance)
        error = math.sqrt(draw_variance + test_variance)
        df = satterthwaite((draw_variance, test_variance), (count - 1, test_degrees_of_freedom))
        kind = f"draw of labels ({count} replicates, ddof 1) and test rows"
    quantile = _quantile(df, confidence)
    law = "normal" if math.isinf(df) else f"t with {_df_words(df)} degrees of freedom"
    return Interval(
        low=_clip(mean - quantile * error, bounds),
        high=_clip(mean + quantile * error, bounds),
        standard_error=error,
        degrees_of_freedom=df,
        kind=f"{confidence:.0%} interval: {kind}, {law}",
        draw_standard_error=draw,
        test_standard_error=test_error,
    )


@dataclass(frozen=True, kw_only=True)
class Sources:
    """One score's interval with both sources of variance, and each of them alone.

    combined  draw of labels and test rows; of one replicate the test rows only, and its kind says so
    draw      the draw of labels alone, short of what other test rows would change; None of one replicate
    test      the test rows alone, short of what other labels would change
    """

    combined: Interval
    draw: Interval | None
    test: Interval


def interval_sources(
    replicate_values: ArrayLike,
    test_variance: float,
    *,
    confidence: float = 0.95,
    bounds: tuple[float, float] | None = None,
    test_degrees_of_freedom: float = math.inf,
) -> Sources:
    """`combined_interval`, and what each source alone would give; the arguments are its own."""
    values = np.asarray(replicate_values, dtype=np.float64)
    combined = combined_interval(
        values,
        test_variance,
        confidence=confidence,
        bounds=bounds,
        test_degrees_of_freedom=test_degrees_of_freedom,
    )
    test = combined_interval(
        [values.mean()],
        test_variance,
        confidence=confidence,
        bounds=bounds,
        test_degrees_of_freedom=test_degrees_of_freedom,
    )
    if values.size == 1:
        return Sources(combined=combined, draw=None, test=test)
    draw = combined_interval(values, 0.0, confidence=confidence, bounds=bounds)
    kind = f"draw of labels only ({values.size} replicates, ddof 1), t with {values.size - 1} degrees of freedom"
    return Sources(
        combined=combined,
        draw=replace(draw, kind=f"{confidence:.0%} interval: {kind}", test_standard_error=None),
        test=test,
    )


def jackknife_interval(score: float, half_scores: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Interval of a score from its values on random halves of the rows: score ± 1.96 × SD of the halves.

    half_scores: (H,) scores on halves drawn without replacement. A half leaves half the rows out, so the spread of the
    halves (ddof 1) estimates the standard error at full size (Shao and Wu, Annals of Statistics 1989, delete-d
    jackknife, d = n/2).
    """
    halves = np.asarray(half_scores, dtype=np.float64)
    if halves.ndim != 1 or halves.size < 2:
        raise ValueError("a jackknife needs the scores of at least two halves")
    error = float(halves.std(ddof=1))
    quantile = _quantile(math.inf, confidence)
    return Interval(
        low=score - quantile * error,
        high=score + quantile * error,
        standard_error=error,
        degrees_of_freedom=math.inf,
        kind=f"{confidence:.0%} interval: delete-half jackknife, {halves.size} halves, normal",
        test_standard_error=error,
    )


def exact_binomial_interval(successes: int, count: int, *, confidence: float = 0.95) -> Interval:
    """Clopper and Pearson's interval of a share (Biometrika 1934): right also where every trial, or none, succeeded."""
    if not 0 <= successes <= count or count < 1:
        raise ValueError(f"{successes} successes of {count} trials")
    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else float(stats.beta.ppf(tail, successes, count - successes + 1))
    high = 1.0 if successes == count else float(stats.beta.ppf(1 - tail, successes + 1, count - successes))
    share = successes / count
    error = math.sqrt(share * (1 - share) / count)
    return Interval(
        low=low,
        high=high,
        standard_error=error,
        degrees_of_freedom=math.inf,
        kind=f"{confidence:.0%} interval: exact binomial (Clopper and Pearson), {count} test rows",
        test_standard_error=error,
    )
