"""The charts of one model's filter report; rows go to `hubapp.charts`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict
from django.urls import reverse

from hubapp import charts
from hubapp.charts import Estimate
from hubapp.charts.frame import empty
from hubapp.charts.lineage import plain
from hubapp.charts.pictures import filter_pictures
from hubapp.filterdb.axes import Axis
from hubapp.filterdb.layers import LayerChoice, layer_rows, layers_chosen, pictured_layers
from hubapp.filterdb.positions import Position
from hubapp.results.reports import Report, chosen

Figure = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ModelChart:
    """A chart of the report: its address, caption and height in pixels."""

    name: str
    url: str
    caption: str
    height: int = 300


def _health(report: Report, query: QueryDict) -> Figure:
    return charts.layer_health(layers_chosen(layer_rows(report), query).drawn)  # type: ignore[arg-type]


def _sparsity(report: Report, query: QueryDict) -> Figure:
    return charts.sparsity_over_depth(layers_chosen(layer_rows(report), query).drawn)  # type: ignore[arg-type]


def _pictures(report: Report, query: QueryDict) -> Figure:
    layers = pictured_layers(report)
    layer = chosen(query, "layer", layers, or_else=layers[0] if layers else "")
    return filter_pictures([row for row in report.rows("pictures") if row["layer"] == layer])  # type: ignore[misc]


def _of_table(table: str, draw: Callable[[Any], Figure]) -> Callable[[Report, QueryDict], Figure]:
    return lambda report, query: draw(report.rows(table))


DRAWN: dict[str, Callable[[Report, QueryDict], Figure]] = {
    "health": _health,
    "sparsity": _sparsity,
    "pictures": _pictures,
    "variance": _of_table("pca", charts.explained_variance),
    "basis": _of_table("pca", charts.basis_filters),
    "coefficients": _of_table("histograms", charts.coefficient_histograms),
}


def chart_address(report: Report, name: str, **query: str) -> str:
    """Where a chart of the report's outcome is; with its query it never changes. "" without an outcome."""
    if report.outcome is None:
        return ""
    address = reverse("filterdb:model_chart", args=[report.outcome.pk, name])
    stated = {key: value for key, value in query.items() if value}
    return f"{address}?{urlencode(stated)}" if stated else address


def health_chart(report: Report, layers: LayerChoice) -> ModelChart:
    """Entropy, threshold and verdict over depth, of one kernel size in the chosen view."""
    return ModelChart(
        name="health",
        url=chart_address(report, "health", view=layers.view, kernel=layers.kernel),
        caption=f"Variance entropy of each {layers.drawn_kernel} layer over depth, with its randomness threshold and "
        f"verdict; weights {layers.view_words}.",
        height=360,
    )


def depth_charts(report: Report, layers: LayerChoice) -> list[ModelChart]:
    """What lies over depth, of one kernel size in the chosen view."""
    if not layers.drawn:
        return []
    sparsity = ModelChart(
        name="sparsity",
        url=chart_address(report, "sparsity", view=layers.view, kernel=layers.kernel),
        caption=f"Share of filters whose weights all lie below 1% of the layer's largest, {layers.drawn_kernel} "
        f"kernels; weights {layers.view_words}.",
        height=360,
    )
    return [health_chart(report, layers), sparsity]


def basis_charts(report: Report) -> list[ModelChart]:
    """Basis, variance and coefficients of the 3 × 3 filters as stored, where there are such."""
    found = []
    if report.rows("pca"):
        found = [
            ModelChart(
                name="basis",
                url=chart_address(report, "basis"),
                caption="The nine basis filters (principal components of the scaled 3 × 3 filters as stored), most "
                "variance first, with the share that each explains.",
                height=180,
            ),
            ModelChart(
                name="variance",
                url=chart_address(report, "variance"),
                caption="Share of the variance of all 3 × 3 filters as stored that each basis filter explains.",
                height=260,
            ),
        ]
    if report.rows("histograms"):
        found.append(
            ModelChart(
                name="coefficients",
                url=chart_address(report, "coefficients"),
                caption="How the coefficients of the 3 × 3 filters as stored spread in the fixed DCT basis, version 1.",
                height=380,
            )
        )
    return found


def picture_chart(report: Report, layer: str) -> ModelChart:
    """The filters of one layer as pictures."""
    rows = [row for row in report.rows("pictures") if row["layer"] == layer]
    return ModelChart(
        name="pictures",
        url=chart_address(report, "pictures", layer=layer),
        caption=f"{len(rows)} filters of {layer}, evenly spaced over the layer; each scaled by its own largest weight, "
        "zero is the ground.",
        height=min(460, 40 + -(-len(rows) // 8) * 52),
    )


def position_chart(axis: Axis, position: Position | None) -> Figure:
    """The drift of a model to each group of an axis, the nearest on top."""
    if position is None or not position.distances:
        return empty(f"By {axis.title.lower()} there is no group to set this model against.")
    rows = [Estimate(name=plain(one.group), value=one.value, low=one.low, high=one.high) for one in position.distances]
    return charts.ranking(rows, title="Drift from this model")
