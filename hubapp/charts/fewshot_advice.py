"""Chart of label advice: fitted learning curves with their bands over the measured points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from hubapp.charts.fewshot import curves_height
from hubapp.charts.frame import INK, MARKERS, MUTED, PAPER, SERIES, Figure, axis, band, empty, figure, interval
from hubapp.charts.rows import ShotPoint


@dataclass(frozen=True, kw_only=True)
class FittedPoint:
    """A curve at one number of labels, with its 95% interval."""

    labels: float
    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class FittedCurve:
    """A learning curve and the points behind it.

    measured   what it was fitted to; `left_out` was measured but not used
    line       empty where no curve could be fitted
    trusted    the largest number of labels that was measured: beyond it the line is dashed
    bare       the score of a head that reads no labels, drawn from side to side
    """

    name: str
    colour: int
    measured: tuple[ShotPoint, ...] = ()
    left_out: tuple[ShotPoint, ...] = ()
    line: tuple[FittedPoint, ...] = ()
    trusted: float = 0.0
    bare: float | None = None


def fewshot_advice(
    curves: Sequence[FittedCurve],
    *,
    title: str,
    unit: str,
    labels: int,
    target: float | None,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Figure:
    """Fitted curves with bands over the measured points, on a logarithmic axis.

    A line is dashed beyond the largest number of labels that was measured; points that were not used are hollow. The
    asked number of labels is an upright dotted line, the target a level one.
    """
    columns = ("", unit.capitalize(), f"Measured {title}", f"Fitted {title}", "Low", "High")
    places = [point.labels for curve in curves for point in curve.line]
    places += [float(point.shots or 0) for curve in curves for point in (*curve.measured, *curve.left_out)]
    if not places:
        return empty("There is no curve to draw: too few numbers of labels were measured.", columns=columns)
    ends = min(*places, labels) / 1.15, max(*places, labels) * 1.15
    traces: list[go.Scatter] = []
    for curve in curves:
        traces += _band(curve)
    for curve in curves:
        traces += _lines(curve, ends)
    line = {"color": INK, "width": 1, "dash": "dot"}
    shapes = [{"type": "line", "x0": labels, "x1": labels, "y0": 0, "y1": 1, "yref": "paper", "line": line}]
    notes = [_note(f"{labels:,}", x=math.log10(labels), xanchor="left", y=0.02, yref="paper", yanchor="bottom")]
    if target is not None:
        shapes.append({"type": "line", "x0": 0, "x1": 1, "xref": "paper", "y0": target, "y1": target, "line": line})
        notes.append(_note(f"target {target:g}", x=0.01, xref="paper", xanchor="left", y=target, yanchor="bottom"))
    return figure(
        traces,
        columns=columns,
        rows=[row for curve in curves for row in _rows(curve)],
        height=curves_height(len(curves)),
        xaxis=axis(
            f"{unit.capitalize()} (log scale)", type="log", range=[math.log10(end) for end in ends], **_ticks(ends)
        ),
        yaxis=axis(title, **_range(curves, target, bounds)),
        shapes=shapes,
        annotations=notes,
    )


def _note(text: str, **place: Any) -> dict[str, Any]:
    return {"text": text, "showarrow": False, "font": {"color": MUTED, "size": 12}, **place}


def _ticks(ends: tuple[float, float]) -> dict[str, Any]:
    """Powers of two, every other one where there are many."""
    powers = [2**place for place in range(40) if ends[0] <= 2**place <= ends[1]]
    powers = powers[:: 2 if len(powers) > 10 else 1]
    return {"tickmode": "array", "tickvals": powers, "ticktext": [f"{one:,}" for one in powers]} if powers else {}


def _range(curves: Sequence[FittedCurve], target: float | None, bounds: tuple[float, float]) -> dict[str, Any]:
    """What is drawn and a little more, within the metric's range: wide bands of fits do not flatten the rest."""
    values = [end for curve in curves for point in curve.line for end in (point.low, point.high)]
    values += [one.value for curve in curves for one in (*curve.measured, *curve.left_out) if one.value is not None]
    values += [one for one in (target, *(curve.bare for curve in curves)) if one is not None]
    low, high = min(values), max(values)
    margin = 0.06 * max(high - low, 0.01)
    return {"range": [max(low - margin, bounds[0] - margin), min(high + margin, bounds[1] + margin)]}


def _rows(curve: FittedCurve) -> list[tuple[Any, ...]]:
    fitted = {point.labels: point for point in curve.line}
    measured = {float(point.shots or 0): point.value for point in (*curve.measured, *curve.left_out)}
    rows: list[tuple[Any, ...]] = []
    if curve.bare is not None:
        rows.append((curve.name, "no labels", curve.bare, None, None, None))
    for labels in sorted({*measured, *(one for one in fitted if one == int(one))}):
        point = fitted.get(labels)
        parts = (point.value, point.low, point.high) if point else (None, None, None)
        rows.append((curve.name, int(labels), measured.get(labels), *parts))
    return rows


def _look(curve: FittedCurve) -> tuple[str, str]:
    return (
        SERIES[curve.colour % len(SERIES)],
        MARKERS[(curve.colour + curve.colour // len(SERIES)) % len(MARKERS)],
    )


def _band(curve: FittedCurve) -> list[go.Scatter]:
    if not curve.line:
        return []
    colour, _ = _look(curve)
    ends = [(one.labels, one.low, one.high) for one in curve.line]
    return [band(curve.name, colour, ends, opacity=0.13)]


def _lines(curve: FittedCurve, ends: tuple[float, float]) -> list[go.Scatter]:
    colour, symbol = _look(curve)
    shared = {"legendgroup": curve.name, "name": curve.name}
    traces = []
    inside = [one for one in curve.line if one.labels <= curve.trusted]
    beyond = [one for one in curve.line if one.labels >= curve.trusted]
    hover = "<b>%{fullData.name}</b><br>%{x:.0f}: fitted %{y:.3f}%{customdata}<extra></extra>"
    for part, dash in ((inside, "solid"), (beyond, "dash")):
        if len(part) > 1:
            traces.append(
                go.Scatter(
                    x=[one.labels for one in part],
                    y=[one.value for one in part],
                    mode="lines",
                    line={"color": colour, "width": 2, "dash": dash},
                    customdata=[f" ({one.low:.3f} to {one.high:.3f})" for one in part],
                    hovertemplate=hover,
                    showlegend=False,
                    **shared,
                )
            )
    if curve.bare is not None:
        traces.append(
            go.Scatter(
                x=[ends[0], math.sqrt(ends[0] * ends[1]), ends[1]],
                y=[curve.bare] * 3,
                mode="lines",
                line={"color": colour, "width": 2, "dash": "dot"},
                hovertemplate="<b>%{fullData.name}</b><br>no labels: %{y:.3f}<extra></extra>",
                showlegend=not curve.measured,
                **shared,
            )
        )
    for points, fill in ((curve.measured, colour), (curve.left_out, PAPER)):
        if points:
            values = [one.value for one in points]
            bars = interval([one.low for one in points], values, [one.high for one in points])
            traces.append(
                go.Scatter(
                    x=[one.shots for one in points],
                    y=values,
                    error_y={**bars, "color": colour},
                    mode="markers",
                    marker={"color": fill, "symbol": symbol, "size": 8, "line": {"color": colour, "width": 1.5}},
                    hovertemplate="<b>%{fullData.name}</b><br>%{x}: measured %{y:.3f}<extra></extra>",
                    showlegend=fill == colour or not curve.measured,
                    **shared,
                )
            )
    return traces
