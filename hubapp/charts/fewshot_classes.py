"""Charts of classes: one rate of each with its interval, what is taken for what, how sure and how often right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from hubapp.charts.frame import HIGH, INK, MARKERS, MUTED, PAPER, SERIES, ZERO, Figure, axis, empty, figure, interval
from hubapp.charts.lineage import plain

Row = Mapping[str, Any]
MOST_CLASSES = 30  # lines of a chart
LONGEST = 18
NUMBERED = 12  # classes up to which cells hold their value
LINE_PIXELS, FRAME_PIXELS = 24, 90


def short(name: str, longest: int = LONGEST) -> str:
    """A name that leaves the chart room."""
    return plain(name if len(name) <= longest else f"{name[: longest - 1]}…")


def class_rates(rows: Sequence[Row], *, title: str, models: Sequence[str]) -> Figure:
    """A dot and its interval for each class, from the top; rows hold name, support and `series`.

    series  for each of `models` (value, low, high), None where there is none
    """
    columns = ("Class", "Test rows", *(part for model in models for part in (f"{title}, {model}", "Low", "High")))
    shown = list(rows[:MOST_CLASSES])
    if not shown:
        return empty("No class was measured here yet.", columns=columns)
    traces = []
    for place, model in enumerate(models):
        known = [(at, row, row["series"][place]) for at, row in enumerate(shown) if row["series"][place][0] is not None]
        values = [one[0] for _, _, one in known]
        lows, highs = [one[1] for _, _, one in known], [one[2] for _, _, one in known]
        aside = 0.16 * (2 * place - (len(models) - 1))
        traces.append(
            go.Scatter(
                x=values,
                y=[at + aside for at, _, _ in known],
                error_x={**interval(lows, values, highs), "color": SERIES[place]},
                mode="markers",
                name=plain(model),
                marker={"color": SERIES[place], "symbol": MARKERS[place], "size": 8},
                customdata=[
                    [plain(row["name"]), row["support"], "" if one[1] is None else f" ({one[1]:.3f} to {one[2]:.3f})"]
                    for _, row, one in known
                ],
                hovertemplate="<b>%{customdata[0]}</b>, %{customdata[1]} test rows<br>%{x:.3f}%{customdata[2]}"
                f"<extra>{plain(model)}</extra>",
            )
        )
    return figure(
        traces,
        columns=columns,
        rows=[(row["name"], row["support"], *(part for one in row["series"] for part in one)) for row in shown],
        height=rates_height(len(shown)),
        xaxis=axis(f"{title}, with 95% intervals", range=[-0.02, 1.02]),
        yaxis={
            "tickmode": "array",
            "tickvals": list(range(len(shown))),
            "ticktext": [short(row["name"]) for row in shown],
            "range": [len(shown) - 0.4, -0.6],
            "automargin": True,
            "zeroline": False,
            "fixedrange": True,
        },
        showlegend=len(models) > 1,
    )


def rates_height(count: int) -> int:
    """Pixels of a chart of that many classes."""
    return FRAME_PIXELS + LINE_PIXELS * max(2, min(count, MOST_CLASSES))


def confusion_map(names: Sequence[str], values: Sequence[Sequence[float]], *, is_share: bool) -> Figure:
    """Classes (down) by what their rows are named (across); values are shares of a class's rows or numbers of rows."""
    columns = ("Class", "Named", "Share of the class" if is_share else "Rows")
    if not names:
        return empty("Nothing was predicted here yet.", columns=columns)
    form = ".0%" if is_share else ".3~g"
    top = max((value for line in values for value in line), default=0.0) or 1.0
    count = len(names)
    text = [[_cell(value, is_share=is_share) for value in line] for line in values]
    trace = go.Heatmap(
        z=[list(line) for line in values],
        text=text,
        texttemplate="%{text}" if count <= NUMBERED else "",
        customdata=[[[plain(of), plain(other)] for other in names] for of in names],
        hovertemplate="<b>%{customdata[0]}</b> named <b>%{customdata[1]}</b><br>%{z:" + form + "}<extra></extra>",
        zmin=0,
        zmax=1.0 if is_share else top,
        colorscale=[[0, ZERO], [1, HIGH]],
        showscale=False,
        xgap=1,
        ygap=1,
    )
    ticks = {
        "tickmode": "array",
        "tickvals": list(range(count)),
        "ticktext": [short(name, 12) for name in names],
        "showgrid": False,
    }
    below = axis("Named", **ticks, range=[-0.5, count - 0.5])
    beside = axis("Class", **ticks, range=[count - 0.5, -0.5])
    below["title"]["standoff"] = 12
    beside["title"]["standoff"] = 12
    return figure(
        [trace],
        columns=columns,
        rows=[
            (of, other, value)
            for of, line in zip(names, values, strict=True)
            for other, value in zip(names, line, strict=True)
            if value
        ],
        height=confusion_height(count),
        xaxis=below,
        yaxis=beside,
    )


