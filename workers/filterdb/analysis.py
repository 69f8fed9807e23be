"""The filter analysis of one model revision: every convolution layer, its statistics, and the model's filter basis."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.filterdb import tables
from workers.filterdb.entries import NO_FILTERS, VERSION, FilterdbSpec
from workers.filterdb.findings import VERDICTS, findings_sentence, mean_score
from workers.filterdb.layer_store import NUMBER_FORMAT, LayerResult, LayerView, View
from workers.filterdb.layers_file import LAYERS_FILE, PARQUET, write_layers
from workers.filterdb.quality import layer_quality
from workers.kit import Artifact, Context, ModelRef, Outcome, Table, UserError, digest_of
from workers.sources.layer_store import LayerStore
from workers.sources.layers import Layer, Weights, open_weights
from workers.statistics.filter_sums import BASIS_VERSION, BINS, FilterStatistics

MOST_TAPS = 49
MOST_PICTURES, MOST_PICTURES_OF_ALL = 64, 8192
_BLOCK_WEIGHTS = 2**20
Array = npt.NDArray[Any]


def run(spec: FilterdbSpec, context: Context) -> Outcome:
    """Analyse every convolution layer of `context.model`, one tensor at a time.

    Finished layers are kept below `context.store_dir`: an attempt that follows a killed one takes them over. Raises
    UserError if there is no such layer, if a file cannot be read, and for NaN or infinite weights, naming the layer.
    """
    model = context.model
    if model is None:
        raise UserError("The filter analysis needs a model: choose one.")
    with open_weights(model) as weights:
        return _analyse(weights, model, spec=spec, context=context)


def _analyse(weights: Weights, model: ModelRef, *, spec: FilterdbSpec, context: Context) -> Outcome:
    started = time.perf_counter()
    layers = convolutions(weights)
    store = LayerStore(
        context.store_dir,
        namespace="filterdb",
        revision=model.revision,
        spec_digest=digest_of({"spec": spec.model_dump(mode="json"), "numbers": [NUMBER_FORMAT, BASIS_VERSION]}),
        version=VERSION,
    )
    results, taken_over = _results(weights, layers, spec=spec, context=context, store=store)

    path = Path(context.workdir) / LAYERS_FILE
    write_layers(path, model=model, spec=spec, layers=layers, results=results)
    stored = {layer.name: results[layer.name].views["stored"].quality for layer in layers}
    main, of_kernel = tables.main_layers(layers)
    verdicts = Counter(stored[layer.name].verdict for layer in main)
    sentence = findings_sentence(
        [stored[layer.name] for layer in main], [layer.depth for layer in main], of_kernel=of_kernel
    )
    skipped = tables.skipped_rows(weights, model)
    reasons = dict(Counter(str(row[-1]) for row in skipped))
    kernels = tables.kernel_counts(layers, results)
    basis, basis_facts = tables.basis_tables(layers, results)
    scored = [stored[layer.name] for layer in layers if layer.kernel == tables.MAIN_KERNEL]
    context.log(sentence)
    return Outcome(
        summary={
            "layers": len(main),
            "verdicts": {verdict: verdicts[verdict] for verdict in VERDICTS if verdicts[verdict]},
            "filters": sum(stored[layer.name].n_filters for layer in layers if math.prod(layer.kernel) > 1),
            "convolutions": len(layers),
            "kernels": kernels,
            "folded_layers": sum("folded" in results[layer.name].views for layer in layers),
            "skipped": reasons,
            "sentence": sentence,
            "kernels_sentence": tables.kernels_sentence(kernels, reasons),
        },
        scores=tuple(
            mean_score(metric, [(getattr(quality, metric), quality.n_filters) for quality in scored])
            for metric in ("sparsity", "variance_entropy", "orthogonality")
        ),
        tables={
            "layers": Table(columns=tables.LAYER_COLUMNS, rows=list(tables.layer_rows(layers, results))),
            **basis,
            "pictures": Table(columns=tables.PICTURE_COLUMNS, rows=list(tables.picture_rows(layers, results))),
            "skipped": Table(columns=tables.SKIPPED_COLUMNS, rows=skipped),
        },
        sums=tuple(tables.group_sums(layers, results)),
        artifacts=(Artifact(name=LAYERS_FILE, path=path.name, media_type=PARQUET),),
        provenance={
            **conventions(spec, layers),
            **basis_facts,
            "layers_computed": len(layers) - taken_over,
            "layers_taken_over": taken_over,
            "analysis_seconds": time.perf_counter() - started,
        },
    )


def conventions(spec: FilterdbSpec, layers: Sequence[Layer]) -> dict[str, Any]:
    """What the numbers mean, in words."""
    depths = Counter(layer.depth_source for layer in layers)
    norms = Counter(layer.batch_norm.paired_by for layer in layers if layer.batch_norm is not None)
    return {
        "depth": "rank of the layer among the convolutions, from 0 (first) to 1 (last), by "
        f"{' and '.join(sorted(depths))}",
        "filters": "one per (output, input) channel pair; 1 × 1 kernels are counted as layers, not as filters",
        "views": "stored: weights as in the file; folded: each output channel multiplied by the scale of the batch "
        "norm that follows it, in the layers that have one",
        "batch_norms": dict(norms),
        "scores": "means over the 3 × 3 layers of the stored view, weighted by their filters; undefined ones are left "
        "out",
        "pca": "3 × 3 filters of the stored view, scaled by their largest absolute weight, float64 sums, population "
        "covariance, largest loading positive",
        "histograms": f"orthonormal DCT-II, basis version {BASIS_VERSION}, no centring, {BINS} bins on [-3, 3]",
        "sparsity_rule": f"all weights strictly below {spec.sparsity_eps} × the layer's largest absolute weight",
    }


def convolutions(weights: Weights) -> list[Layer]:
    """The convolutions of a model, by depth, then by place; raises UserError if there is none."""
    found = [layer for layer in weights.layers if layer.is_convolution]
    if not found:
        left_out = [f" {name[:80]!r} was left out: {reason}." for name, reason in weights.skipped[:1]]
        raise UserError(NO_FILTERS + "".join(left_out))
    return sorted(found, key=lambda layer: (layer.depth, layer.position))


def keeps_statistics(kernel: tuple[int, ...]) -> bool:
    """Whether `FilterStatistics` are kept of such kernels: of 2 to 49 weights."""
    return 1 < math.prod(kernel) <= MOST_TAPS


def _results(
    weights: Weights, layers: Sequence[Layer], *, spec: FilterdbSpec, context: Context, store: LayerStore
) -> tuple[dict[str, LayerResult], int]:
    """The result of every layer, and how many of them an earlier attempt had finished."""
    found: dict[str, LayerResult] = {}
    for layer in layers:
        kept = store.get(layer.name)
        try:
            if kept is not None:
                found[layer.name] = LayerResult.from_bytes(kept)
        except ValueError:
            context.log(f"The kept result of {layer.name} is damaged and is computed again.", level="warning")
    taken_over = len(found)
    if taken_over:
        context.log(f"{taken_over} of {len(layers)} layers were finished by an earlier attempt.")
    context.checkpoint(taken_over, len(layers))
    pictures = max(4, min(MOST_PICTURES, MOST_PICTURES_OF_ALL // len(layers)))
    missing = [layer.name for layer in layers if layer.name not in found]
    for layer, weight in weights.iter(missing):
        result = analyse_layer(weights, layer, weight, sparsity_eps=spec.sparsity_eps, pictures=pictures)
        del weight  # before the next one is read
        store.put(layer.name, result.to_bytes())
        found[layer.name] = result
        context.checkpoint(len(found), len(layers), layer.name)
    return found, taken_over


def analyse_layer(
    weights: Weights, layer: Layer, weight: Array, *, sparsity_eps: float, pictures: int = 0
) -> LayerResult:
    """Quality and statistics of one layer as stored and, where a batch norm follows it, folded; `weight` is used up."""
    views: dict[View, LayerView] = {"stored": _view(layer, weight, sparsity_eps=sparsity_eps)}
    chosen = _pictures(weight, most=pictures) if len(layer.kernel) == 2 and keeps_statistics(layer.kernel) else ()
    if layer.batch_norm is not None:
        fold_in_place(weights, layer, weight)
        views["folded"] = _view(layer, weight, sparsity_eps=sparsity_eps)
    return LayerResult(views=views, pictures=chosen)


def _view(layer: Layer, weight: Array, *, sparsity_eps: float) -> LayerView:
    quality = layer_quality(by_outputs(layer, weight), sparsity_eps=sparsity_eps, name=layer.name)
    if not keeps_statistics(layer.kernel):
        return LayerView(quality=quality, sums=None)
    statistics = FilterStatistics.of_layer(weight, sparsity_eps=sparsity_eps, name=layer.name)
    return LayerView(quality=quality, sums=statistics.to_bytes())


def _pictures(weight: Array, *, most: int) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Up to `most` evenly spaced filters of a (out, in, kh, kw) weight as small whole numbers."""
    filters = weight.reshape(-1, math.prod(weight.shape[2:]))
    numbers = np.unique(np.linspace(0, len(filters) - 1, min(most, len(filters))).round().astype(np.int64))
    chosen = filters[numbers].astype(np.float64)
    peaks = np.abs(chosen).max(axis=1, keepdims=True)
    scaled = np.rint(127 * chosen / np.where(peaks == 0, 1, peaks)).astype(np.int64)
    return tuple((int(number), tuple(taps)) for number, taps in zip(numbers, scaled.tolist(), strict=True))


def fold_in_place(weights: Weights, layer: Layer, weight: Array) -> None:
    """Multiply the batch norm that follows the layer into its weight, which needs no second weight in memory."""
    sizes = weight.shape[:2] if layer.is_transposed else weight.shape[:1]
    factors = weights.folded(layer, np.ones((*sizes, *[1] * (weight.ndim - len(sizes)))))
    step = max(1, _BLOCK_WEIGHTS // weight[0].size)
    for start in range(0, len(weight), step):
        weight[start : start + step] = weight[start : start + step] * factors[start : start + step]


def by_outputs(layer: Layer, weight: Array) -> Array:
    """The weight as (out, in/groups, …), also that of a transposed convolution, which is stored as (in, out/groups, …).

    Where nothing says into how many groups it is divided, it counts as one.
    """
    if not layer.is_transposed:
        return weight
    groups = layer.groups or 1
    inputs, outputs, *kernel = weight.shape
    grouped = weight.reshape(groups, inputs // groups, outputs, *kernel)
    return grouped.swapaxes(1, 2).reshape(groups * outputs, inputs // groups, *kernel)
