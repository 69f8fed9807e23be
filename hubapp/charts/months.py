"""Counts by month, stacked."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from hubapp.charts.frame import LEGEND, MUTED, SERIES, Figure, axis, empty, figure


def monthly(
    months: Sequence[str], series: Sequence[tuple[str, Sequence[int]]], *, title: str, others: str = ""
) -> Figure:
    """A bar for each month (YYYY-MM), a part of it for each series; the series called `others` is drawn last and muted.

    `title` names what is counted.
    """
    columns = ("Month", *(name for name, _ in series))
    if not months or not series:
        return empty("There is nothing to count by month yet.", columns=columns)
    traces = [
        go.Bar(
            x=list(months),
            y=list(counts),
            name=name,
            marker={"color": MUTED if name == others else SERIES[place % len(SERIES)]},
            hovertemplate="%{x|%b %Y}: %{y:,}<extra>" + name.replace("%", "") + "</extra>",
        )
        for place, (name, counts) in enumerate(series)
    ]
    return figure(
        traces,
        columns=columns,
        rows=list(zip(months, *(counts for _, counts in series), strict=True)),
        height=380,
        barmode="stack",
        bargap=0.15,
        xaxis=axis("", type="date"),
        yaxis=axis(title),
        showlegend=True,
        legend={**LEGEND, "traceorder": "normal"},
    )