def _cell(value: float, *, is_share: bool) -> str:
    """What a cell says; nothing where there is nothing, so that what is confused stands out."""
    if not value:
        return ""
    if not is_share:
        return f"{value:.3g}"
    return f"{value:.0%}" if value >= 0.005 else "&lt;1%"


def confusion_height(count: int) -> int:
    """Pixels of a matrix of that many classes."""
    return 150 + min(36, max(14, 720 // max(count, 1))) * max(3, count)


def reliability(bins: Sequence[Row], *, name: str) -> Figure:
    """Share right over mean probability by bin with Wilson's intervals, above the number of rows in each bin.

    Rows hold low, high, rows, right, sure, share, share_low, share_high, as `workers.statistics.reliability.Bin`.
    """
    columns = ("Above", "Up to", "Rows", "Right", "Mean probability", "Share right", "Low", "High")
    known = [one for one in bins if one["share"] is not None]
    if not known:
        return empty("Nothing was predicted here yet.", columns=columns)
    shares = [one["share"] for one in known]
    middles = [(one["low"] + one["high"]) / 2 for one in bins]
    width = (bins[0]["high"] - bins[0]["low"]) * 0.92
    traces = [
        go.Scatter(
            x=[0, 1],
            y=[0, 1],
            name="as sure as right",
            mode="lines",
            line={"color": MUTED, "width": 1.5, "dash": "dot"},
            hoverinfo="skip",
        ),
        go.Scatter(
            x=[one["sure"] for one in known],
            y=shares,
            error_y={
                **interval([one["share_low"] for one in known], shares, [one["share_high"] for one in known]),
                "color": SERIES[0],
            },
            name=plain(name),
            mode="lines+markers",
            line={"color": SERIES[0], "width": 1},
            marker={"color": SERIES[0], "symbol": MARKERS[0], "size": 8, "line": {"color": PAPER, "width": 1}},
            customdata=[[one["share_low"], one["share_high"], one["rows"]] for one in known],
            hovertemplate="says %{x:.1%}, right %{y:.1%} (%{customdata[0]:.1%} to %{customdata[1]:.1%})<br>"
            "%{customdata[2]:,.4~g} rows<extra></extra>",
        ),
        _bars(middles, [one["right"] for one in bins], width=width, name="rows named right", colour=SERIES[0]),
        _bars(
            middles,
            [one["rows"] - one["right"] for one in bins],
            width=width,
            name="rows named wrong",
            colour=SERIES[1],
        ),
    ]
    return figure(
        traces,
        columns=columns,
        rows=[
            tuple(one[key] for key in ("low", "high", "rows", "right", "sure", "share", "share_low", "share_high"))
            for one in bins
        ],
        height=RELIABILITY_PIXELS,
        barmode="stack",
        xaxis=axis("Highest probability", range=[0, 1.01], tickformat=".0%", anchor="y2"),
        yaxis=axis("Share right", range=[-0.02, 1.02], tickformat=".0%", domain=[0.36, 1]),
        yaxis2=axis("Rows", domain=[0, 0.28], rangemode="tozero"),
        showlegend=True,
        font={"color": INK},
    )


RELIABILITY_PIXELS = 520


def _bars(x: Sequence[float], y: Sequence[float], *, width: float, name: str, colour: str) -> go.Bar:
    pattern = {"shape": "/", "fgcolor": PAPER, "size": 5, "fillmode": "overlay"} if colour == SERIES[1] else {}
    return go.Bar(
        x=x,
        y=y,
        width=width,
        name=name,
        yaxis="y2",
        marker={"color": colour, "pattern": pattern},
        hovertemplate="%{y:,.4~g} " + name + "<extra></extra>",
    )
