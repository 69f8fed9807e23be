"""How much of an embedding is needed: quality by layer and by the number of leading dimensions (2-D Matryoshka)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from workers.fewshot.protocol_entries import LayerGridSpec
from workers.fewshot.protocols.retrieval import mean_with_interval, query_scores
from workers.fewshot.shots import Shots, sample_shots
from workers.fewshot.splits import Split, stratified_split
from workers.kit import Context, Outcome, Score, Table, UserError
from workers.sources.entries import FeaturesSpec
from workers.sources.features import features_of, opened_encoder
from workers.sources.protocols import DEFAULT_READING
from workers.sources.store import Features
from workers.statistics.bootstrap import bootstrap_weights
from workers.statistics.intervals import combined_interval
from workers.statistics.paired import Difference, combined_difference, holm_corrected
from workers.statistics.vectors import unit_rows

Array = NDArray[np.float64]
PENULTIMATE = "penultimate"
MOST_LAYERS = 6
CONVENTION = {
    "dimensions": "the first d numbers of the pooled vector of a layer; nothing is trained or rotated",
    "accuracy": "cosine to class means of k labelled rows a class, EHRSHOT's draws, mean over the replicates",
    "ndcg": "nDCG@10, every row a query against the others of its class",
    "difference": "paired to the whole vector of the last layer on the same rows, Holm over all cells shown",
}


def layers_chosen(offered: Sequence[str], asked: Sequence[str]) -> tuple[str, ...]:
    """The layers of a grid: those asked for, else up to six of the offered, evenly spaced, and the last one.

    Raises UserError for a layer that the model does not have.
    """
    known = [*offered, PENULTIMATE]
    for name in asked:
        if name not in known:
            raise UserError(f"This model has no layer {name!r}. Known: {', '.join(known[:40])}.", field="layers")
    if asked:
        return tuple(asked)
    if len(offered) < MOST_LAYERS:
        return tuple(known)
    places = np.linspace(0, len(offered) - 1, MOST_LAYERS).round().astype(int)
    return (*(offered[place] for place in np.unique(places)[:-1]), PENULTIMATE)


def dimensions_chosen(asked: Sequence[int], width: int) -> tuple[int, ...]:
    """The numbers of leading dimensions below the width, and the width itself."""
    return (*sorted(d for d in set(asked) if d < width), width)


def class_mean_logits(x: Array, y: NDArray[np.int64], shots: Sequence[Shots], split: Split) -> NDArray[np.float32]:
    """Cosine of the test rows to the means of each draw's classes: (R, N, C)."""
    classes = int(y.max()) + 1
    units = unit_rows(x)
    found = []
    for one in shots:
        rows = split.train[one.train]
        member = (y[rows][None, :] == np.arange(classes)[:, None]).astype(np.float64)
        means = unit_rows(member @ x[rows])
        found.append((units[split.test] @ means.T).astype(np.float32))
    return np.stack(found)


def _layers(context: Context, spec: LayerGridSpec) -> tuple[str, ...]:
    if context.model is None:
        raise UserError("Choose a model and a data set: a grid of layers needs both.")
    encoder = opened_encoder(context.model, device=context.device, threads=context.threads, reading=DEFAULT_READING)
    return layers_chosen(encoder.layers, spec.layers)


def run(spec: LayerGridSpec, context: Context) -> Outcome:
    """Accuracy and nDCG@10 of every (layer, dimensions), each with its interval and its difference to the whole.

    Raises UserError for an unknown layer, and where the data set has no classes.
    """
    started = time.monotonic()
    layers = _layers(context, spec)
    cells: dict[tuple[str, int], dict[str, Any]] = {}
    features: Features | None = None
    for number, layer in enumerate(layers):
        context.checkpoint(number, len(layers), f"layer {layer}")
        features = features_of(context, FeaturesSpec(layer=layer))
        if features.task != "classification":
            raise UserError("A grid of layers needs one class a row; this data set has other targets.")
        with threadpool_limits(max(1, context.threads)):
            cells |= _cells_of(layer, features, spec, context)
    if features is None:
        raise UserError("Choose at least one layer.", field="layers")
    whole = (layers[-1], max(d for layer, d in cells if layer == layers[-1]))
    differences = _differences(cells, whole)
    rows = [_row(key, cell, differences.get(key)) for key, cell in cells.items()]
    best = cells[whole]["accuracy"]
    return Outcome(
        summary={
            "layers": len(layers),
            "cells": len(cells),
            "sentence": sentence_of(
                whole, {key: cell["accuracy"].value for key, cell in cells.items()}, differences, k=spec.k
            ),
        },
        scores=(
            Score(
                metric="accuracy",
                value=best.value,
                low=best.low,
                high=best.high,
                interval=best.interval,
                head="cosine_class_mean",
                shots=spec.k,
                replicates=best.replicates,
            ),
        ),
        tables={"grid": Table(columns=GRID_COLUMNS, rows=rows)},
        provenance={
            **CONVENTION,
            "seed": spec.seed,
            "features": dict(features.provenance),
            "seconds": round(time.monotonic() - started, 3),
        },
    )


