"""Base-to-new generalisation: the harmonic mean of accuracies on base and on new classes, in both conventions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

HARMONIC_OF_MEANS = "harmonic mean of the mean accuracies on base and on new classes (CoCoOp's tables)"
MEAN_OF_HARMONICS = "mean over data sets of each one's harmonic mean (PRE's tables fit it): never above the other"


def harmonic_mean(base: float, new: float) -> float:
    """H = 2 B N / (B + N), 0 where both are 0 (Xian et al., CVPR 2017); accuracies in one unit, not negative."""
    if not (math.isfinite(base) and math.isfinite(new)) or base < 0 or new < 0:
        raise ValueError(f"accuracies must be finite and not negative: {base}, {new}")
    return 0.0 if base + new == 0 else 2 * base * new / (base + new)


def harmonic_mean_of_means(base: Sequence[float], new: Sequence[float]) -> float:
    """`HARMONIC_OF_MEANS`: H of mean(B) and mean(N) over data sets, as Zhou et al., CVPR 2022, arXiv:2203.05557."""
    _checked(base, new)
    return harmonic_mean(float(np.mean(base)), float(np.mean(new)))


def mean_of_harmonic_means(base: Sequence[float], new: Sequence[float]) -> float:
    """`MEAN_OF_HARMONICS`: the mean of each data set's H. H is concave, so it is at most `harmonic_mean_of_means`."""
    _checked(base, new)
    return float(np.mean([harmonic_mean(one, other) for one, other in zip(base, new, strict=True)]))


def population_spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and population SD (ddof 0) over seeds, as CoOp prints them (Zhou et al., IJCV 2022).

    Here to recognise published numbers: intervals of this site use ddof 1.
    """
    return float(np.mean(values)), float(np.std(values, ddof=0))


def _checked(base: Sequence[float], new: Sequence[float]) -> None:
    if len(base) != len(new) or not len(base):
        raise ValueError(f"{len(base)} accuracies on base and {len(new)} on new classes: one of each a data set")
