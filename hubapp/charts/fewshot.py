"""Charts of few-shot results: quality over labels per class, and how far others are behind the leader."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from hubapp.charts.frame import DASHES, INK, MARKERS, MUTED, SERIES, Figure, axis, band, empty, figure, interval
from hubapp.charts.rows import Estimate, Series, ShotPoint

CURVES_PIXELS, LEGEND_PIXELS = 400, 14
LEAD_PIXELS, LINE_PIXELS = 80, 28
BEHIND = 1.15  # of the axis, on both sides of what was drawn


def curves_height(lines: int) -> int:
    """Pixels of a chart of so many curves: their legend takes room."""
    return CURVES_PIXELS + LEGEND_PIXELS * max(0, lines - 4)


def fewshot_curves(series: Sequence[Series], *, title: str = "Accuracy") -> Figure:
    """Quality over labels per class: a line for each model, its band, and its replicates as faint dots.

    The x axis is logarithmic; "all" (shots = 0) stands apart at twice the largest k. What reads no labels (shots None)
    is a dotted line from side to side.
    """
    columns = ("Model", "Labels per class", title, "Low", "High", "Replicates")
    known = [point for curve in series for point in curve.points if point.value is not None]
    if not known:
        return empty("No few-shot evaluation has finished here yet.", columns=columns)
    counts = sorted({point.shots for point in known if point.shots is not None})
    apart = 2 * max(counts) if counts and max(counts) > 0 else 1
    places, labels = _ticks(counts, apart)
    first, last = min(places) / 1.2, max(places) * 1.2
    traces: list[go.Scatter] = []
    table = []
    for place, curve in enumerate(series):
        points = sorted((point for point in curve.points if point.value is not None), key=_place)
        aside = 1.025 ** (place - (len(series) - 1) / 2)  # "all" has no line to follow: points side by side
        look = _look(curve, place)
        drawn = [point for point in points if point.shots is not None]
        if drawn:
            traces += _curve(curve.name, drawn, apart=apart * aside, look=look)
        traces += [
            _baseline(curve.name, point, ends=(first, last), look=look, is_main=not drawn)
            for point in points
            if point.shots is None
        ]
        table += [
            (curve.name, _labels(point), point.value, point.low, point.high, len(point.replicates)) for point in points
        ]
    shapes = []
    if 0 in counts and len(counts) > 1:
        middle = apart / math.sqrt(2)
        line = {"color": MUTED, "width": 1, "dash": "dot"}
        shapes.append({"type": "line", "x0": middle, "x1": middle, "y0": 0, "y1": 1, "yref": "paper", "line": line})
    return figure(
        traces,
        columns=columns,
        rows=table,
        height=curves_height(len(series)),
        xaxis=axis(
            "Labels per class (log scale)",
            type="log",
            tickmode="array",
            tickvals=places,
            ticktext=labels,
            range=[math.log10(first), math.log10(last)],
        ),
        yaxis=axis(title),
        shapes=shapes,
    )


def _place(point: ShotPoint) -> float:
    return -1.0 if point.shots is None else float(point.shots or math.inf)


def _labels(point: ShotPoint) -> str | int:
    return "no labels" if point.shots is None else point.shots or "all"


def _ticks(counts: Sequence[int], apart: float) -> tuple[list[float], list[str]]:
    ticks = [count for count in counts if count > 0]
    places, labels = [float(tick) for tick in ticks], [str(tick) for tick in ticks]
    if 0 in counts:
        places.append(float(apart))
        labels.append("all")
    return (places, labels) if places else ([1.0], ["no labels"])


def _look(curve: Series, place: int) -> dict[str, Any]:
    """Colour and marker go round at different paces, so that the ninth colour has another marker than the first."""
    colour = place if curve.colour is None else curve.colour
    dash = place if curve.dash is None else curve.dash
    return {
        "color": SERIES[colour % len(SERIES)],
        "symbol": MARKERS[(colour + colour // len(SERIES)) % len(MARKERS)],
        "dash": DASHES[dash % len(DASHES)],
    }


def _baseline(
    name: str, point: ShotPoint, *, ends: tuple[float, float], look: dict[str, Any], is_main: bool
) -> go.Scatter:
    # In the middle as well, so that it can be pointed at there.
    x = [ends[0], math.sqrt(ends[0] * ends[1]), ends[1]]
    return go.Scatter(
        x=x,
        y=[point.value] * len(x),
        mode="lines",
        line={"color": look["color"], "width": 2, "dash": "dot"},
        customdata=[_range(point)] * len(x),
        hovertemplate="<b>%{fullData.name}</b><br>no labels: %{y:.3f}%{customdata}<extra></extra>",
        legendgroup=name,
        showlegend=is_main,
        name=name,
    )


def _curve(name: str, points: Sequence[ShotPoint], *, apart: float, look: dict[str, Any]) -> list[go.Scatter]:
    colour, symbol = look["color"], look["symbol"]
    known = [point for point in points if point.shots]
    parts = []
    banded = [point for point in known if point.low is not None and point.high is not None]
    if len(banded) > 1:
        parts.append(band(name, colour, [(one.shots, one.low, one.high) for one in banded], opacity=0.15))
    dots = [(point.shots or apart, value) for point in points for value in point.replicates]
    if dots:
        parts.append(
            go.Scatter(
                x=[dot[0] for dot in dots],
                y=[dot[1] for dot in dots],
                mode="markers",
                marker={"color": colour, "size": 4, "symbol": symbol},
                opacity=0.35,
                hoverinfo="skip",
                legendgroup=name,
                showlegend=False,
                name=f"{name}: replicates",
            )
        )
    hover = "<b>%{fullData.name}</b><br>%{customdata[0]} labels per class: %{y:.3f}%{customdata[1]}<extra></extra>"
    whole = [point for point in points if point.shots == 0]
    for chosen, is_main in ((known, True), (whole, not known)):
        if not chosen:
            continue
        ends = [point.low for point in chosen], [point.value for point in chosen], [point.high for point in chosen]
        # A single number of labels has no band.
        has_bars = not (is_main and known) or len(known) == 1
        bars = {"error_y": {**interval(*ends), "color": colour}} if has_bars else {}
        parts.append(
            go.Scatter(
                x=[point.shots or apart for point in chosen],
                y=[point.value for point in chosen],
                mode="lines+markers",
                line={"color": colour, "width": 2, "dash": look["dash"]},
                marker={"color": colour, "symbol": symbol, "size": 7},
                customdata=[[str(_labels(point)), _range(point)] for point in chosen],
                hovertemplate=hover,
                legendgroup=name,
                showlegend=is_main,
                name=name,
                **bars,
            )
        )
    return parts


def _range(point: ShotPoint) -> str:
    return "" if point.low is None or point.high is None else f" ({point.low:.3f} to {point.high:.3f})"


def lead_height(lines: int) -> int:
    """Pixels of a chart of so many differences."""
    return LEAD_PIXELS + LINE_PIXELS * max(1, lines)


def lead_of(rows: Sequence[Estimate], *, title: str) -> Figure:
    """Differences from the leader with their intervals, the smallest on top; zero is the leader.

    Rows of the group "not separable" are drawn hollow.
    """
    columns = ("", title, "Low", "High", "Verdict")
    known = [row for row in rows if row.value is not None]
    if not known:
        return empty("There is nothing to compare the leader with.", columns=columns)
    names = [row.name for row in known]
    traces = []
    for group in dict.fromkeys(row.group for row in known):
        chosen = [row for row in known if row.group == group]
        symbol = "circle-open" if group == "not separable" else "circle"
        ends = [row.low for row in chosen], [row.value for row in chosen], [row.high for row in chosen]
        traces.append(
            go.Scatter(
                x=[row.value for row in chosen],
                y=[row.name for row in chosen],
                error_x={**interval(*ends), "color": SERIES[0]},
                mode="markers",
                name=group,
                marker={"color": SERIES[0], "symbol": symbol, "size": 9, "line": {"width": 1.5, "color": SERIES[0]}},
                hovertemplate="<b>%{y}</b><br>%{x:.4f}<extra>%{fullData.name}</extra>",
            )
        )
    line = {"color": INK, "width": 1, "dash": "dot"}
    widest = max(abs(end) for row in known for end in (row.low, row.value, row.high, 0.001) if end is not None)
    is_below = sum(row.value or 0.0 for row in known) < 0
    far, near = BEHIND * widest, 0.1 * widest + max(0.0, *(_beyond(row, is_below=is_below) for row in known))
    return figure(
        traces,
        columns=columns,
        rows=[(row.name, row.value, row.low, row.high, row.group) for row in known],
        height=lead_height(len(known)),
        xaxis=axis(title, range=[-far, near] if is_below else [-near, far]),
        yaxis={
            "type": "category",
            "categoryorder": "array",
            "categoryarray": names[::-1],
            "range": [-0.6, len(names) - 0.4],
            "automargin": True,
            "fixedrange": True,
        },
        shapes=[{"type": "line", "x0": 0, "x1": 0, "y0": 0, "y1": 1, "yref": "paper", "line": line}],
        showlegend=len(traces) > 1,
    )


def _beyond(row: Estimate, *, is_below: bool) -> float:
    """How far an interval reaches to the other side of zero."""
    return (row.high or 0.0) if is_below else -(row.low or 0.0)
