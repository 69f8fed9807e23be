"""One number of the layers of several models over depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from hubapp.charts.frame import DASHES, MARKERS, MUTED, SERIES, Figure, axis, empty, figure
from hubapp.charts.lineage import plain


@dataclass(frozen=True, kw_only=True)
class DepthLine:
    """A number of each layer of one model: layer, depth (0 first … 1 last), value (None where it is not known)."""

    name: str
    points: Sequence[tuple[str, float, float | None]]


def over_depth(
    lines: Sequence[DepthLine],
    *,
    title: str,
    nothing: str,
    is_log: bool = False,
    marks: Sequence[float] = (),
    tickformat: str = "",
) -> Figure:
    """A line for each model; `marks` are levels that mean something, such as 1 for "random" or the bounds of a band.

    title    of the value's axis, unit included
    nothing  the sentence that stands in place of the chart where no model has a value
    """
    columns = ("Model", "Layer", "Depth", title)
    traces, table = [], []
    for place, line in enumerate(lines):
        known = sorted((point for point in line.points if point[2] is not None), key=lambda point: point[1])
        if is_log:
            known = [point for point in known if (point[2] or 0) > 0]
        if not known:
            continue
        look = place % len(SERIES)
        traces.append(
            go.Scatter(
                x=[depth for _, depth, _ in known],
                y=[value for *_, value in known],
                text=[plain(layer) for layer, *_ in known],
                name=plain(line.name),
                mode="lines+markers",
                line={"color": SERIES[look], "width": 1.5, "dash": DASHES[look]},
                marker={"color": SERIES[look], "symbol": MARKERS[look], "size": 6},
                hovertemplate="<b>%{text}</b><br>%{y:.3g}<extra>%{fullData.name}</extra>",
            )
        )
        table += [(line.name, *point) for point in known]
    if not table:
        return empty(nothing, columns=columns)
    scale: dict[str, Any] = (
        {"type": "log", "dtick": 1, "exponentformat": "power"} if is_log else {"rangemode": "tozero"}
    )
    dashed = {"color": MUTED, "width": 1, "dash": "dot"}
    return figure(
        traces,
        columns=columns,
        rows=table,
        height=320,
        xaxis=axis("Depth (0 first, 1 last layer)", range=[-0.03, 1.03]),
        yaxis=axis(title, **scale, **({"tickformat": tickformat} if tickformat else {})),
        shapes=[
            {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": mark, "y1": mark, "line": dashed}
            for mark in marks
        ],
        showlegend=True,
    )
