"""What every head gives, and what they share: checked inputs and probabilities from logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workers.kit import UserError
from workers.statistics.logits import one_vs_rest_log_odds, softmax

__all__ = ["Array", "ClassTexts", "Head", "Labels", "Validation", "checked", "one_vs_rest_log_odds", "softmax"]

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
Validation = tuple[ArrayLike, ArrayLike]


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassTexts:
    """The class names as the model's text tower sees them, for heads that need "class_texts".

    embeddings   (C, d) one unit vector a class, the normalised mean over the prompt templates, in label order
    logit_scale  by which cosines are multiplied before the softmax (CLIP's exp(t); 100 where a model has none)
    """

    embeddings: Array
    logit_scale: float = 100.0


class Head(Protocol):
    """A classifier on frozen features, (n, D) or, for heads that need "tokens", (n, T, D).

    A constructor takes the head's parameters, a head that needs "class_texts" also `texts: ClassTexts`; one that draws
    takes `seed`.

    classes     sorted labels seen by `fit`; the columns of every output
    converged   False if the optimiser stopped before its tolerance
    choice      what was chosen on the validation rows, in words; "" if there was nothing to choose
    """

    classes: Labels
    converged: bool
    choice: str

    def fit(self, x: ArrayLike, y: ArrayLike, *, validation: Validation | None = None) -> Head:
        """Fit on x (n, D), y (n,); `validation` (features, labels) only chooses settings, it is never trained on."""

    def decision(self, x: ArrayLike) -> Array:
        """Logits (N, C), centred so that each row sums to zero; their softmax is `predict_proba`."""

    def predict_proba(self, x: ArrayLike) -> Array:
        """Probabilities (N, C); rows sum to one."""


def checked(x: ArrayLike, y: ArrayLike) -> tuple[Array, Labels]:
    """Features as float64 (n, D) and labels as int64 (n,); raises UserError for what cannot be fitted."""
    features = np.array(x, dtype=np.float64)
    labels = np.asarray(y).astype(np.int64)
    if features.ndim == 3:
        raise UserError("This head reads one vector a row, but the features hold one vector a token: pool them first.")
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise UserError(f"Features {features.shape} and labels {labels.shape} do not match: give one label a row.")
    if not np.isfinite(features).all():
        raise UserError("Some features are not finite: the model gives NaN or infinity on these rows.")
    if len(np.unique(labels)) < 2:
        raise UserError("All labels are the same: a head needs rows of at least two classes.")
    return features, labels
