"""Many metrics of many replicates over one weight matrix, each row read and sorted once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workers.statistics.bootstrap import METRICS, Array, Weights, bootstrap_weights
from workers.statistics.bootstrap_areas import class_areas, columns_of, mean_over_classes
from workers.statistics.bootstrap_rates import brier_losses
from workers.statistics.logits import ORDERED, PROBABILISTIC, one_vs_rest_log_odds, softmax


def draw_table(metrics: Sequence[str], logits: ArrayLike, labels: ArrayLike, weights: Weights) -> dict[str, Array]:
    """Each metric of one set of logits (N, C) by draw: name -> (B,). Areas share one sorting of the rows."""
    z = np.asarray(logits, dtype=np.float64)
    y = np.asarray(labels, dtype=np.int64)
    found: dict[str, Array] = {}
    areas = [metric for metric in metrics if metric in ORDERED]
    if areas:
        wanted = sorted({column for metric in areas for column in columns_of(metric, z.shape[1])})
        has_precision = any(metric != "auroc" for metric in areas)
        odds = one_vs_rest_log_odds(z)
        roc, precision = class_areas(odds, y, weights, columns=wanted, has_precision=has_precision)
        for metric in areas:
            of = roc if metric == "auroc" else precision
            found[metric] = mean_over_classes(of[[wanted.index(column) for column in columns_of(metric, z.shape[1])]])
    p = softmax(z) if PROBABILISTIC.intersection(metrics) else z
    for metric in metrics:
        if metric not in found:
            found[metric] = METRICS[metric](p if metric in PROBABILISTIC else z, y, weights)
    return {metric: found[metric] for metric in metrics}


def mean_table(
    metrics: Sequence[str], logits: Sequence[ArrayLike], labels: ArrayLike, weights: Weights
) -> dict[str, tuple[Array, Array]]:
    """Each metric of R replicates (N, C): name -> (values (R,), mean over the replicates by draw (B,)).

    weights (N, 1 + B) of `counted_weights`: its first column of ones gives the values.
    """
    tables = [draw_table(metrics, one, labels, weights) for one in logits]
    found = {}
    for metric in metrics:
        stacked = np.stack([table[metric] for table in tables])
        found[metric] = (stacked[:, 0].copy(), stacked[:, 1:].mean(axis=0))
    return found


def counted_weights(rows: int, *, draws: int, seed: int = 0, groups: ArrayLike | None = None) -> NDArray[np.float32]:
    """Weights (N, 1 + draws) float32 for `mean_table`: ones first, then `bootstrap_weights`."""
    out = np.ones((rows, 1 + draws), dtype=np.float32)
    out[:, 1:] = bootstrap_weights(rows, draws=draws, seed=seed, groups=groups, dtype=np.float32)
    return out


def row_values(metric: str, logits: Sequence[ArrayLike], labels: ArrayLike) -> Array | None:
    """What each row adds to a metric that is a mean over rows, averaged over the replicates: (N,); None for others."""
    y = np.asarray(labels, dtype=np.int64)
    if metric == "accuracy":
        return np.asarray(np.mean([np.asarray(one).argmax(axis=1) == y for one in logits], axis=0))
    if metric == "brier":
        losses = [brier_losses(softmax(np.asarray(one, dtype=np.float64)), y) for one in logits]
        return np.asarray(np.mean(losses, axis=0))
    return None
