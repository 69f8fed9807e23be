"""Power law of the tail of a spectrum, by maximum likelihood and Kolmogorov and Smirnov's distance.

The values are those of WeightWatcher 0.7.7 (Martin and Mahoney), found without measuring every tail in full.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SMALL_SAMPLE = 20  # below this many values the maximum-likelihood exponent is corrected for its bias
LEAST_TAIL = 8  # and a tail holds at least so many of them
_NO_SPREAD = 1e-12  # a tail whose values spread less, as a sum of logarithms, has no exponent
# Points of a tail that are looked at before it is measured in full: the distance at some bounds that at all from below.
_LOOKS = (16, 64, 256, 1024, 4096)
_BLOCK_VALUES = 1_048_576
_ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True)
class PowerLawFit:
    """Density ∝ x^−alpha for x ≥ xmin.

    alpha        exponent, 1 + n / Σ ln(x / xmin) over the tail
    xmin         where the tail starts: the value with the least distance
    ks_distance  largest difference between the tail's distribution and the fitted one
    sigma        standard error of alpha, (alpha − 1) / √n_tail
    n_tail       number of values from xmin on
    """

    alpha: float
    xmin: float
    ks_distance: float
    sigma: float
    n_tail: int


def fit_power_law(values: npt.ArrayLike) -> PowerLawFit | None:
    """The power law that fits the upper tail best, over every value but the largest as the start of the tail.

    `values` are positive and finite, in any order; None where no tail has a spread (fewer than two different values).
    Below 20 values: (n − 1) in place of n in the exponent, and tails of at least eight values where there are so many,
    as in WeightWatcher. Raises ValueError for values that are not positive or not finite.
    Source: Clauset, Shalizi and Newman, SIAM Review 51 (2009), equations 3.1 and 3.9.
    """
    x = np.sort(np.asarray(values, dtype=np.float64).ravel())
    if x.size and not (x[0] > 0 and np.isfinite(x[-1])):
        raise ValueError("a power law is fitted to positive, finite values")
    if x.size < 2:
        return None
    logs = np.log(x)
    n_tail = np.arange(x.size, 1, -1)
    # Σ (ln x_j − ln x_i) over the tail from i, as a sum of steps: no cancellation, and exactly 0 for equal values.
    spread = np.cumsum((np.diff(logs) * (n_tail - 1))[::-1])[::-1]
    is_small = x.size < SMALL_SAMPLE
    is_candidate = spread > (_NO_SPREAD if is_small else 0.0)
    if is_small and np.any(is_candidate & (n_tail >= LEAST_TAIL)):
        is_candidate &= n_tail >= LEAST_TAIL
    elif is_small:
        is_candidate[1:] = False
    if not is_candidate.any():
        return None
    with np.errstate(divide="ignore", over="ignore"):
        slopes = (n_tail - 1 if is_small else n_tail) / spread
    start, distance = _best_start(logs, slopes, np.flatnonzero(is_candidate & np.isfinite(slopes)))
    size = int(x.size - start)
    return PowerLawFit(
        alpha=1.0 + float(slopes[start]),
        xmin=float(x[start]),
        ks_distance=distance,
        sigma=float(slopes[start]) / float(np.sqrt(size)),
        n_tail=size,
    )


def _best_start(logs: Floats, slopes: Floats, starts: npt.NDArray[Any]) -> tuple[int, float]:
    """The tail of the least distance, the longest one on ties, and that distance.

    Each round looks at more points of the tails that may still win, and measures the most promising one in full.
    """
    best, least = int(starts[0]), np.inf
    for looks in _LOOKS:
        if looks * 2 > logs.size:
            break
        step = _BLOCK_VALUES // looks
        bounds = np.concatenate(
            [
                _distance_at(logs, slopes, starts[first : first + step], looks=looks)
                for first in range(0, starts.size, step)
            ]
        )
        first = int(starts[np.argmin(bounds)])
        distance = _distance(logs, slopes, first)
        if distance < least:
            best, least = first, distance
        starts = starts[bounds <= least + _ROUNDING]
    for start in starts.tolist():
        distance = _distance(logs, slopes, start)
        if distance < least or (distance == least and start < best):
            best, least = start, distance
    return best, float(least)


def _distance(logs: Floats, slopes: Floats, start: int) -> float:
    """Largest difference between 1 − (x / xmin)^−slope and the share of the tail below x, over the whole tail."""
    tail = logs[start:] - logs[start]
    tail *= -slopes[start]
    np.exp(tail, out=tail)
    tail += np.arange(tail.size) / tail.size
    tail -= 1.0
    return max(float(tail.max()), -float(tail.min()))


def _distance_at(logs: Floats, slopes: Floats, starts: npt.NDArray[Any], *, looks: int) -> Floats:
    """The same difference at `looks` evenly spaced places of each tail: never more than the whole."""
    sizes = (logs.size - starts)[:, None]
    places = (np.arange(1, looks + 1) * sizes - 1) // looks
    tail = logs[starts[:, None] + places] - logs[starts][:, None]
    tail *= -slopes[starts][:, None]
    np.exp(tail, out=tail)
    tail += places / sizes
    tail -= 1.0
    found: Floats = np.maximum(tail.max(axis=1), -tail.min(axis=1))
    return found
