"""Retrieval on embeddings: every row asks for the others of its class, nDCG, MRR and precision by cosine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from workers.fewshot.protocol_entries import RetrievalSpec
from workers.kit import Artifact, Context, Outcome, Score, UserError
from workers.sources.features import features_of
from workers.statistics.bootstrap import bootstrap_weights
from workers.statistics.vectors import unit_rows

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
BLOCK = 512
QUERIES = "queries.npz"
METRICS = ("ndcg", "mrr", "precision_at_1")
CONVENTION = (
    "every row is a query against all other rows, those of its own group left out; relevant are the rows of its class; "
    "cosine similarity, ties in the order of the rows; queries without a relevant row do not count"
)


def top_rows(similarity: Array, k: int) -> Rows:
    """The k columns of largest similarity in each row (B, N), best first, equals in order: (B, k)."""
    count = similarity.shape[1]
    if k >= count:
        return np.argsort(-similarity, axis=1, kind="stable")
    # Everything above the k-th value and, of those equal to it, the first columns.
    kth = -np.partition(-similarity, k - 1, axis=1)[:, k - 1 : k]
    above = similarity > kth
    equal = similarity == kth
    room = k - above.sum(axis=1, keepdims=True)
    chosen = above | (equal & (equal.cumsum(axis=1) <= room))
    rows = np.nonzero(chosen)[1].reshape(len(similarity), k)
    order = np.argsort(-np.take_along_axis(similarity, rows, axis=1), axis=1, kind="stable")
    return np.take_along_axis(rows, order, axis=1)


def query_scores(x: Array, relevance: Rows, *, k: int, groups: Rows | None = None) -> dict[str, Array]:
    """nDCG@k, MRR@k and precision@1 of every row as a query: three vectors (N,), NaN for a query without relevant rows.

    x          (N, D) embeddings
    relevance  (N,) class of each row, or (N, L) 0/1 labels, where a shared label makes a row relevant
    groups     (N,) group of each row; rows of a query's own group are not in its gallery

    Gains are 0 or 1; DCG = Σ gain / log₂(rank + 1), the ideal has min(k, relevant) rows in front (Järvelin and
    Kekäläinen, TOIS 2002), as trec_eval's ndcg_cut counts it.
    """
    units = unit_rows(np.asarray(x, dtype=np.float64))
    count = len(units)
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    ideals = np.concatenate([[0.0], np.cumsum(discounts)])
    own = np.arange(count) if groups is None else groups
    found = {name: np.full(count, np.nan) for name in METRICS}
    for start in range(0, count, BLOCK):
        rows = slice(start, min(start + BLOCK, count))
        similarity = units[rows] @ units.T
        is_barred = own[rows, None] == own[None, :]
        if relevance.ndim == 1:
            is_relevant = relevance[rows, None] == relevance[None, :]
        else:
            is_relevant = relevance[rows].astype(np.float64) @ relevance.T.astype(np.float64) > 0
        is_relevant &= ~is_barred
        similarity[is_barred] = -np.inf
        total = is_relevant.sum(axis=1)
        nearest = top_rows(similarity, min(k, count))
        gains = np.take_along_axis(is_relevant, nearest, axis=1)
        width = gains.shape[1]
        first = np.where(gains.any(axis=1), 1.0 / (gains.argmax(axis=1) + 1), 0.0)
        is_asked = total > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            ndcg = gains @ discounts[:width] / ideals[np.minimum(total, k)]
        for name, values in (("ndcg", ndcg), ("mrr", first), ("precision_at_1", gains[:, 0].astype(np.float64))):
            found[name][rows] = np.where(is_asked, values, np.nan)
    return found


def mean_with_interval(values: Array, *, draws: int, seed: int, groups: Rows | None) -> tuple[float, float, float]:
    """Mean of the values that are not NaN, and 2.5% and 97.5% of its bootstrap means (rows, or whole groups)."""
    kept = np.isfinite(values)
    weights = bootstrap_weights(
        int(kept.sum()), draws=draws, seed=seed, groups=None if groups is None else groups[kept]
    )
    known = values[kept]
    means = known @ weights / weights.sum(axis=0)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(known.mean()), float(low), float(high)


def run(spec: RetrievalSpec, context: Context) -> Outcome:
    """nDCG@k, MRR@k and precision@1 of the context's features, each the mean over queries with its interval.

    Raises UserError for regression, and where no row has another of its class.
    """
    started = time.monotonic()
    features = features_of(context)
    if features.task == "regression":
        raise UserError("Retrieval needs classes or labels that say which rows belong together: this is a regression.")
    relevance = features.labels if features.task == "classification" else np.asarray(features.targets)
    context.checkpoint(0, 2, "searching")
    with threadpool_limits(max(1, context.threads)):
        found = query_scores(np.asarray(features.x), relevance, k=spec.k, groups=features.groups)
    if not np.isfinite(found["ndcg"]).any():
        raise UserError("No row has another row of its class outside its own group: there is nothing to retrieve.")
    context.checkpoint(1, 2, "intervals")
    titles = {"ndcg": f"ndcg@{spec.k}", "mrr": f"mrr@{spec.k}", "precision_at_1": "precision@1"}
    kind = f"percentile bootstrap of the queries{'' if features.groups is None else ' by group'}, {spec.draws:,} draws"
    scores = []
    for name, title in titles.items():
        value, low, high = mean_with_interval(found[name], draws=spec.draws, seed=spec.seed, groups=features.groups)
        scores.append(Score(metric=title, value=value, low=low, high=high, interval=kind))
    arrays: dict[str, Any] = {"row_ids": features.row_ids, **found}
    np.savez_compressed(Path(context.workdir) / QUERIES, **arrays)
    asked = int(np.isfinite(found["ndcg"]).sum())
    best = scores[0]
    return Outcome(
        summary={
            "rows": len(features.labels),
            "queries": asked,
            "dimensions": int(features.x.shape[1]),
            "sentence": (
                f"nDCG@{spec.k} {best.value:.3f} [{best.low:.3f}, {best.high:.3f}] and MRR@{spec.k} "
                f"{scores[1].value:.3f} over {asked:,} queries, each against the other rows."
            ),
        },
        scores=tuple(scores),
        artifacts=(Artifact(name=QUERIES, path=QUERIES, media_type="application/x-npz"),),
        provenance={
            "convention": CONVENTION,
            "features": dict(features.provenance),
            "seed": spec.seed,
            "seconds": round(time.monotonic() - started, 3),
        },
    )
