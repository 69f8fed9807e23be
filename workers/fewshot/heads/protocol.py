"""What every head gives, and what they share: checked inputs, validation rows, probabilities from logits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workers.kit import UserError
from workers.statistics.logits import one_vs_rest_log_odds, softmax

__all__ = [
    "Array",
    "BaseHead",
    "ClassTexts",
    "Head",
    "Labels",
    "NamingHead",
    "Tokens",
    "Validation",
    "accuracy",
    "centred",
    "checked",
    "checked_tokens",
    "held_out",
    "log_of",
    "one_vs_rest_log_odds",
    "order_of",
    "softmax",
]

Array = NDArray[np.float64]
Tokens = NDArray[np.floating]
Labels = NDArray[np.int64]
Validation = tuple[ArrayLike, ArrayLike]

SMALLEST = 1e-12


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
    takes `seed`. Fits do not depend on the order of the rows beyond rounding, nor on the names of the labels.

    classes     sorted labels seen by `fit`, or 0..C−1 of the texts; the columns of every output
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

    def settings(self) -> dict[str, Any]:
        """What `fit` chose, as arguments for a constructor that has nothing left to choose; {} if it chose nothing."""


class NamingHead(Head, Protocol):
    """A head whose entry says `extends="name"`."""

    def extended(self, texts: ClassTexts) -> Head:
        """The fitted head asked about other classes, of which it sees the texts alone."""


class BaseHead(ABC):
    """The part of a head that all share; a head adds `fit` and `decision`."""

    classes: Labels
    converged: bool = True
    choice: str = ""

    @abstractmethod
    def decision(self, x: ArrayLike) -> Array:
        """Logits (N, C), centred by row."""

    def predict_proba(self, x: ArrayLike) -> Array:
        """Probabilities (N, C)."""
        return softmax(self.decision(x))

    def settings(self) -> dict[str, Any]:
        """Nothing was chosen."""
        return {}


def _checked_labels(features: Tokens, y: ArrayLike) -> Labels:
    labels = np.asarray(y).astype(np.int64)
    if labels.shape != features.shape[:1]:
        raise UserError(f"Features {features.shape} and labels {labels.shape} do not match: give one label a row.")
    if not np.isfinite(features).all():
        raise UserError("Some features are not finite: the model gives NaN or infinity on these rows.")
    if len(np.unique(labels)) < 2:
        raise UserError("All labels are the same: a head needs rows of at least two classes.")
    return labels


def checked(x: ArrayLike, y: ArrayLike) -> tuple[Array, Labels]:
    """Features as a float64 copy (n, D) and labels as int64 (n,); raises UserError for what cannot be fitted."""
    features = np.array(x, dtype=np.float64)
    if features.ndim == 3:
        raise UserError("This head reads one vector a row, but the features hold one vector a token: pool them first.")
    if features.ndim != 2:
        raise UserError(f"Features {features.shape} and labels do not match: give one vector and one label a row.")
    return features, _checked_labels(features, y)


def checked_tokens(x: ArrayLike, y: ArrayLike) -> tuple[Tokens, Labels]:
    """Tokens (n, T, D) and labels as int64 (n,), no copy; raises UserError for what cannot be fitted."""
    tokens = np.asarray(x)
    if tokens.ndim == 2:
        raise UserError("This head reads one vector a token, but the features are pooled: compute them with tokens.")
    if tokens.ndim != 3:
        raise UserError(f"Tokens {tokens.shape} and labels do not match: give (rows, tokens, dimensions) and a label.")
    return tokens, _checked_labels(tokens, y)


def held_out(validation: Validation | None, classes: Labels) -> tuple[Array, Labels] | None:
    """The validation rows of known classes, labels as positions in `classes`; None where there are none."""
    if validation is None:
        return None
    labels = np.asarray(validation[1]).astype(np.int64)
    is_known = np.isin(labels, classes)
    if not is_known.any():
        return None
    return np.asarray(validation[0], dtype=np.float64)[is_known], np.searchsorted(classes, labels[is_known])


def order_of(rows: Array, targets: Labels) -> Labels:
    """An order of rows (n, D) by class and then by content, so that a seeded fit does not know how they came."""
    content = np.ascontiguousarray(rows + 0.0)
    by_content = np.argsort(content.view(f"S{content.shape[1] * content.itemsize}").ravel(), kind="stable")
    return np.asarray(by_content[np.argsort(targets[by_content], kind="stable")])


def centred(logits: Array) -> Array:
    """Logits less their mean by row."""
    return np.asarray(logits - logits.mean(axis=1, keepdims=True))


def log_of(p: Array) -> Array:
    """Centred logits of probabilities (N, C); zeros count as 1e-12, so that they stay finite."""
    return centred(np.log(np.maximum(p, SMALLEST)))


def accuracy(logits: Array, targets: Labels) -> float:
    """Share of rows whose largest logit is at their target."""
    return float((logits.argmax(axis=1) == targets).mean())
