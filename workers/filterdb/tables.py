"""The tables and the sums of the filter analysis, from the results of its layers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from workers.filterdb.layer_store import VIEWS, LayerResult, LayerView, View
from workers.kit import ModelRef, Sums, Table
from workers.sources.layers import Layer, Weights
from workers.statistics.filter_sums import BINS, FilterStatistics, histogram_edges
from workers.statistics.layer_groups import LayerGroup, depth_decile

LAYER_COLUMNS = (
    "layer",
    "view",
    "kind",
    "kernel",
    "shape",
    "dtype",
    "depth",
    "depth_source",
    "is_depthwise",
    "is_transposed",
    "groups",
    "filters",
    "sparsity",
    "variance_entropy",
    "randomness_threshold",
    "threshold_source",
    "variance_entropy_normalised",
    "clean_variance_entropy",
    "orthogonality",
    "norm_l1",
    "norm_l2",
    "verdict",
    "rule",
    "is_degenerate",
)
HISTOGRAM_COLUMNS = ("component", "low", "high", "count")
PICTURE_COLUMNS = ("layer", "kernel_height", "kernel_width", "filter", "values")
SKIPPED_COLUMNS = ("layer", "reason")
MAIN_KERNEL = (3, 3)

Results = Mapping[str, LayerResult]


def kernel_words(kernel: Sequence[int], between: str = "×") -> str:
    """ "3×3" for (3, 3), "7" for (7,)."""
    return between.join(str(size) for size in kernel)


def main_layers(layers: Sequence[Layer]) -> tuple[list[Layer], str]:
    """The layers that sentences are about, and what to say of their kernel after "layers".

    The 3 × 3 ones; of a model without, those of the kernel that most layers have, 1 × 1 only as the last. The kernel is
    named unless it is 3 × 3 and the model's only one of more than one weight.
    """
    counts = Counter(layer.kernel for layer in layers)
    kernel = max(counts, key=lambda one: (one == MAIN_KERNEL, math.prod(one) > 1, counts[one], -math.prod(one)))
    others = any(math.prod(one) > 1 for one in counts if one != kernel)
    words = f" of kernel size {kernel_words(kernel, ' × ')}" if others or kernel != MAIN_KERNEL else ""
    return [layer for layer in layers if layer.kernel == kernel], words


def kernel_counts(layers: Sequence[Layer], results: Results) -> dict[str, dict[str, int]]:
    """Layers and filters by kernel, most layers first."""
    layers_of: Counter[str] = Counter()
    filters_of: Counter[str] = Counter()
    for layer in layers:
        kernel = kernel_words(layer.kernel)
        layers_of[kernel] += 1
        filters_of[kernel] += results[layer.name].views["stored"].quality.n_filters
    return {kernel: {"layers": count, "filters": filters_of[kernel]} for kernel, count in layers_of.most_common()}


def kernels_sentence(kernels: Mapping[str, Mapping[str, int]], skipped: Mapping[str, int]) -> str:
    """Which kernels there are, and what was left out: "20 convolutions: 18 of size 3 × 3, 2 of size 1 × 1."."""
    total = sum(count["layers"] for count in kernels.values())
    each = ", ".join(f"{count['layers']} of size {kernel.replace('×', ' × ')}" for kernel, count in kernels.items())
    words = f"{total} {'convolution' if total == 1 else 'convolutions'}: {each}."
    for reason, count in skipped.items():
        words += f" {count} {'tensor was' if count == 1 else 'tensors were'} left out: {reason}."
    return words


def skipped_rows(weights: Weights, model: ModelRef) -> list[list[object]]:
    """The tensors that could be convolutions, by their dimensions, and are not analysed, with the reason."""
    return [
        [name, reason]
        for name, reason in weights.skipped
        if name not in model.tensors or len(model.tensors[name][0]) > 2
    ]


def layer_rows(layers: Sequence[Layer], results: Results) -> Iterator[list[object]]:
    """A row for each layer and view."""
    for layer in layers:
        for view in VIEWS:
            if (found := results[layer.name].views.get(view)) is not None:
                values = layer_values(layer, view, found)
                values |= {"kernel": kernel_words(layer.kernel), "shape": _shape_words(layer)}
                yield [values[name] for name in LAYER_COLUMNS]


def layer_values(layer: Layer, view: View, found: LayerView) -> dict[str, Any]:
    """What is known of a layer in one view, by the names of the columns of the table and of the Parquet file."""
    quality = found.quality
    return {
        "layer": layer.name,
        "view": view,
        "kind": layer.kind,
        "kernel": list(layer.kernel),
        "shape": list(layer.shape),
        "dtype": layer.dtype,
        "position": layer.position,
        "depth": layer.depth,
        "depth_source": layer.depth_source,
        "is_depthwise": layer.is_depthwise,
        "is_transposed": layer.is_transposed,
        "groups": layer.groups,
        "filters": quality.n_filters,
        "sparsity": quality.sparsity,
        "variance_entropy": quality.variance_entropy,
        "randomness_threshold": quality.randomness_threshold,
        "threshold_source": quality.threshold_source or None,
        "variance_entropy_normalised": quality.variance_entropy_normalised,
        "clean_variance_entropy": quality.clean_variance_entropy,
        "orthogonality": quality.orthogonality,
        "norm_l1": quality.norms.l1,
        "norm_l2": quality.norms.l2,
        "verdict": quality.verdict,
        "rule": quality.rule,
        "is_degenerate": quality.degenerate,
    }


def _shape_words(layer: Layer) -> str:
    return " × ".join(str(size) for size in layer.shape)


def picture_rows(layers: Sequence[Layer], results: Results) -> Iterator[list[object]]:
    """A row for each filter that is shown as a picture."""
    for layer in layers:
        for number, values in results[layer.name].pictures:
            yield [layer.name, *layer.kernel, number, list(values)]


def basis_tables(layers: Sequence[Layer], results: Results) -> tuple[dict[str, Table], dict[str, object]]:
    """The PCA and the histograms of the 3 × 3 filters of the stored view, and what their provenance adds."""
    statistics = FilterStatistics.empty(kernel=MAIN_KERNEL)
    for layer in layers:
        if layer.kernel == MAIN_KERNEL and (found := results[layer.name].views["stored"].statistics) is not None:
            statistics = statistics.merge(found)
    columns = ("component", "explained_variance_ratio", *(f"w{tap}" for tap in range(9)))
    tables = {"pca": Table(columns=columns, rows=[]), "histograms": Table(columns=HISTOGRAM_COLUMNS, rows=[])}
    if statistics.n == 0:
        return tables, {}
    basis = statistics.pca()
    shares = zip(basis.explained_variance_ratio, basis.components, strict=True)
    tables["pca"] = Table(
        columns=columns,
        rows=[[place, float(ratio), *(float(value) for value in axis)] for place, (ratio, axis) in enumerate(shares)],
    )
    edges = histogram_edges(MAIN_KERNEL)
    tables["histograms"] = Table(
        columns=HISTOGRAM_COLUMNS,
        rows=[
            [component, float(edges[place]), float(edges[place + 1]), int(statistics.histograms[component, place])]
            for component in range(9)
            for place in range(BINS)
        ],
    )
    return tables, {
        "pca_mean": [float(value) for value in basis.mean],
        "sparse_filters": statistics.n_sparse,
        "largest_weight": statistics.largest,
    }


def group_sums(layers: Sequence[Layer], results: Results) -> Iterator[Sums]:
    """The layer groups: sums over the layers of one kernel, view and depth decile, of 2-D kernels of 2 to 49 weights.

    The folded ones hold the layers without a batch norm as stored, and are there only where the model has one.
    """
    has_norm = any("folded" in results[layer.name].views for layer in layers)
    groups: dict[tuple[str, View, int], LayerGroup] = {}
    for layer in layers:
        views = results[layer.name].views
        if len(layer.kernel) != 2 or views["stored"].sums is None:
            continue
        for view in VIEWS if has_norm else VIEWS[:1]:
            statistics = views.get(view, views["stored"]).statistics
            if statistics is None:
                continue
            key = ("x".join(str(size) for size in layer.kernel), view, depth_decile(layer.depth))
            group = LayerGroup.of_layer(statistics)
            groups[key] = groups[key].merge(group) if key in groups else group
    for (kernel, view, decile), group in sorted(groups.items()):
        labels: dict[str, str | int] = {"kernel": kernel, "view": view, "decile": decile, "layers": group.layers}
        yield Sums(kind="layer_group", labels=labels, payload=group.to_bytes())
