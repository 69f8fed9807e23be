"""How often a model is downloaded and liked, by day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import plotly.graph_objects as go

from hubapp.charts.frame import MARKERS, SERIES, Figure, axis, empty, figure

NAMES = (("downloads", "Downloads of 30 days"), ("likes", "Likes"), ("trending", "Trending score"))
PANEL_PIXELS = 150


class PopularityDay(TypedDict):
    """A day (ISO 8601) on which the numbers were other than the day before."""

    day: str
    downloads: int | None
    likes: int | None
    trending: float | None


def popularity_series(days: Sequence[PopularityDay]) -> Figure:
    """A panel for each number, over days: it holds until the next day on which it changed."""
    columns = ("Day", *(title for _, title in NAMES))
    table = [(day["day"], day["downloads"], day["likes"], day["trending"]) for day in days]
    shown = [(name, title) for name, title in NAMES if any(_value(day, name) is not None for day in days)]
    if not shown:
        return empty("Downloads and likes were not recorded yet; each sync keeps those of its day.", columns=columns)
    traces, axes = [], {}
    height = 1 / len(shown)
    for place, (name, title) in enumerate(shown):
        number = "" if place == 0 else str(place + 1)
        top = 1 - place * height
        axes[f"yaxis{number}"] = axis(title, domain=[top - height + (0.06 if place + 1 < len(shown) else 0), top])
        known = [day for day in days if _value(day, name) is not None]
        look = NAMES.index((name, title))
        traces.append(
            go.Scatter(
                x=[day["day"] for day in known],
                y=[_value(day, name) for day in known],
                yaxis=f"y{number}",
                name=title,
                mode="lines+markers" if len(known) < 60 else "lines",
                line={"color": SERIES[look], "width": 1.5, "shape": "hv"},
                marker={"color": SERIES[look], "symbol": MARKERS[look], "size": 6},
                hovertemplate="%{x|%Y-%m-%d}: %{y:,}<extra>" + title + "</extra>",
            )
        )
    return figure(
        traces,
        columns=columns,
        rows=table,
        height=60 + PANEL_PIXELS * len(shown),
        xaxis=axis("", type="date", anchor=f"y{len(shown) if len(shown) > 1 else ''}"),
        showlegend=False,
        **axes,
    )


def _value(day: PopularityDay, name: str) -> float | None:
    value = day[name]  # type: ignore[literal-required]
    return None if value is None else float(value)
