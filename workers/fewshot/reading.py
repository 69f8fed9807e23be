"""What the heads of one run read of the model: pooled features, tokens, class texts. Made before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.fewshot.class_texts import class_texts_of
from workers.fewshot.grid import Inputs, inputs_of
from workers.fewshot.heads.protocol import ClassTexts
from workers.fewshot.plan import checked_features
from workers.fewshot.refusing import refuse_heads
from workers.kit import HEADS, Context, UserError
from workers.sources.entries import FeaturesSpec
from workers.sources.features import features_of
from workers.sources.store import Features

TOKENS = FeaturesSpec(pooling="tokens")


@dataclass(frozen=True, kw_only=True, eq=False)
class Read:
    """What was read.

    features  the rows' facts, with pooled features wherever a head reads those
    inputs    by head name
    texts     one for each class of the data set; None where no head reads them
    """

    features: Features
    inputs: dict[str, Inputs]
    texts: ClassTexts | None

    def texts_of(self, present: NDArray[np.int64]) -> ClassTexts | None:
        """The texts of these classes."""
        if self.texts is None:
            return None
        return ClassTexts(embeddings=self.texts.embeddings[present], logit_scale=self.texts.logit_scale)


def read_for_heads(heads: Sequence[str], context: Context, *, templates: Sequence[str]) -> Read:
    """Features for each head, from the store or computed, and class texts; what is rarely there comes first.

    Raises UserError where the model or the data set does not give what a head needs.
    """
    refuse_heads(heads, context.dataset)
    speaking = [name for name in heads if "class_texts" in HEADS.get(name).needs]
    texts = class_texts_of(context, templates=templates) if speaking else None
    tokens = [name for name in heads if "tokens" in HEADS.get(name).needs]
    found: dict[bool, Inputs] = {}
    for has_tokens in (True, False):
        if any((name in tokens) == has_tokens for name in heads):
            features = features_of(context, TOKENS if has_tokens else None)
            if features.task == "regression":
                raise UserError("This data set is for regression: heads need rows with classes or labels.")
            checked_features(features, needs_tokens=has_tokens)
            found[has_tokens] = inputs_of(features)
    if len(found) == 2 and not np.array_equal(found[True].features.row_ids, found[False].features.row_ids):
        raise UserError("The tokens and the pooled features are not of the same rows. Compute the features again.")
    return Read(
        features=found[min(found)].features,
        inputs={name: found[name in tokens] for name in heads},
        texts=texts,
    )
