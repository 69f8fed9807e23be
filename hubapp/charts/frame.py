"""What every chart shares: palette, markers, axes, the table behind it, and what is shown when there is nothing.

Colours are written in the light theme's palette (after Okabe and Ito 2008, darkened for white paper). `meta.palette`
names the style sheet's variable of each, and the page's script puts the current theme's colour in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

SERIES = ("#0069a8", "#b85c00", "#007a5a", "#a8497e", "#6a51a3", "#7a6500", "#2b8cbe", "#8c2d04")
MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "triangle-down", "star")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid", "dash")
INK, MUTED, PAPER, ZERO = "#1c2427", "#566267", "#fffffe", "#f0f2f3"
LOW, HIGH = "#b85c01", "#0069a9"
PALETTE = {
    **{colour: f"--hs-series-{place}" for place, colour in enumerate(SERIES)},
    INK: "--hs-text",
    MUTED: "--hs-muted",
    PAPER: "--hs-surface",
    ZERO: "--hs-sunken",
    LOW: "--hs-series-1",
    HIGH: "--hs-series-0",
}

Figure = dict[str, Any]


def figure(
    traces: Sequence[Any],
    *,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    height: int | None = None,
    **layout: Any,
) -> Figure:
    """The chart as the plain dictionary that plotly.js draws.

    `columns` and `rows` are the values behind it, in words and numbers ("Show as table"). Raises ValueError for what
    plotly refuses.
    """
    drawn = go.Figure(list(traces), layout={"margin": MARGIN, "hovermode": "closest", "legend": LEGEND, **layout})
    drawn.layout.template = None
    if height is not None:
        drawn.layout.height = height
    drawn.layout.meta = {"palette": PALETTE, "table": {"columns": list(columns), "rows": [list(row) for row in rows]}}
    plain: Figure = drawn.to_dict()
    plain["layout"].pop("template", None)
    return plain


def empty(sentence: str, *, columns: Sequence[str] = ()) -> Figure:
    """A chart of nothing: no traces, and the sentence that the page shows in its place."""
    plain = figure([], columns=columns, rows=[])
    plain["layout"]["meta"]["empty"] = sentence
    return plain


def axis(title: str, **more: Any) -> dict[str, Any]:
    """An axis with its title (and unit)."""
    return {"title": {"text": title}, "zeroline": False, "automargin": True, **more}


def interval(
    low: Sequence[float | None], value: Sequence[float | None], high: Sequence[float | None]
) -> dict[str, Any]:
    """Error bars from the ends of intervals; a value without an interval gets none."""
    above = [0.0 if h is None or v is None else h - v for v, h in zip(value, high, strict=True)]
    below = [0.0 if lo is None or v is None else v - lo for lo, v in zip(low, value, strict=True)]
    return {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 1.5, "width": 0}


def band(name: str, colour: str, ends: Sequence[tuple[Any, Any, Any]], *, opacity: float) -> go.Scatter:
    """The area between the ends (x, low, high) of the intervals along a line, shown and hidden with it."""
    x, low, high = ([one[place] for one in ends] for place in range(3))
    return go.Scatter(
        x=[*x, *reversed(x)],
        y=[*high, *reversed(low)],
        fill="toself",
        fillcolor=colour,
        opacity=opacity,
        line={"width": 0, "color": colour},
        mode="lines",
        hoverinfo="skip",
        legendgroup=name,
        showlegend=False,
        name=f"{name}: interval",
    )


MARGIN = {"l": 8, "r": 12, "t": 8, "b": 8, "pad": 2}
LEGEND = {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"}
