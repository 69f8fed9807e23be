"""The analysis "alignment": a model's similarities of items beside those that people gave."""

from __future__ import annotations

import math
import time

import numpy as np
from threadpoolctl import threadpool_limits

from workers.kit import Context, Outcome, Score, UserError
from workers.pairs.alignment import Aligned, alignment, item_features
from workers.pairs.entries import AlignmentSpec
from workers.pairs.rows import halves_of
from workers.sources.features import features_of
from workers.sources.judgements import JudgementStore
from workers.statistics.intervals import jackknife_interval

__all__ = ["run"]


def run(spec: AlignmentSpec, context: Context) -> Outcome:
    """Correlate the similarities of `spec.matrix` with the cosine similarities of the context's model.

    Scores: alignment_pearson, alignment_rsa, with replicates on halves of the items that all models share. Raises
    UserError where no matrix was brought, and where its names are neither classes nor rows of the data set.
    """
    started = time.perf_counter()
    if context.model is None or context.dataset is None:
        raise UserError("Alignment needs a model and a data set: choose both.")
    if not spec.matrix:
        raise UserError("Bring a matrix of human similarities first, on the page Alignment.", field="matrix")
    judgements = JudgementStore(context.store_dir).get(spec.matrix)
    features = features_of(context)
    if features.x.ndim != 2:
        raise UserError("Items are compared by one vector each: this model gave several.")
    x, items = item_features(features, judgements.names)
    count = len(judgements.names)
    halves = halves_of(np.zeros(count, dtype=np.int64), count=spec.half_samples, seed=context.seed)
    with threadpool_limits(limits=max(1, context.threads)):
        found = alignment(x, judgements.matrix, halves)
    scores = tuple(_score(name, one) for name, one in found.items())
    sentence = _sentence(scores[0], model=context.model.name, items=f"{count:,} {items}")
    context.log(sentence)
    return Outcome(
        summary={"items": count, "items_are": items, "matrix": spec.matrix, "sentence": sentence},
        scores=scores,
        provenance={
            "matrix": spec.matrix,
            "similarity": "cosine of the features"
            + (", each class the mean of its rows" if items == "classes" else ", of each item's row"),
            "alignment_pearson": "Pearson's r of the upper triangles of the two matrices",
            "alignment_rsa": "Spearman's rank correlation of the same",
            "interval": f"value ± 1.96 × SD (ddof 1) of {spec.half_samples} halves of the items, without replacement",
            "features": dict(features.provenance),
            "analysis_seconds": time.perf_counter() - started,
        },
    )


def _score(name: str, found: Aligned) -> Score:
    if not math.isfinite(found.value):
        return Score(metric=name, value=None, note="The model's similarities are all equal, so nothing goes with them.")
    halves = tuple(one for one in found.halves if math.isfinite(one))
    if len(halves) < 2:
        return Score(metric=name, value=found.value, note="No interval: the halves hold too few items.")
    interval = jackknife_interval(found.value, halves)
    return Score(
        metric=name,
        value=found.value,
        low=max(-1.0, interval.low),
        high=min(1.0, interval.high),
        interval=interval.kind.replace("halves", "halves of the items"),
        replicates=halves,
    )


def _sentence(score: Score, *, model: str, items: str) -> str:
    if score.value is None:
        return f"{model} sees no difference between the {items}, so nothing goes with the human similarities."
    if score.low is None or score.high is None:
        return f"{model}'s similarities of {items} go with the human ones at r = {score.value:.3f}."
    said = "go with" if score.low > 0 else "go against" if score.high < 0 else "do not separably go with"
    return (
        f"{model}'s similarities of {items} {said} the human ones: r = {score.value:.3f}, {score.low:.3f} to "
        f"{score.high:.3f}."
    )
