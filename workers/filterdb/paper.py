"""Drift in the paper's own convention: basis and range are fitted to the filters at hand, by further passes over them.

"CNN Filter DB" (Gavrikov and Keuper, CVPR 2022), `main.ipynb`: filters scaled by their largest weight; PCA of all of
them together, the loading of largest magnitude positive; 70 bins over the range of all coefficients; D weighted by the
explained variance ratio of that PCA. A further filter changes every number: they compare within one run only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.filterdb.paper_entries import PaperDriftSpec
from workers.kit import Context, Outcome, Table, UserError
from workers.sources.layers import Layer, Weights, open_weights
from workers.statistics.drift import probabilities, symmetric_divergence
from workers.statistics.filter_sums import BINS, FilterBasis, FilterStatistics

Floats = npt.NDArray[np.float64]
Grouped = Iterable[tuple[int, npt.NDArray[Any]]]

CONVENTION = (
    "The paper's own: PCA basis with mean removed and one range of the coefficients, both fitted to all filters of "
    "these groups; 70 bins; empty bins at float32's epsilon as density; weights: explained variance ratio of that PCA. "
    "Another choice of models changes every number."
)
_BLOCK = 2**16


@dataclass(frozen=True, eq=False, kw_only=True)
class PaperDrift:
    """Drift between groups of filters with what it was fitted to.

    basis       principal axes and mean of all filters together
    low, high   ends of the histograms: the smallest and the largest coefficient
    histograms  counts, (G, taps, 70)
    drift       (G, G)
    """

    basis: FilterBasis
    low: float
    high: float
    histograms: npt.NDArray[np.int64]
    drift: Floats


def paper_drift(read: Callable[[], Grouped], *, groups: int, bins: int = BINS) -> PaperDrift:
    """The drift between groups of filters; `read` starts a pass and yields (group, weight (out, in, kh, kw)).

    It is called three times: for the basis, the range and the histograms. Raises UserError for NaN or infinite weights,
    for a group without filters, and where all filters are equal, so that there is no range.
    """
    sums: list[FilterStatistics | None] = [None] * groups
    for group, weight in read():
        part, known = FilterStatistics.of_layer(weight), sums[group]
        sums[group] = part if known is None else known.merge(part)
    found = [one for one in sums if one is not None]
    if not found or len(found) < groups:
        raise UserError("A group has no filter of this kernel size: leave it out, or choose another kernel.")
    whole = found[0]
    for one in found[1:]:
        whole = whole.merge(one)
    basis = whole.pca()
    low, high = _range(read(), basis)
    if low == high:
        raise UserError("All filters of these groups are equal, so there is nothing to compare.")
    counts = np.zeros((groups, len(basis.mean), bins), dtype=np.int64)
    for group, weight in read():
        for values in _coefficients(weight, basis):
            for axis, column in enumerate(values.T):
                counts[group, axis] += np.histogram(column, bins=bins, range=(low, high))[0]
    chances = probabilities(counts, width=(high - low) / bins)
    divergences = symmetric_divergence(chances[:, None], chances[None, :])
    return PaperDrift(
        basis=basis, low=low, high=high, histograms=counts, drift=divergences @ basis.explained_variance_ratio
    )


def run(spec: PaperDriftSpec, context: Context) -> Outcome:
    """The job "filter_drift_paper" over the models that the parameters name, each in its group.

    Raises UserError if none is named, if a model cannot be read or a group has no such filter.
    """
    if not spec.models:
        raise UserError("Name two models or more, and the group of each.", field="models")
    names = list(dict.fromkeys(spec.groups))
    with ExitStack() as stack:
        opened = [stack.enter_context(open_weights(context.others[name])) for name in spec.models]
        chosen = [_chosen(weights, spec) for weights in opened]
        places = [names.index(group) for group in spec.groups]
        for place, name in enumerate(names):
            if not any(layers for layers, group in zip(chosen, places, strict=True) if group == place):
                raise UserError(f"The group “{name}” has no {spec.kernel} convolution: leave it out.")
        total, done = 3 * sum(map(len, chosen)), 0

        def read() -> Iterator[tuple[int, npt.NDArray[Any]]]:
            nonlocal done
            for weights, layers, group in zip(opened, chosen, places, strict=True):
                for layer in layers:
                    context.checkpoint(done, total, layer.name)
                    weight = weights.read(layer.name)
                    yield group, weights.folded(layer, weight) if spec.view == "folded" else weight
                    done += 1

        found = paper_drift(read, groups=len(names))
        context.checkpoint(total, total)
    return _outcome(spec, names, [len(layers) for layers in chosen], found)


def _chosen(weights: Weights, spec: PaperDriftSpec) -> list[Layer]:
    kernel = tuple(int(size) for size in spec.kernel.split("x"))
    return [layer for layer in weights.layers if layer.kernel == kernel]


def _range(passed: Grouped, basis: FilterBasis) -> tuple[float, float]:
    low, high = np.inf, -np.inf
    for _, weight in passed:
        for values in _coefficients(weight, basis):
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    return low, high


def _coefficients(weight: npt.NDArray[Any], basis: FilterBasis) -> Iterator[Floats]:
    """The coefficients (n, taps) of a layer's filters, block by block."""
    filters = weight.reshape(-1, len(basis.mean))
    for start in range(0, len(filters), _BLOCK):
        block = filters[start : start + _BLOCK].astype(np.float64)
        peaks = np.abs(block).max(axis=1, keepdims=True)
        peaks[peaks == 0] = 1
        yield (block / peaks - basis.mean) @ basis.components.T


