"""Chart of a macro suite: each model's mean over data sets, with the data sets behind it as faint lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import plotly.graph_objects as go

from hubapp.charts.fewshot import curves_height
from hubapp.charts.frame import DASHES, MARKERS, MUTED, SERIES, Figure, axis, band, empty, figure, interval
from hubapp.charts.rows import ShotPoint

MOST_FAINT = 60  # more lines are a grey cloud; the table has all of them


@dataclass(frozen=True, kw_only=True)
class MeanPoint:
    """A mean at a number of labels (0 all, None no labels) with its interval, and the names of what it is over."""

    shots: int | None
    value: float
    low: float | None
    high: float | None
    members: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Member:
    """One data set behind a mean."""

    name: str
    points: tuple[ShotPoint, ...]


@dataclass(frozen=True, kw_only=True)
class MeanCurve:
    """A model's means, and the data sets behind them; `colour` is its place in the palette."""

    name: str
    colour: int
    points: tuple[MeanPoint, ...]
    members: tuple[Member, ...]


def fewshot_suite(curves: Sequence[MeanCurve], *, title: str) -> Figure:
    """Means over data sets by labels per class, on a logarithmic axis; "all" stands apart at twice the largest number.

    A line breaks where the data sets behind it change: its two sides do not speak of the same. What reads no labels is
    a dotted line from side to side.
    """
    columns = ("Model", "Data set", "Labels per class", title, "Low", "High", "Data sets in the mean")
    drawn = [curve for curve in curves if curve.points]
    if not drawn:
        return empty("There is no data set that all these models have in common.", columns=columns)
    counts = sorted({point.shots for curve in drawn for point in curve.points if point.shots is not None})
    apart = 2.0 * max(counts, default=0) or 1.0
    ticks = {shots or apart: str(shots or "all") for shots in counts} or {1.0: "no labels"}
    ends = min(ticks) / 1.2, max(ticks) * 1.2
    has_faint = sum(len(curve.members) for curve in drawn) <= MOST_FAINT
    traces: list[go.Scatter] = []
    for curve in drawn:
        if has_faint:
            traces += [_faint(curve, member, apart) for member in curve.members]
    for place, curve in enumerate(drawn):
        aside = 1.025 ** (place - (len(drawn) - 1) / 2)  # "all" has no line to follow: points side by side
        traces += _means(curve, apart=apart * aside, ends=ends)
    shapes = []
    if 0 in counts and len(counts) > 1:
        middle = apart / math.sqrt(2)
        line = {"color": MUTED, "width": 1, "dash": "dot"}
        shapes.append({"type": "line", "x0": middle, "x1": middle, "y0": 0, "y1": 1, "yref": "paper", "line": line})
    return figure(
        traces,
        columns=columns,
        rows=_table(drawn),
        height=curves_height(len(drawn)),
        xaxis=axis(
            "Labels per class (log scale)",
            type="log",
            tickmode="array",
            tickvals=list(ticks),
            ticktext=list(ticks.values()),
            range=[math.log10(end) for end in ends],
        ),
        yaxis=axis(title),
        shapes=shapes,
    )


def _table(curves: Sequence[MeanCurve]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for curve in curves:
        rows += [
            (curve.name, "mean", _labels(one.shots), one.value, one.low, one.high, len(one.members))
            for one in curve.points
        ]
        rows += [
            (curve.name, member.name, _labels(one.shots), one.value, one.low, one.high, None)
            for member in curve.members
            for one in member.points
        ]
    return rows


def _labels(shots: int | None) -> str | int:
    return "no labels" if shots is None else shots or "all"


def _faint(curve: MeanCurve, member: Member, apart: float) -> go.Scatter:
    points = [one for one in member.points if one.shots is not None]
    return go.Scatter(
        x=[one.shots or apart for one in points],
        y=[one.value for one in points],
        mode="lines+markers" if len(points) == 1 else "lines",
        line={"color": SERIES[curve.colour % len(SERIES)], "width": 1},
        marker={"color": SERIES[curve.colour % len(SERIES)], "size": 4},
        opacity=0.3,
        text=[_labels(one.shots) for one in points],
        hovertemplate=f"{member.name}, {curve.name}<br>%{{text}}: %{{y:.3f}}<extra></extra>",
        legendgroup=curve.name,
        showlegend=False,
        name=f"{curve.name}: {member.name}",
    )


def _means(curve: MeanCurve, *, apart: float, ends: tuple[float, float]) -> list[go.Scatter]:
    colour = SERIES[curve.colour % len(SERIES)]
    symbol = MARKERS[(curve.colour + curve.colour // len(SERIES)) % len(MARKERS)]
    dash = DASHES[curve.colour % len(DASHES)]
    labelled = [one for one in curve.points if one.shots]
    runs = [list(run) for _, run in groupby(labelled, key=lambda one: one.members)]
    traces = [
        band(curve.name, colour, [(one.shots, one.low, one.high) for one in run], opacity=0.1)
        for run in runs
        if len(run) > 1 and run[0].low is not None
    ]
    bare = [[one] for one in curve.points if one.shots is None]
    whole = [[one] for one in curve.points if one.shots == 0]
    for place, run in enumerate([*runs, *whole, *bare]):
        is_line = run[0].shots is None
        x = [one.shots or apart for one in run]
        y = [one.value for one in run]
        bars: dict[str, Any] = {}
        if is_line:
            x, y = [ends[0], math.sqrt(ends[0] * ends[1]), ends[1]], y * 3
        elif len(run) == 1:
            bars = {"error_y": {**interval([run[0].low], y, [run[0].high]), "color": colour}}
        traces.append(
            go.Scatter(
                x=x,
                y=y,
                mode="lines" if is_line else "lines+markers",
                line={"color": colour, "width": 2.5, "dash": "dot" if is_line else dash},
                marker={"color": colour, "symbol": symbol, "size": 8},
                customdata=[[str(_labels(one.shots)), _range(one), len(one.members)] for one in run * len(x)][: len(x)],
                hovertemplate="<b>%{fullData.name}</b><br>%{customdata[0]}: %{y:.3f}%{customdata[1]}, "
                "%{customdata[2]} data sets<extra></extra>",
                legendgroup=curve.name,
                showlegend=place == 0,
                name=curve.name,
                **bars,
            )
        )
    return traces


def _range(point: MeanPoint) -> str:
    return "" if point.low is None or point.high is None else f" ({point.low:.3f} to {point.high:.3f})"
