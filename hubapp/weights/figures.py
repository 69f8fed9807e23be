"""The charts of weight reports and of differences; rows go to `hubapp.charts`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict
from django.urls import reverse

from hubapp.charts import blocks, weights
from hubapp.results.reports import Report, Row, chosen

Figure = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class WeightChart:
    """A chart of a report: its address, caption and height in pixels."""

    name: str
    url: str
    caption: str
    height: int = 320


def spectrum_layers(report: Report) -> list[str]:
    """The layers whose spectra were kept, in the order of the analysis."""
    return list(dict.fromkeys(str(row["layer"]) for row in report.rows("spectra")))


def spectrum_layer(report: Report, query: QueryDict) -> str:
    """The layer whose spectrum the address asks for by `?layer=`; the first one without."""
    layers = spectrum_layers(report)
    return chosen(query, "layer", layers, or_else=layers[0] if layers else "")


def stacks(report: Report) -> list[str]:
    """The stacks of blocks, the one with most pairs first."""
    counts: dict[str, int] = {}
    for row in report.rows("blocks"):
        counts[str(row["stack"])] = counts.get(str(row["stack"]), 0) + 1
    return sorted(counts, key=lambda stack: (-counts[stack], stack))


def stack(report: Report, query: QueryDict) -> str:
    """The stack that the address asks for by `?stack=`; the largest one without."""
    offered = stacks(report)
    return chosen(query, "stack", offered, or_else=offered[0] if offered else "")


def _matrix(report: Report, layer: str) -> Row:
    return next((row for row in report.rows("matrices") if row["layer"] == layer), {})


def _spectrum(report: Report, query: QueryDict) -> Figure:
    layer = spectrum_layer(report, query)
    matrix = _matrix(report, layer)
    bins = [row for row in report.rows("spectra") if row["layer"] == layer]
    low, high = matrix.get("bulk_low"), matrix.get("bulk_high")
    alpha, xmin, tail, total = (matrix.get(key) for key in ("alpha", "xmin", "n_tail", "eigenvalues"))
    return weights.spectrum(
        bins,
        edges=(low, high) if low is not None and high is not None else None,
        tail=weights.Tail(alpha=alpha, xmin=xmin, share=tail / total) if alpha and xmin and tail and total else None,
    )


def _low_rank(report: Report, query: QueryDict) -> Figure:
    kinds = {row["layer"]: row["kind"] for row in report.rows("matrices")}
    return weights.kept_parameters([{**row, "kind": kinds.get(row["layer"], "")} for row in report.rows("low_rank")])


def _blocks(report: Report, query: QueryDict) -> Figure:
    wanted = stack(report, query)
    return blocks.block_likeness([row for row in report.rows("blocks") if row["stack"] == wanted])


def _of_table(table: str, draw: Callable[[list[Row]], Figure]) -> Callable[[Report, QueryDict], Figure]:
    return lambda report, query: draw(report.rows(table))


DRAWN: dict[str, dict[str, Callable[[Report, QueryDict], Figure]]] = {
    "weights": {
        "alpha": _of_table("matrices", weights.alpha_over_depth),
        "norms": _of_table("matrices", weights.norms_over_depth),
        "spectrum": _spectrum,
        "low-rank": _low_rank,
        "blocks": _blocks,
        "straightness": _of_table("depth_linearity", blocks.straightness),
    },
    "weight_difference": {"change": _of_table("layers", blocks.change_over_depth)},
}


def _chart(report: Report, name: str, caption: str, *, height: int = 320, **query: str) -> WeightChart:
    """A chart of the report's outcome; with its query it never changes."""
    assert report.outcome is not None  # noqa: S101 - charts are those of an outcome
    address = reverse("weights:weight_chart", args=[report.outcome.pk, name])
    url = f"{address}?{urlencode(query)}" if query else address
    return WeightChart(name=name, url=url, caption=caption, height=height)


def alpha_chart(report: Report) -> WeightChart:
    """α over depth."""
    caption = "Power-law exponent α of each matrix over depth; the band from 2 to 6 is where trained layers lie."
    return _chart(report, "alpha", caption, height=340)


def depth_charts(report: Report) -> list[WeightChart]:
    """What lies over depth."""
    if not report.rows("matrices"):
        return []
    caption = (
        "Stable rank (how many directions carry a matrix) and spectral norm (its largest eigenvalue) of each matrix "
        "over depth."
    )
    return [alpha_chart(report), _chart(report, "norms", caption, height=400)]


def spectrum_chart(report: Report, layer: str) -> WeightChart:
    """The spectrum of one matrix."""
    matrix = _matrix(report, layer)
    edges = "; dotted: where the bulk of a random matrix would begin and end" if matrix.get("bulk_high") else ""
    tail = "; dashed: the power law that fits the largest ones" if matrix.get("alpha") else ""
    caption = f"Density of the eigenvalues of {layer} on logarithmic axes{edges}{tail}."
    return _chart(report, "spectrum", caption, height=340, layer=layer)


def low_rank_chart(report: Report) -> WeightChart:
    """What low rank keeps."""
    caption = (
        "Parameters that are left when every matrix becomes two factors of the least rank that keeps a share of its "
        "energy, where the factors are smaller. Nothing is said of accuracy."
    )
    return _chart(report, "low-rank", caption)


def blocks_chart(report: Report, name: str) -> WeightChart:
    """The likeness of the blocks of a stack."""
    rows = [row for row in report.rows("blocks") if row["stack"] == name]
    count = len({row["block_a"] for row in rows} | {row["block_b"] for row in rows})
    caption = f"Cosine of every two blocks of “{name}”: 1 is equal up to scale, 0 has nothing in common."
    return _chart(report, "blocks", caption, height=min(640, 150 + 40 * count), stack=name)


def straightness_chart(report: Report) -> WeightChart | None:
    """How straight roles run over depth; None where none has three blocks."""
    rows = [row for row in report.rows("depth_linearity") if row["expected"] is not None]
    caption = (
        "Share of each role's variance over the blocks that a straight line in depth explains, beside what tensors in "
        "any order give."
    )
    return _chart(report, "straightness", caption, height=110 + 22 * len(rows)) if rows else None


def change_chart(report: Report) -> WeightChart:
    """What changed over depth."""
    caption = "How far each layer moved from the base, and how many directions hold 90% of its change, over depth."
    return _chart(report, "change", caption, height=400)