def _outcome(spec: PaperDriftSpec, names: list[str], layers: list[int], found: PaperDrift) -> Outcome:
    pairs = [(i, j) for i in range(len(names)) for j in range(i + 1, len(names))]
    far = max(pairs, key=lambda pair: found.drift[pair])
    filters = found.histograms[:, 0].sum(axis=1)
    sentence = (
        f"In the paper's own convention, “{names[far[0]]}” and “{names[far[1]]}” lie "
        f"{'furthest ' if len(pairs) > 1 else ''}apart: drift {found.drift[far]:.3f}."
    )
    taps = len(found.basis.mean)
    edges = np.linspace(found.low, found.high, found.histograms.shape[2] + 1)
    tables = {
        "drift": Table(
            columns=("group", "other", "drift"), rows=[[names[i], names[j], float(found.drift[i, j])] for i, j in pairs]
        ),
        "groups": Table(
            columns=("group", "models", "layers", "filters"),
            rows=[
                [
                    name,
                    spec.groups.count(name),
                    sum(count for count, group in zip(layers, spec.groups, strict=True) if group == name),
                    int(filters[place]),
                ]
                for place, name in enumerate(names)
            ],
        ),
        "pca": Table(
            columns=("component", "explained_variance_ratio", *(f"w{tap}" for tap in range(taps))),
            rows=[
                [axis, float(found.basis.explained_variance_ratio[axis]), *map(float, found.basis.components[axis])]
                for axis in range(taps)
            ],
        ),
        "histograms": Table(
            columns=("group", "component", "low", "high", "count"),
            rows=[
                [name, axis, float(edges[place]), float(edges[place + 1]), int(found.histograms[group, axis, place])]
                for group, name in enumerate(names)
                for axis in range(taps)
                for place in range(len(edges) - 1)
            ],
        ),
    }
    return Outcome(
        summary={
            "sentence": sentence,
            "convention": CONVENTION,
            "kernel": spec.kernel,
            "view": spec.view,
            "groups": len(names),
            "models": len(spec.models),
            "filters": int(filters.sum()),
            "range": [found.low, found.high],
        },
        tables=tables,
        provenance={"convention": CONVENTION},
    )
