"""From hidden states to what is stored: the reading's pooling, alike for images, texts and recordings."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from workers.kit import UserError


@dataclass(frozen=True, kw_only=True, eq=False)
class States:
    """What a network gave for one batch at the layer that is read.

    tokens   (n, t, d), or feature maps (n, d, h, w)
    prefix   how many of the tokens come before those of patches or frames: class and register tokens
    mask     (n, t), false where a token is padding; None where none is
    own      (n, d), what the model itself pools; None where "default" is a pooling of `tokens`
    logits   (n, s) of the model's own classifier, before any softmax
    """

    tokens: torch.Tensor
    prefix: int = 0
    mask: torch.Tensor | None = None
    own: torch.Tensor | None = None
    logits: torch.Tensor | None = None


def pooled(states: States, *, pooling: str, default: str) -> torch.Tensor:
    """Features (n, d) float32, or (n, t, d) of pooling "tokens".

    `default` is what "default" means where the model pools nothing itself: "cls" or "mean"; "cls" falls back to the
    mean where there is no class token. Mean and maximum are over patches, frames or tokens of text alone, in float32.
    Padding is zero in "tokens".
    """
    if pooling == "default":
        if states.own is not None:
            return states.own.float()
        pooling = "mean" if default == "cls" and states.prefix == 0 else default
    tokens = states.tokens.float()
    if tokens.ndim == 4:
        tokens, prefix = tokens.flatten(2).transpose(1, 2), 0
    else:
        prefix = states.prefix
    if pooling == "cls":
        if prefix == 0:
            raise UserError("This model has no class token to read: choose the pooling 'mean' or 'default'.")
        return tokens[:, 0]
    # A text's class token counts as a token of the text; patches and frames come after theirs.
    inner = tokens if states.mask is not None else tokens[:, prefix:]
    if states.mask is None:
        return inner.mean(dim=1) if pooling == "mean" else inner.amax(dim=1) if pooling == "max" else inner
    mask = states.mask.bool().unsqueeze(2)
    if pooling == "mean":
        return (inner * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
    if pooling == "max":
        return inner.masked_fill(~mask, -torch.inf).amax(dim=1)
    return inner * mask


def pooling_in_words(pooling: str, *, own: str) -> str:
    """The pooling as the provenance says it; `own` says what the model's own is."""
    return {
        "default": own,
        "mean": "mean over all positions",
        "cls": "class token",
        "max": "maximum over all positions",
        "tokens": "none: one vector for each position",
    }[pooling]
