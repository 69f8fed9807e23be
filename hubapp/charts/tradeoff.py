"""Quality against cost: a dot a model with its interval, the Pareto front marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from hubapp.charts.frame import INK, MUTED, SERIES, Figure, axis, empty, figure, interval

LOOKS = (
    ("on", "on the front", "circle", SERIES[0]),
    ("maybe", "not separable from the front", "circle-open", SERIES[0]),
    ("below", "another is better at less", "circle", MUTED),
)


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A model's cost and its quality with the interval; `standing` as in `workers.statistics.pareto`."""

    name: str
    cost: float
    value: float
    low: float | None
    high: float | None
    standing: str


def tradeoff(offers: Sequence[Offer], *, cost_title: str, value_title: str, lower_is_better: bool = False) -> Figure:
    """Cost on a log axis against quality; models of the front are joined by steps."""
    columns = ("Model", cost_title, value_title, "Low", "High", "Front")
    if not offers:
        return empty("No model has both a score and this number yet.", columns=columns)
    words = {name: title for name, title, _, _ in LOOKS}
    traces = []
    front = sorted((one for one in offers if one.standing == "on"), key=lambda one: (one.cost, one.value))
    if len(front) > 1:
        traces.append(
            go.Scatter(
                x=[one.cost for one in front],
                y=[one.value for one in front],
                mode="lines",
                line={"shape": "hv", "color": SERIES[0], "width": 1, "dash": "dot"},
                hoverinfo="skip",
                showlegend=False,
            )
        )
    ordered = sorted(offers, key=lambda one: (one.cost, one.name))
    places = {one.name: ("top center", "bottom center")[place % 2] for place, one in enumerate(ordered)}
    for standing, title, symbol, colour in LOOKS:
        shown = [one for one in ordered if one.standing == standing]
        if not shown:
            continue
        traces.append(
            go.Scatter(
                x=[one.cost for one in shown],
                y=[one.value for one in shown],
                error_y={
                    **interval([one.low for one in shown], [one.value for one in shown], [one.high for one in shown]),
                    "color": colour,
                },
                text=[one.name for one in shown],
                mode="markers+text" if len(offers) <= 12 or standing == "on" else "markers",
                textposition=[places[one.name] for one in shown],
                textfont={"size": 11, "color": INK},
                name=title,
                marker={"color": colour, "symbol": symbol, "size": 9, "line": {"width": 1.5, "color": colour}},
                cliponaxis=False,
                hovertemplate="<b>%{text}</b><br>%{x:.4g}<br>%{y:.4g}<extra></extra>",
            )
        )
    return figure(
        traces,
        columns=columns,
        rows=[(one.name, one.cost, one.value, one.low, one.high, words.get(one.standing, "")) for one in ordered],
        height=360,
        xaxis=axis(f"{cost_title} (log scale)", type="log"),
        yaxis=axis(value_title + (" (lower is better)" if lower_is_better else "")),
    )
