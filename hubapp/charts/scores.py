"""Charts of scores: rankings, few-shot curves, one score against another, models side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from hubapp.charts.frame import DASHES, INK, MARKERS, MUTED, SERIES, Figure, axis, empty, figure, interval
from hubapp.charts.rows import Estimate, Pair, Series, ShotPoint

LINE_PIXELS, FRAME_PIXELS = 28, 70


def ranking(rows: Sequence[Estimate], *, title: str = "Score", best_first: bool = True) -> Figure:
    """A dot and its interval for each model, in the order of `rows` from the top; untrained controls are hollow.

    `title` names the axis, unit included. Rows without a value stay out of the chart and of its table.
    """
    columns = ("Model", title, "Low", "High")
    known = [row for row in rows if row.value is not None]
    if not known:
        return empty("No model has this score yet.", columns=columns)
    traces = []
    for is_control, symbol in ((False, "circle"), (True, "circle-open")):
        chosen = [row for row in known if row.is_control is is_control]
        if not chosen:
            continue
        colour = MUTED if is_control else SERIES[0]
        traces.append(
            go.Scatter(
                x=[row.value for row in chosen],
                y=[row.name for row in chosen],
                error_x={**interval(*_ends(chosen)), "color": colour},
                mode="markers",
                name="untrained control" if is_control else "trained",
                marker={"color": colour, "symbol": symbol, "size": 9, "line": {"width": 1.5, "color": colour}},
                customdata=[[_between(row)] for row in chosen],
                hovertemplate="<b>%{y}</b><br>%{x:.4g}%{customdata[0]}<extra></extra>",
            )
        )
    names = [row.name for row in known]
    order = names[::-1] if best_first else names
    return figure(
        traces,
        columns=columns,
        rows=[(row.name, row.value, row.low, row.high) for row in known],
        height=FRAME_PIXELS + LINE_PIXELS * len(set(names)),
        xaxis=axis(title),
        yaxis={**_names(order), "showgrid": True},
        showlegend=len(traces) > 1,
    )


def _names(order: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "category",
        "categoryorder": "array",
        "categoryarray": list(order),
        "automargin": True,
        "range": [-0.6, len(order) - 0.4],
        "fixedrange": True,
    }


def _ends(rows: Sequence[Estimate | ShotPoint]) -> tuple[list[float | None], list[float | None], list[float | None]]:
    return [row.low for row in rows], [row.value for row in rows], [row.high for row in rows]


def _between(row: Estimate) -> str:
    return "" if row.low is None or row.high is None else f" ({row.low:.4g} to {row.high:.4g})"


def fewshot_curves(series: Sequence[Series], *, title: str = "Accuracy") -> Figure:
    """Quality over labels per class: a line for each model, its band, and its replicates as faint dots.

    The x axis is logarithmic; "all" (shots = 0) stands apart at twice the largest k.
    """
    columns = ("Model", "Labels per class", title, "Low", "High", "Replicates")
    counts = sorted({point.shots for curve in series for point in curve.points if point.value is not None})
    if not counts:
        return empty("No few-shot evaluation has finished here yet.", columns=columns)
    apart = 2 * max(counts) if max(counts) > 0 else 1
    traces: list[go.Scatter] = []
    table = []
    for place, curve in enumerate(series):
        points = sorted(
            (point for point in curve.points if point.value is not None),
            key=lambda point: point.shots or math.inf,
        )
        if not points:
            continue
        aside = 1.025 ** (place - (len(series) - 1) / 2)  # "all" has no line to follow: points side by side
        traces += _curve(curve.name, points, apart=apart * aside, place=place)
        table += [
            (curve.name, point.shots or "all", point.value, point.low, point.high, len(point.replicates))
            for point in points
        ]
    ticks = [count for count in counts if count > 0]
    places, labels = [float(tick) for tick in ticks], [str(tick) for tick in ticks]
    if 0 in counts:
        places.append(float(apart))
        labels.append("all")
    shapes = []
    if 0 in counts and ticks:
        middle = apart / math.sqrt(2)
        shapes.append(
            {"type": "line", "x0": middle, "x1": middle, "y0": 0, "y1": 1, "yref": "paper", "line": {"color": MUTED}}
        )
        shapes[0]["line"] = {"color": MUTED, "width": 1, "dash": "dot"}
    first, last = math.log10(min(places)), math.log10(max(places))
    return figure(
        traces,
        columns=columns,
        rows=table,
        height=400,
        xaxis=axis(
            "Labels per class (log scale)",
            type="log",
            tickmode="array",
            tickvals=places,
            ticktext=labels,
            range=[first - 0.08, last + 0.08],
        ),
        yaxis=axis(title),
        shapes=shapes,
    )


def _curve(name: str, points: Sequence[ShotPoint], *, apart: float, place: int) -> list[go.Scatter]:
    colour, symbol = SERIES[place % len(SERIES)], MARKERS[place % len(MARKERS)]
    known = [point for point in points if point.shots > 0]
    parts = []
    banded = [point for point in known if point.low is not None and point.high is not None]
    if len(banded) > 1:
        parts.append(
            go.Scatter(
                x=[*(point.shots for point in banded), *(point.shots for point in reversed(banded))],
                y=[*(point.high for point in banded), *(point.low for point in reversed(banded))],
                fill="toself",
                fillcolor=colour,
                opacity=0.15,
                line={"width": 0, "color": colour},
                mode="lines",
                hoverinfo="skip",
                legendgroup=name,
                showlegend=False,
                name=f"{name}: interval",
            )
        )
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
    look = {"color": colour, "symbol": symbol, "size": 7}
    for chosen, is_main in ((known, True), (whole, not known)):
        if not chosen:
            continue
        bars = {} if is_main and known else {"error_y": {**interval(*_ends(chosen)), "color": colour}}
        parts.append(
            go.Scatter(
                x=[point.shots or apart for point in chosen],
                y=[point.value for point in chosen],
                mode="lines+markers",
                line={"color": colour, "width": 2, "dash": DASHES[place % len(DASHES)]},
                marker=look,
                customdata=[[str(point.shots or "all"), _range(point)] for point in chosen],
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


def score_scatter(rows: Sequence[Pair], *, x_title: str, y_title: str) -> Figure:
    """One score against another, a labelled dot for each model."""
    columns = ("Model", x_title, y_title)
    known = [row for row in rows if row.x is not None and row.y is not None]
    if not known:
        return empty("No model has both scores yet.", columns=columns)
    in_order = sorted(known, key=lambda row: (row.x or 0.0, row.name))
    places = {row.name: ("top center", "bottom center")[place % 2] for place, row in enumerate(in_order)}
    trace = go.Scatter(
        x=[row.x for row in known],
        y=[row.y for row in known],
        text=[row.name for row in known],
        mode="markers+text",
        textposition=[places[row.name] for row in known],
        textfont={"size": 11, "color": INK},
        marker={"color": SERIES[0], "size": 9},
        cliponaxis=False,
        hovertemplate=f"<b>%{{text}}</b><br>{x_title} %{{x:.4g}}<br>{y_title} %{{y:.4g}}<extra></extra>",
    )
    return figure(
        [trace],
        columns=columns,
        rows=[(row.name, row.x, row.y) for row in known],
        height=340,
        xaxis=axis(x_title),
        yaxis=axis(y_title),
        showlegend=False,
    )


def comparison(rows: Sequence[Estimate], *, title: str = "Score") -> Figure:
    """Models side by side: a line for each group (such as a data set), a dot and its interval for each model in it."""
    columns = ("Group", "Model", title, "Low", "High")
    known = [row for row in rows if row.value is not None]
    if not known:
        return empty("These models have no score in common yet.", columns=columns)
    groups = list(dict.fromkeys(row.group for row in known))
    names = list(dict.fromkeys(row.name for row in known))
    line = {group: len(groups) - 1 - place for place, group in enumerate(groups)}
    spread = 0.7 / max(len(names), 1)
    traces = []
    for place, name in enumerate(names):
        chosen = [row for row in known if row.name == name]
        colour = SERIES[place % len(SERIES)]
        shift = ((len(names) - 1) / 2 - place) * spread
        traces.append(
            go.Scatter(
                x=[row.value for row in chosen],
                y=[line[row.group] + shift for row in chosen],
                error_x={**interval(*_ends(chosen)), "color": colour},
                mode="markers",
                name=name,
                marker={"color": colour, "symbol": MARKERS[place % len(MARKERS)], "size": 9},
                customdata=[[row.group, _between(row)] for row in chosen],
                hovertemplate="<b>%{fullData.name}</b><br>%{customdata[0]}: %{x:.4g}%{customdata[1]}<extra></extra>",
            )
        )
    return figure(
        traces,
        columns=columns,
        rows=[(row.group, row.name, row.value, row.low, row.high) for row in known],
        height=FRAME_PIXELS + 30 + len(groups) * max(40, 16 * len(names)),
        xaxis=axis(title),
        yaxis={
            "tickmode": "array",
            "tickvals": [line[group] for group in groups],
            "ticktext": groups,
            "range": [-0.5, len(groups) - 0.5],
            "automargin": True,
            "fixedrange": True,
            "zeroline": False,
        },
    )
