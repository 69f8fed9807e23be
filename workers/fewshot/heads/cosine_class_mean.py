"""Cosine to class means: SimpleCIL's classifier, which learns nothing but the means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from workers.fewshot.head_entries import SHARPNESS
from workers.fewshot.heads.nearest_class_mean import class_means
from workers.fewshot.heads.protocol import Array, BaseHead, Validation, centred, checked, held_out
from workers.fewshot.heads.sharpness import sharpest
from workers.statistics.vectors import unit_rows


class CosineClassMeanHead(BaseHead):
    """The class whose mean of raw features has the largest cosine with the row (Zhou et al., IJCV 2024, section 4).

    Cosines are multiplied by a factor before the softmax, the one with the lowest log loss on the validation rows;
    it changes no decision.
    """

    is_normalised = False

    def __init__(self, *, sharpness: Sequence[float] = SHARPNESS) -> None:
        self.grid = tuple(sharpness)
        self.factor = 1.0

    def fit(self, x: ArrayLike, y: ArrayLike, *, validation: Validation | None = None) -> CosineClassMeanHead:
        """Average the features of each class; x (n, D), y (n,)."""
        features, labels = checked(x, y)
        self.classes, means = class_means(unit_rows(features) if self.is_normalised else features, labels)
        self.means = unit_rows(means)
        rows = held_out(validation, self.classes)
        cosines, targets = (None, None) if rows is None else (self._cosines(rows[0]), rows[1])
        self.factor = sharpest(cosines, targets, self.grid)
        self.choice = f"sharpness {self.factor:g}"
        return self

    def _cosines(self, x: ArrayLike) -> Array:
        return np.asarray(unit_rows(x) @ self.means.T)

    def settings(self) -> dict[str, Any]:
        """The chosen factor."""
        return {"sharpness": (self.factor,)}

    def decision(self, x: ArrayLike) -> Array:
        """Logits (N, C): the factor times the cosines, centred."""
        return centred(self.factor * self._cosines(x))
