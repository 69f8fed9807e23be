"""The charts of weight reports and of differences; rows go to `hubapp.charts.weights`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict
from django.urls import reverse

from hubapp.charts import weights as charts
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


def _matrix(report: Report, layer: str) -> Row:
    return next((row for row in report.rows("matrices") if row["layer"] == layer), {})


def _spectrum(report: Report, query: QueryDict) -> Figure:
    layer = spectrum_layer(report, query)
    matrix = _matrix(report, layer)
    bins = [row for row in report.rows("spectra") if row["layer"] == layer]
    low, high = matrix.get("bulk_low"), matrix.get("bulk_high")
    alpha, xmin, tail, total = (matrix.get(key) for key in ("alpha", "xmin", "n_tail", "eigenvalues"))
    return charts.spectrum(
        bins,
        edges=(low, high) if low is not None and high is not None else None,
        tail=charts.Tail(alpha=alpha, xmin=xmin, share=tail / total) if alpha and xmin and tail and total else None,
    )


def _of_table(table: str, draw: Callable[[list[Row]], Figure]) -> Callable[[Report, QueryDict], Figure]:
    return lambda report, query: draw(report.rows(table))


DRAWN: dict[str, Callable[[Report, QueryDict], Figure]] = {
    "alpha": _of_table("matrices", charts.alpha_over_depth),
    "norms": _of_table("matrices", charts.norms_over_depth),
    "spectrum": _spectrum,
    "low-rank": _of_table("low_rank", charts.kept_parameters),
}


def chart_address(report: Report, name: str, **query: str) -> str:
    """Where a chart of the report's outcome is; with its query it never changes. "" without an outcome."""
    if report.outcome is None:
        return ""
    address = reverse("weights:weight_chart", args=[report.outcome.pk, name])
    stated = {key: value for key, value in query.items() if value}
    return f"{address}?{urlencode(stated)}" if stated else address


def alpha_chart(report: Report) -> WeightChart:
    """α over depth."""
    return WeightChart(
        name="alpha",
        url=chart_address(report, "alpha"),
        caption="Power-law exponent α of each matrix over depth; the band from 2 to 6 is where trained layers lie.",
        height=340,
    )


def depth_charts(report: Report) -> list[WeightChart]:
    """What lies over depth."""
    if not report.rows("matrices"):
        return []
    norms = WeightChart(
        name="norms",
        url=chart_address(report, "norms"),
        caption="Stable rank (how many directions carry a matrix) and spectral norm (its largest eigenvalue) over "
        "depth.",
        height=400,
    )
    return [alpha_chart(report), norms]


def spectrum_chart(report: Report, layer: str) -> WeightChart:
    """The spectrum of one matrix."""
    matrix = _matrix(report, layer)
    edges = "; dotted: where the bulk of a random matrix would begin and end" if matrix.get("bulk_high") else ""
    tail = "; dashed: the power law that fits the largest ones" if matrix.get("alpha") else ""
    return WeightChart(
        name="spectrum",
        url=chart_address(report, "spectrum", layer=layer),
        caption=f"Density of the eigenvalues of {layer} on logarithmic axes{edges}{tail}.",
        height=340,
    )


def low_rank_chart(report: Report) -> WeightChart:
    """What low rank keeps."""
    return WeightChart(
        name="low-rank",
        url=chart_address(report, "low-rank"),
        caption="Parameters that are left when every matrix becomes two factors of the least rank that keeps a share "
        "of its energy, where the factors are smaller. Nothing is said of accuracy.",
    )
