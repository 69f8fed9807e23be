"""What the heads of one run read of the model: pooled features, tokens, class texts. Made before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workers.fewshot.grid import Inputs, inputs_of
from workers.fewshot.plan import checked_features
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
    """

    features: Features
    inputs: dict[str, Inputs]


def read_for_heads(heads: Sequence[str], context: Context) -> Read:
    """Features for each head, from the store or computed; what is rarely there comes first.

    Raises UserError where the model does not give what a head needs.
    """
    tokens = [name for name in heads if "tokens" in HEADS.get(name).needs]
    found: dict[bool, Inputs] = {}
    for has_tokens in (True, False):
        if any((name in tokens) == has_tokens for name in heads):
            features = features_of(context, TOKENS if has_tokens else None)
            checked_features(features, needs_tokens=has_tokens)
            found[has_tokens] = inputs_of(features)
    if len(found) == 2 and not np.array_equal(found[True].features.row_ids, found[False].features.row_ids):
        raise UserError("The tokens and the pooled features are not of the same rows. Compute the features again.")
    return Read(
        features=found[min(found)].features,
        inputs={name: found[name in tokens] for name in heads},
    )
