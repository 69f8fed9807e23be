"""Charts of scores: rankings, few-shot curves, one score against another, models side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from hubapp.charts.frame import INK, MARKERS, MUTED, SERIES, Figure, axis, empty, figure, interval
from hubapp.charts.rows import Estimate, Pair

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


def _ends(rows: Sequence[Estimate]) -> tuple[list[float | None], list[float | None], list[float | None]]:
    return [row.low for row in rows], [row.value for row in rows], [row.high for row in rows]


def _between(row: Estimate) -> str:
    return "" if row.low is None or row.high is None else f" ({row.low:.4g} to {row.high:.4g})"


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
