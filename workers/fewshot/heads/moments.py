"""Ridge regression on the first and second moments of the tokens, in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from workers.fewshot.head_entries import LAMBDAS, SHARPNESS
from workers.fewshot.heads.discriminant import ledoit_wolf
from workers.fewshot.heads.protocol import Array, BaseHead, Tokens, Validation, checked_tokens
from workers.fewshot.heads.ridge import RidgeHead


def present(tokens: Tokens) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Which tokens (n, T) are there: a vector of zeros is padding."""
    return np.asarray((tokens != 0).any(axis=2))


def mean_of(tokens: Tokens) -> Array:
    """Mean of the tokens that are there, (n, D) float64."""
    counts = np.maximum(present(tokens).sum(axis=1), 1)
    return np.asarray(tokens.sum(axis=1, dtype=np.float64) / counts[:, None])


class MomentsHead(BaseHead):
    """Ridge regression on [mean of the tokens; their shrunk covariance along the main directions of all tokens].

    The directions are the first `components` principal ones of the training tokens; a row's covariance there is shrunk
    by Ledoit and Wolf's intensity and flattened, off the diagonal times √2, so that lengths stay. Means are divided by
    the standard deviation of all tokens, covariances by its square: two rows already say it. Not a published method
    under this name; the moments are those that Moment Probing (Gao et al., ICCV 2023) learns to read.
    """

    def __init__(
        self,
        *,
        components: int = 24,
        lambdas: Sequence[float] = LAMBDAS,
        sharpness: Sequence[float] = SHARPNESS,
    ) -> None:
        self.components = components
        self._ridge = RidgeHead(lambdas=lambdas, sharpness=sharpness)

    def fit(self, x: ArrayLike, y: ArrayLike, *, validation: Validation | None = None) -> MomentsHead:
        """Fit on x (n, T, D), y (n,); choose λ on `validation`."""
        tokens, labels = checked_tokens(x, y)
        self._directions = self._principal(tokens)
        parts = self._moments(tokens)
        self._middles = [part.mean(axis=0) for part in parts]
        self._lengths = [self._variance**0.5, self._variance]
        if validation is not None:
            validation = self.features(validation[0]), validation[1]
        self._ridge.fit(self.features(tokens), labels, validation=validation)
        self.classes, self.choice = self._ridge.classes, self._ridge.choice
        return self

    def _principal(self, tokens: Tokens) -> Array:
        dimensions = tokens.shape[2]
        count, total, products = 0, np.zeros(dimensions), np.zeros((dimensions, dimensions))
        for row, is_there in zip(tokens, present(tokens), strict=True):
            kept = row[is_there].astype(np.float64)
            count += len(kept)
            total += kept.sum(axis=0)
            products += kept.T @ kept
        middle = total / max(count, 1)
        covariance = products / max(count, 1) - np.outer(middle, middle)
        self._variance = max(float(np.trace(covariance)), 0.0) or 1.0
        _, vectors = np.linalg.eigh(covariance)
        return np.asarray(vectors[:, ::-1][:, : self.components])

    def _moments(self, tokens: Tokens) -> tuple[Array, Array]:
        width = self._directions.shape[1]
        rows, columns = np.triu_indices(width)
        weight = np.where(rows == columns, 1.0, np.sqrt(2.0))
        flat = np.zeros((len(tokens), len(rows)))
        for i, (row, is_there) in enumerate(zip(tokens, present(tokens), strict=True)):
            kept = row[is_there].astype(np.float64) @ self._directions
            if len(kept) > 1:
                kept -= kept.mean(axis=0)
                intensity, level = ledoit_wolf(kept)
                shrunk = (1.0 - intensity) * (kept.T @ kept) / len(kept) + intensity * level * np.eye(width)
                flat[i] = weight * shrunk[rows, columns]
        return mean_of(tokens), flat

    def features(self, x: ArrayLike) -> Array:
        """What ridge regression reads, (N, D + p (p + 1)/2)."""
        parts = zip(self._moments(np.asarray(x)), self._middles, self._lengths, strict=True)
        return np.hstack([(part - middle) / length for part, middle, length in parts])

    def settings(self) -> dict[str, Any]:
        """The chosen λ and factor."""
        return self._ridge.settings()

    def decision(self, x: ArrayLike) -> Array:
        """Logits (N, C), centred."""
        return self._ridge.decision(self.features(x))
