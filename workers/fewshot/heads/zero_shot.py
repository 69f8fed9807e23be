"""Zero-shot: the class whose name, as the model's own text tower sees it, is most alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from workers.fewshot.heads.protocol import Array, BaseHead, ClassTexts, Validation, centred
from workers.kit import UserError
from workers.statistics.vectors import unit_rows


def unit_features(x: ArrayLike, texts: ClassTexts) -> Array:
    """Rows of length 1 (n, d); raises UserError where they and the texts are not of one space."""
    features = np.asarray(x, dtype=np.float64)
    if features.ndim == 3:
        raise UserError("This head reads one vector a row, but the features hold one vector a token: pool them first.")
    width = texts.embeddings.shape[1]
    if features.ndim != 2 or features.shape[1] != width:
        raise UserError(
            f"Features {features.shape} and class texts of {width} dimensions do not meet in one space: use the layer "
            "that the model compares with texts."
        )
    if not np.isfinite(features).all():
        raise UserError("Some features are not finite: the model gives NaN or infinity on these rows.")
    return unit_rows(features)


def checked_texts(texts: ClassTexts) -> ClassTexts:
    """The texts with unit rows; raises UserError for fewer than two classes."""
    embeddings = unit_rows(texts.embeddings)
    if embeddings.ndim != 2 or len(embeddings) < 2 or not np.isfinite(embeddings).all():
        raise UserError("Class texts must be one finite vector a class, for at least two classes.")
    return ClassTexts(embeddings=embeddings, logit_scale=float(texts.logit_scale))


class ZeroShotHead(BaseHead):
    """Softmax of the cosines with the class texts times the model's own scale (Radford et al., ICML 2021).

    No label is read: `fit` only checks that the features fit the texts. `classes` are 0..C−1, the order of the texts.
    """

    def __init__(self, *, texts: ClassTexts) -> None:
        self.texts = checked_texts(texts)
        self.classes = np.arange(len(self.texts.embeddings))

    def fit(self, x: ArrayLike, y: ArrayLike, *, validation: Validation | None = None) -> ZeroShotHead:
        """Check x (n, d); y is not read."""
        unit_features(x, self.texts)
        return self

    def extended(self, texts: ClassTexts) -> ZeroShotHead:
        """The same head asked about other classes."""
        return ZeroShotHead(texts=texts)

    def decision(self, x: ArrayLike) -> Array:
        """Logits (N, C): scale × cosine, centred."""
        return centred(self.texts.logit_scale * unit_features(x, self.texts) @ self.texts.embeddings.T)
