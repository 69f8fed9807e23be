"""Nearest class mean: the prototype of a class is the mean of its features, the nearest prototype wins."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from workers.fewshot.heads.protocol import Array, BaseHead, Labels, Validation, centred, checked


def class_means(features: Array, labels: Labels) -> tuple[Labels, Array]:
    """The classes (C,), sorted, and the mean of each (C, D)."""
    classes, member = np.unique(labels, return_inverse=True)
    sums = (np.arange(len(classes))[:, None] == member[None, :]).astype(np.float64) @ features
    return classes, sums / np.bincount(member)[:, None]


class NearestClassMeanHead(BaseHead):
    """Softmax over negative squared Euclidean distances to the class means, features as they are (no scaling).

    Prototypical networks without the training: Snell et al., NeurIPS 2017, equation 2. Nothing is chosen, so the
    validation rows are not read.
    """

    def fit(self, x: ArrayLike, y: ArrayLike, *, validation: Validation | None = None) -> NearestClassMeanHead:
        """Average the features of each class; x (n, D), y (n,)."""
        self.classes, self.means = class_means(*checked(x, y))
        return self

    def decision(self, x: ArrayLike) -> Array:
        """Logits (N, C): 2 x·m − ‖m‖², centred; ‖x‖² is the same for every class and drops out."""
        # Measured from the middle of the prototypes, a common offset of all features costs no digits.
        middle = self.means.mean(axis=0)
        means = self.means - middle
        logits = 2.0 * (np.asarray(x, dtype=np.float64) - middle) @ means.T - (means**2).sum(axis=1)
        return centred(logits)
