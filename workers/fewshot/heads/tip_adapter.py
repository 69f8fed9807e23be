"""Tip-Adapter, training-free: a cache of the labelled rows beside the zero-shot classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from workers.fewshot.head_entries import ALPHAS, BETAS
from workers.fewshot.heads.protocol import (
    Array,
    BaseHead,
    ClassTexts,
    Labels,
    Validation,
    accuracy,
    centred,
    checked,
    held_out,
)
from workers.fewshot.heads.zero_shot import ZeroShotHead, checked_texts, unit_features
from workers.kit import UserError
from workers.statistics.vectors import unit_rows

ALPHA, BETA = 1.0, 5.5


class TipAdapterHead(BaseHead):
    """Logits scale · f W + α exp(−β (1 − f F)) L: W the class texts, F the labelled rows, L their one-hot labels.

    Zhang et al., ECCV 2022, equations 4 to 6. α and β are the pair with the highest accuracy on the validation rows,
    the first of equals (α outer); without validation rows 1 and 5.5, the paper's, or the middle of a list that has
    them not. Nothing is ever chosen on test rows, where the authors' fine-tuned variant picks its epoch. Their ten
    augmented views are one here: features are cached.
    """

    def __init__(self, *, texts: ClassTexts, alphas: Sequence[float] = ALPHAS, betas: Sequence[float] = BETAS) -> None:
        self.texts = checked_texts(texts)
        self.classes = np.arange(len(self.texts.embeddings))
        self.alphas, self.betas = tuple(alphas), tuple(betas)
        self.alpha, self.beta = ALPHA, BETA

    def fit(self, x: ArrayLike, y: ArrayLike, *, validation: Validation | None = None) -> TipAdapterHead:
        """Keep the rows x (n, d), y (n,) in 0..C−1; choose α and β on `validation`."""
        features, labels = checked(x, y)
        unit_features(features, self.texts)
        if labels.min() < 0 or labels.max() >= len(self.classes):
            raise UserError(f"Labels must be 0 to {len(self.classes) - 1}, the order of the class texts.")
        self._keys = unit_rows(features)
        self._values = (labels[:, None] == self.classes[None, :]).astype(np.float64)
        rows = held_out(validation, self.classes)
        self.alpha = ALPHA if ALPHA in self.alphas else self.alphas[len(self.alphas) // 2]
        self.beta = BETA if BETA in self.betas else self.betas[len(self.betas) // 2]
        if rows is not None:
            self._choose(unit_features(rows[0], self.texts), rows[1])
        self.choice = f"α = {self.alpha:g}, β = {self.beta:g}"
        return self

    def _choose(self, rows: Array, targets: Labels) -> None:
        plain = self._zero_shot(rows)
        apart = 1.0 - rows @ self._keys.T
        found = np.empty((len(self.alphas), len(self.betas)))
        for j, beta in enumerate(self.betas):
            cached = np.exp(-beta * apart) @ self._values
            found[:, j] = [accuracy(plain + alpha * cached, targets) for alpha in self.alphas]
        best, other = divmod(int(found.argmax()), len(self.betas))
        self.alpha, self.beta = self.alphas[best], self.betas[other]

    def _zero_shot(self, rows: Array) -> Array:
        return np.asarray(self.texts.logit_scale * rows @ self.texts.embeddings.T)

    def extended(self, texts: ClassTexts) -> ZeroShotHead:
        """The head asked about other classes: no labelled row has one of them, so its cache adds nothing."""
        return ZeroShotHead(texts=texts)

    def settings(self) -> dict[str, Any]:
        """The chosen α and β."""
        return {"alphas": (self.alpha,), "betas": (self.beta,)}

    def decision(self, x: ArrayLike) -> Array:
        """Logits (N, C), centred."""
        rows = unit_features(x, self.texts)
        cached = np.exp(-self.beta * (1.0 - rows @ self._keys.T)) @ self._values
        return centred(self._zero_shot(rows) + self.alpha * cached)
