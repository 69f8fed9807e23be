"""Charts of pairs and sets of models: matrices of numbers, and accuracies on and off the data that heads saw."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from hubapp.charts.frame import HIGH, LOW, MARKERS, MUTED, SERIES, ZERO, Figure, axis, empty, figure
from hubapp.charts.lineage import plain

Row = Mapping[str, Any]
LONGEST_LINE, MOST_LINES = 13, 3
NUMBERED = 9  # models up to which cells hold their value


def matrix(
    rows: Sequence[Row],
    titles: Mapping[str, str],
    *,
    name: str,
    down: str = "",
    across: str = "",
    is_symmetric: bool = True,
    is_percent: bool = False,
) -> Figure:
    """A cell for every two models; rows hold model_a (down), model_b (across), value, low, high.

    titles  the models by slug, in the order of both axes; is_symmetric draws each row in both of its cells
    """
    columns = (down or "Model", across or "Other model", name, "Low", "High")
    known = [row for row in rows if row["value"] is not None and row["model_a"] in titles and row["model_b"] in titles]
    if not known:
        return empty("There is nothing to draw for these models yet.", columns=columns)
    place = {slug: at for at, slug in enumerate(titles)}
    names = list(titles.values())
    values: list[list[float | None]] = [[None] * len(place) for _ in place]
    hovers = [[""] * len(place) for _ in place]
    form = ".1%" if is_percent else ".3f"
    for row in known:
        first, second = place[row["model_a"]], place[row["model_b"]]
        reach = "" if row.get("low") is None else f" ({row['low']:{form}} to {row['high']:{form}})"
        words = f"{plain(names[first])} and {plain(names[second])}<br>{plain(name)} {row['value']:{form}}{reach}"
        for line, column in ((first, second), (second, first)) if is_symmetric else ((first, second),):
            values[line][column], hovers[line][column] = row["value"], words
    held = [row["value"] for row in known]
    top = max(map(abs, held)) or 1.0
    is_signed = min(held) < -0.05 * top
    trace = go.Heatmap(
        z=values,
        text=[["" if value is None else f"{value:{form}}" for value in line] for line in values],
        texttemplate="%{text}" if len(place) <= NUMBERED else "",
        customdata=hovers,
        hovertemplate="%{customdata}<extra></extra>",
        hoverongaps=False,
        zmin=-top if is_signed else 0,
        zmax=top,
        colorscale=[[0, LOW], [0.5, ZERO], [1, HIGH]] if is_signed else [[0, ZERO], [1, HIGH]],
        showscale=False,
        xgap=1,
        ygap=1,
    )
    labels = [_wrapped(title) for title in names]
    ticks = {"tickmode": "array", "tickvals": list(range(len(labels))), "ticktext": labels, "showgrid": False}
    below = axis(across, **ticks, range=[-0.5, len(labels) - 0.5])
    beside = axis(down, **ticks, range=[len(labels) - 0.5, -0.5])
    for one in (below, beside):
        one["title"]["standoff"] = 12  # without it the title lies over turned labels
    return figure(
        [trace],
        columns=columns,
        rows=[
            (names[place[row["model_a"]]], names[place[row["model_b"]]], row["value"], row.get("low"), row.get("high"))
            for row in known
        ],
        height=height_of(len(place)),
        xaxis=below,
        yaxis=beside,
    )


def _wrapped(title: str) -> str:
    """A title in a few short lines, broken after spaces, commas and hyphens, so that it leaves narrow screens room."""
    lines: list[str] = [""]
    for part in re.findall(r"[^\s\-_/]+[\-_/]?\s*|[\-_/]+", title):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > LONGEST_LINE:
            lines.append("")
        lines[-1] += part
    lines = [line.strip() for line in lines if line.strip()]
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], "…"]
    cut = [line if len(line) <= 2 * LONGEST_LINE else f"{line[: 2 * LONGEST_LINE]}…" for line in lines]
    return "<br>".join(plain(line) for line in cut)


def height_of(count: int) -> int:
    """Pixels of a matrix of that many models."""
    return 130 + 44 * max(2, count)


def line_of_accuracies(
    rows: Sequence[Row], *, slope: float | None, intercept: float | None, given: str, shifted: str
) -> Figure:
    """Each model's accuracy on two data sets, on axes of their logits, with the line of all of them.

    Rows hold title, accuracy, shifted, expected, value, low, high; given and shifted name the data sets.
    """
    columns = ("Model", given, shifted, "Expected", "Effective robustness", "Low", "High")
    if not rows:
        return empty("No model was measured on both data sets yet.", columns=columns)

    def at(share: float) -> float:
        kept = min(max(share, 1e-4), 1 - 1e-4)
        return math.log(kept / (1 - kept))

    x, y = [at(row["accuracy"]) for row in rows], [at(row["shifted"]) for row in rows]
    low, high = min([*x, *y]) - 0.3, max([*x, *y]) + 0.3
    traces = [
        go.Scatter(
            x=[low, high],
            y=[low, high],
            name="as accurate on both",
            mode="lines",
            line={"color": MUTED, "width": 1, "dash": "dot"},
            hoverinfo="skip",
        )
    ]
    if slope is not None and intercept is not None:
        ends = [min(x) - 0.2, max(x) + 0.2]
        traces.append(
            go.Scatter(
                x=ends,
                y=[slope * end + intercept for end in ends],
                name="line of these models",
                mode="lines",
                line={"color": SERIES[1], "width": 2, "dash": "dash"},
                hoverinfo="skip",
            )
        )
    traces.append(
        go.Scatter(
            x=x,
            y=y,
            text=[plain(row["title"]) for row in rows],
            customdata=[[row["accuracy"], row["shifted"]] for row in rows],
            name="models",
            mode="markers",
            marker={"color": SERIES[0], "symbol": MARKERS[0], "size": 9},
            hovertemplate="<b>%{text}</b><br>%{customdata[0]:.1%}, then %{customdata[1]:.1%}<extra></extra>",
        )
    )
    ticks = _share_ticks(low, high)
    return figure(
        traces,
        columns=columns,
        rows=[
            tuple(row[key] for key in ("title", "accuracy", "shifted", "expected", "value", "low", "high"))
            for row in rows
        ],
        height=420,
        xaxis=axis(f"Accuracy on {given} (logit scale)", **ticks),
        yaxis=axis(f"Accuracy on {shifted} (logit scale)", **ticks),
        showlegend=True,
    )


def _share_ticks(low: float, high: float) -> dict[str, Any]:
    shares = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
    shown = [share for share in shares if low <= math.log(share / (1 - share)) <= high]
    return {
        "tickmode": "array",
        "tickvals": [math.log(share / (1 - share)) for share in shown],
        "ticktext": [f"{share:.1%}".replace(".0%", "%") for share in shown],
        "range": [low, high],
    }
