"""From logits to what a metric reads: probabilities, or log-odds that keep the order where probabilities round."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def softmax(logits: Array) -> Array:
    """Probabilities (N, C) of logits (N, C)."""
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def one_vs_rest_log_odds(logits: ArrayLike) -> Array:
    """log(p_c / (1 − p_c)) for each class, (N, C): orders rows as p_c does, also where p_c rounds to 0 or 1."""
    z = np.asarray(logits, dtype=np.float64)
    rows = np.arange(len(z))
    top = z.argmax(axis=1)
    e = np.exp(z - z[rows, top][:, None])
    # For every class but the first, the rest holds the largest term, so nothing cancels.
    with np.errstate(divide="ignore"):
        rest = np.log(e.sum(axis=1, keepdims=True) - e) + z[rows, top][:, None]
    others = z.copy()
    others[rows, top] = -np.inf
    second = others.max(axis=1)
    rest[rows, top] = np.log(np.exp(others - second[:, None]).sum(axis=1)) + second
    return np.asarray(z - rest)


ORDERED = frozenset({"auroc", "auprc", "map"})
PROBABILISTIC = frozenset({"brier", "ece"})


def read_for(metric: str, logits: ArrayLike) -> Array:
    """What `metric` is computed from, (N, C): log-odds for areas, probabilities for "brier" and "ece", else logits."""
    z = np.asarray(logits, dtype=np.float64)
    if metric in ORDERED:
        return one_vs_rest_log_odds(z)
    return softmax(z) if metric in PROBABILISTIC else z