def sentence_of(
    whole: tuple[str, int],
    values: Mapping[tuple[str, int], float],
    differences: Mapping[tuple[str, int], Difference],
    *,
    k: int,
) -> str:
    """What a grid says: the whole vector's accuracy, the best of what is separably better, the smallest not worse.

    whole        (layer, dimensions) that the `differences` of all other cells are taken from
    """
    text = f"The whole vector of {whole[0]} ({whole[1]:,} numbers) gets {values[whole]:.3f} with {k} labels a class"
    ahead = {key: one.difference > 0 for key, one in differences.items() if one.is_separable}
    if better := [key for key, is_better in ahead.items() if is_better]:
        layer, dimensions = max(better, key=lambda key: values[key])
        text += f"; the first {dimensions:,} numbers of {layer} get {values[layer, dimensions]:.3f}, separably more"
    layer, dimensions = min((key for key in values if ahead.get(key, True)), key=lambda key: key[1])
    if (layer, dimensions) == whole:
        return f"{text}; everything smaller is separably worse."
    return f"{text}; the first {dimensions:,} numbers of {layer} are not separably worse."


GRID_COLUMNS = (
    "layer",
    "dimensions",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "ndcg",
    "ndcg_low",
    "ndcg_high",
    "difference",
    "difference_low",
    "difference_high",
    "is_separable",
)


def _cells_of(layer: str, features: Features, spec: LayerGridSpec, context: Context) -> dict[tuple[str, int], Any]:
    revision = context.dataset.revision if context.dataset is not None else ""
    split = stratified_split(
        features.labels, features.row_ids, dataset_revision=revision, seed=spec.seed, class_names=features.classes
    )
    _, y = np.unique(features.labels, return_inverse=True)
    shots = sample_shots(y[split.train], k=spec.k, replicates=spec.replicates, seed=spec.seed)
    groups = None if features.groups is None else features.groups[split.test]
    weights = bootstrap_weights(len(split.test), draws=spec.draws, seed=spec.seed, groups=groups)
    x = np.asarray(features.x, dtype=np.float64)
    found = {}
    for d in dimensions_chosen(spec.dimensions, x.shape[1]):
        logits = class_mean_logits(x[:, :d], y, shots, split)
        hits = logits.argmax(axis=2) == y[split.test]
        draws = hits.mean(axis=0) @ weights / weights.sum(axis=0)
        values = hits.mean(axis=1)
        interval = combined_interval(values, float(draws.var(ddof=1)), bounds=(0.0, 1.0))
        asked = query_scores(x[:, :d], y, k=10, groups=features.groups)["ndcg"]
        found[layer, d] = {
            "logits": logits,
            "labels": y[split.test],
            "weights": weights,
            "accuracy": Score(
                metric="accuracy",
                value=float(values.mean()),
                low=interval.low,
                high=interval.high,
                interval=interval.kind,
                replicates=tuple(float(value) for value in values),
            ),
            "ndcg": mean_with_interval(asked, draws=spec.draws, seed=spec.seed, groups=features.groups)
            if np.isfinite(asked).any()
            else (None, None, None),
        }
    return found


def _differences(cells: dict[tuple[str, int], Any], whole: tuple[str, int]) -> dict[tuple[str, int], Difference]:
    others = [key for key in cells if key != whole]
    base = cells[whole]
    differences = [
        combined_difference(cells[key]["logits"], base["logits"], base["labels"], weights=base["weights"])
        for key in others
    ]
    return dict(zip(others, holm_corrected(differences), strict=True))


def _row(key: tuple[str, int], cell: dict[str, Any], difference: Difference | None) -> list[object]:
    score: Score = cell["accuracy"]
    apart: list[object] = [None, None, None, None]
    if difference is not None:
        apart = [difference.difference, difference.low, difference.high, difference.is_separable]
    return [*key, score.value, score.low, score.high, *cell["ndcg"], *apart]
