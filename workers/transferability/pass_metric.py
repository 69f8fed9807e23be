"""The form of a metric that reads a shared pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from workers.transferability.feature_pass import FeaturePass

Floats = npt.NDArray[np.float64]


class PassFunction(Protocol):
    """What a metric computes from a shared pass."""

    def __call__(self, shared: FeaturePass, *, seed: int, **params: Any) -> float:
        """The score."""
        ...


class TermsFunction(Protocol):
    """The terms of a score that is a mean over rows."""

    def __call__(self, shared: FeaturePass, *, seed: int, **params: Any) -> Floats:
        """(N,) terms; NaN for rows that the score does not count."""
        ...


@dataclass(frozen=True, kw_only=True)
class PassMetric:
    """A metric that reads a shared pass, called as any METRICS target: `metric(features, labels, seed=…, **params)`.

    compute    the score from a pass
    terms      where the score is a mean over rows, its terms
    low, high  bounds of the score, for its interval
    """

    compute: PassFunction
    terms: TermsFunction | None = None
    low: float = -np.inf
    high: float = np.inf

    @classmethod
    def of_terms(cls, terms: TermsFunction, *, low: float = -np.inf, high: float = np.inf) -> Self:
        """The metric that is the mean of these terms."""

        def compute(shared: FeaturePass, *, seed: int = 0, **params: Any) -> float:
            return float(np.nanmean(terms(shared, seed=seed, **params)))

        return cls(compute=compute, terms=terms, low=low, high=high)

    def __call__(
        self,
        features: npt.ArrayLike,
        labels: npt.ArrayLike,
        *,
        seed: int = 0,
        source_probabilities: npt.ArrayLike | None = None,
        **params: Any,
    ) -> float:
        """The score of (N, D) features and (N,) labels; raises UserError as FeaturePass does."""
        shared = FeaturePass(features, labels, source_probabilities=source_probabilities)
        return self.compute(shared, seed=seed, **params)
