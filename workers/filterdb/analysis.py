"""The filter analysis of one model revision: quality of every 3 × 3 layer, and the model's filter basis."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from workers.filterdb.entries import FilterdbSpec, is_filter_layer
from workers.filterdb.quality import LayerQuality, Verdict, layer_quality
from workers.kit import Context, Outcome, Score, Table, UserError
from workers.sources.checkpoints import iter_tensors
from workers.sources.headers import TensorHeader, read_headers
from workers.statistics.filter_sums import BASIS_VERSION, BINS, FilterStatistics, histogram_edges

LAYER_COLUMNS = (
    "layer",
    "depth",
    "shape",
    "filters",
    "sparsity",
    "variance_entropy",
    "randomness_threshold",
    "variance_entropy_normalised",
    "clean_variance_entropy",
    "orthogonality",
    "norm_l1",
    "norm_l2",
    "verdict",
    "rule",
    "is_degenerate",
    "is_depthwise",
)
HISTOGRAM_COLUMNS = ("component", "low", "high", "count")
VERDICTS: tuple[Verdict, ...] = ("healthy", "random", "sparse", "redundant", "not assessable")
_UNHEALTHY = VERDICTS[1:]


def run(spec: FilterdbSpec, context: Context) -> Outcome:
    """Analyse every 3 × 3 convolution layer of `context.model`, one tensor at a time.

    Raises UserError if there is no such layer, if a file cannot be read, and for NaN or infinite weights.
    """
    if context.model is None:
        raise UserError("The filter analysis needs a model: choose one.")
    started = time.perf_counter()
    paths = [Path(file) for file in context.model.files]
    kernels = [header for header in read_headers(paths) if len(header.shape) == 4]
    depths = {header.name: place / max(len(kernels) - 1, 1) for place, header in enumerate(kernels)}
    names = [header.name for header in kernels if is_filter_layer(header.shape, header.dtype)]
    if not names:
        raise UserError("This model has no 3 × 3 convolution, so it has no filters to analyse.")

    qualities: dict[str, tuple[TensorHeader, LayerQuality]] = {}
    statistics = FilterStatistics.empty()
    context.checkpoint(0, len(names))
    for header, weight in iter_tensors(paths, names=set(names)):
        qualities[header.name] = (
            header,
            layer_quality(weight, sparsity_eps=spec.sparsity_eps, name=header.name),
        )
        statistics = statistics.merge(
            FilterStatistics.of_layer(weight, sparsity_eps=spec.sparsity_eps, name=header.name)
        )
        context.checkpoint(len(qualities), len(names), header.name)

    layers = [(*qualities[name], depths[name]) for name in names]
    found = [quality for _header, quality, _depth in layers]
    verdicts = Counter(quality.verdict for quality in found)
    basis = statistics.pca()
    edges = histogram_edges((3, 3))
    sentence = findings_sentence(found, [depth for *_, depth in layers])
    context.log(sentence)
    return Outcome(
        summary={
            "layers": len(found),
            "verdicts": {verdict: verdicts[verdict] for verdict in VERDICTS if verdicts[verdict]},
            "filters": statistics.n,
            "sentence": sentence,
        },
        scores=(
            _weighted_score("sparsity", found, [quality.sparsity for quality in found]),
            _weighted_score("variance_entropy", found, [quality.variance_entropy for quality in found]),
            _weighted_score("orthogonality", found, [quality.orthogonality for quality in found]),
        ),
        tables={
            "layers": Table(
                columns=LAYER_COLUMNS,
                rows=[_layer_row(header, quality, depth) for header, quality, depth in layers],
            ),
            "pca": Table(
                columns=("component", "explained_variance_ratio", *(f"w{tap}" for tap in range(9))),
                rows=[
                    [component, float(ratio), *(float(value) for value in axis)]
                    for component, (ratio, axis) in enumerate(
                        zip(basis.explained_variance_ratio, basis.components, strict=True)
                    )
                ],
            ),
            "histograms": Table(
                columns=HISTOGRAM_COLUMNS,
                rows=[
                    [
                        component,
                        float(edges[place]),
                        float(edges[place + 1]),
                        int(statistics.histograms[component, place]),
                    ]
                    for component in range(9)
                    for place in range(BINS)
                ],
            ),
        },
        provenance={
            "depth": "place among all 4-D kernels in the order of the weight files (safetensors sorted by name: in the "
            "natural order of the names), from 0 (first) to 1 (last)",
            "filters": "one per (output, input) channel pair, 3 × 3 kernels only; raw weights, batch norm not folded",
            "scores": "means over the 3 × 3 layers, weighted by their filters; undefined ones are left out",
            "depthwise": "one input channel per output channel and more than one output channel, as the shape says",
            "pca": "filters scaled by their largest absolute weight, float64 sums, population covariance, "
            "largest loading positive",
            "histograms": f"orthonormal 2-D DCT-II, basis version {BASIS_VERSION}, no centring, {BINS} bins on [-3, 3]",
            "pca_mean": [float(value) for value in basis.mean],
            "sparse_filters": statistics.n_sparse,
            "largest_weight": statistics.largest,
            "sparsity_rule": f"all weights strictly below {spec.sparsity_eps} × the layer's largest absolute weight",
            "analysis_seconds": time.perf_counter() - started,
        },
    )


def findings_sentence(qualities: Sequence[LayerQuality], depths: Sequence[float]) -> str:
    """What was found: "2 of 18 layers are random (after depth 0.8); the other 16 are healthy."."""
    total = len(qualities)
    counts = Counter(quality.verdict for quality in qualities)
    layers = "layer" if total == 1 else "layers"
    if counts["healthy"] == total:
        return "The only layer is healthy." if total == 1 else f"All {total} layers are healthy."
    named = [verdict for verdict in _UNHEALTHY if counts[verdict]]
    parts = []
    for place, verdict in enumerate(named):
        count = counts[verdict]
        subject = f"{count} of {total} {layers}" if place == 0 else str(count)
        parts.append(f"{subject} {'is' if count == 1 else 'are'} {verdict}{_where(qualities, depths, verdict)}")
    sentence = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    rest = counts["healthy"]
    if rest:
        sentence += f"; the other {'one is' if rest == 1 else f'{rest} are'} healthy"
    return f"{sentence}."


def _where(qualities: Sequence[LayerQuality], depths: Sequence[float], verdict: str) -> str:
    """ ", after depth 0.8" or ", before depth 0.2" where all layers of a verdict lie in the last or first fifth."""
    places = [depth for quality, depth in zip(qualities, depths, strict=True) if quality.verdict == verdict]
    if len(qualities) < 5 or len(places) == len(qualities):
        return ""
    if min(places) >= 0.8:
        return " (after depth 0.8)"
    return " (before depth 0.2)" if max(places) <= 0.2 else ""


def _weighted_score(metric: str, qualities: Sequence[LayerQuality], values: Sequence[float | None]) -> Score:
    pairs = [(value, quality.n_filters) for value, quality in zip(values, qualities, strict=True) if value is not None]
    if not pairs:
        return Score(metric=metric, value=None, note="No layer has a value.")
    weight = sum(count for _value, count in pairs)
    return Score(metric=metric, value=sum(value * count for value, count in pairs) / weight)


def _layer_row(header: TensorHeader, quality: LayerQuality, depth: float) -> list[object]:
    return [
        header.name,
        depth,
        " × ".join(str(size) for size in header.shape),
        quality.n_filters,
        quality.sparsity,
        quality.variance_entropy,
        quality.randomness_threshold,
        quality.variance_entropy_normalised,
        quality.clean_variance_entropy,
        quality.orthogonality,
        quality.norms.l1,
        quality.norms.l2,
        quality.verdict,
        quality.rule,
        quality.degenerate,
        header.shape[1] == 1 and header.shape[0] > 1,
    ]
