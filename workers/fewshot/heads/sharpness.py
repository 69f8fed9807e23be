"""How sharp the scores of a head that is no model of probabilities are to be read: one factor before the softmax."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workers.fewshot.head_entries import SHARPNESS
from workers.fewshot.heads.protocol import Array, Labels

UNCHOSEN = 16.0


def log_loss(logits: Array, targets: Labels) -> float:
    """Mean of −ln p(target) over the rows, p the softmax of the logits (N, C)."""
    top = logits.max(axis=1)
    normaliser = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top
    return float((normaliser - logits[np.arange(len(targets)), targets]).mean())


def sharpest(logits: Array | None, targets: Labels | None, grid: Sequence[float] = SHARPNESS) -> float:
    """The factor of the grid with the lowest log loss on rows that were held out, the first of equals.

    Without such rows 16, or the middle of a grid that has it not. A factor changes no ranking within a row.
    """
    if logits is None or targets is None or not len(targets):
        return UNCHOSEN if UNCHOSEN in grid else grid[len(grid) // 2]
    return min(grid, key=lambda factor: log_loss(factor * logits, targets))
