"""Charts of the protocols beyond the few-shot curve: stages, layers and dimensions, horizons, pairs, halves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from hubapp.charts.frame import DASHES, HIGH, MARKERS, SERIES, ZERO, Figure, axis, empty, figure, interval
from hubapp.charts.rows import Estimate
from hubapp.charts.scores import comparison

Row = Mapping[str, Any]
WIDE = 20  # times the smallest error
MOST_NUMBERED = 60  # cells of a heat map that hold their value


def stage_accuracies(rows: Sequence[Row]) -> Figure:
    """Accuracy over all classes seen so far: a line for each head, faint ones for each order of the classes.

    Rows hold head, order, stage, classes_seen, accuracy, low, high.
    """
    columns = ("Head", "Order", "Stage", "Classes seen", "Accuracy", "Low", "High")
    known = [row for row in rows if row["accuracy"] is not None]
    if not known:
        return empty("No stage has test rows.", columns=columns)
    traces: list[go.Scatter] = []
    for place, head in enumerate(dict.fromkeys(row["head"] for row in known)):
        own = [row for row in known if row["head"] == head]
        colour = SERIES[place % len(SERIES)]
        for order in dict.fromkeys(row["order"] for row in own):
            course = [row for row in own if row["order"] == order]
            traces.append(
                go.Scatter(
                    x=[row["classes_seen"] for row in course],
                    y=[row["accuracy"] for row in course],
                    mode="lines",
                    line={"color": colour, "width": 1},
                    opacity=0.35,
                    hoverinfo="skip",
                    legendgroup=head,
                    showlegend=False,
                    name=f"{head}: order {order}",
                )
            )
        seen = sorted({row["classes_seen"] for row in own})
        means = [float(np.mean([row["accuracy"] for row in own if row["classes_seen"] == count])) for count in seen]
        traces.append(
            go.Scatter(
                x=seen,
                y=means,
                mode="lines+markers",
                line={"color": colour, "width": 2, "dash": DASHES[place % len(DASHES)]},
                marker={"color": colour, "symbol": MARKERS[place % len(MARKERS)], "size": 7},
                legendgroup=head,
                name=head,
                hovertemplate="<b>%{fullData.name}</b><br>%{x} classes seen: %{y:.3f}<extra></extra>",
            )
        )
    return figure(
        traces,
        columns=columns,
        rows=[
            (row["head"], row["order"], row["stage"], row["classes_seen"], row["accuracy"], row["low"], row["high"])
            for row in known
        ],
        height=360,
        xaxis=axis("Classes seen"),
        yaxis=axis("Accuracy over the classes seen"),
    )


def layer_heat_map(rows: Sequence[Row], *, metric: str = "accuracy", title: str = "Accuracy") -> Figure:
    """A metric by layer (the deepest on top) and number of leading dimensions.

    Rows hold layer, dimensions, the metric with _low and _high, and is_separable from the whole vector (None: itself).
    """
    columns = ("Layer", "Dimensions", title, "Low", "High", "Against the whole vector")
    known = [row for row in rows if row[metric] is not None]
    if not known:
        return empty("No layer has this metric.", columns=columns)
    layers = list(dict.fromkeys(row["layer"] for row in known))
    sizes = sorted({row["dimensions"] for row in known})
    values: list[list[float | None]] = [[None] * len(sizes) for _ in layers]
    hovers = [[""] * len(sizes) for _ in layers]
    table = []
    for row in known:
        i, j = layers.index(row["layer"]), sizes.index(row["dimensions"])
        words = {None: "the whole vector", True: "separably different", False: "not separable"}[row["is_separable"]]
        low, high = row[f"{metric}_low"], row[f"{metric}_high"]
        values[i][j] = row[metric]
        hovers[i][j] = (
            f"<b>{row['layer']}</b>, first {row['dimensions']:,} numbers<br>{title} {row[metric]:.3f} "
            f"({low:.3f} to {high:.3f})<br>{words}"
        )
        table.append((row["layer"], row["dimensions"], row[metric], low, high, words))
    lowest = min(value for line in values for value in line if value is not None)
    trace = go.Heatmap(
        x=[f"{size:,}" for size in sizes],
        y=layers,
        z=values,
        text=[[f"{value:.3f}" if value is not None else "" for value in line] for line in values],
        texttemplate="%{text}" if len(known) <= MOST_NUMBERED else "",
        customdata=hovers,
        hovertemplate="%{customdata}<extra></extra>",
        hoverongaps=False,
        zmin=lowest,
        colorscale=[[0, ZERO], [1, HIGH]],
        colorbar={"thickness": 10, "len": 0.9},
        xgap=1,
        ygap=1,
    )
    return figure(
        [trace],
        columns=columns,
        rows=table,
        height=min(640, 130 + 40 * len(layers)),
        xaxis=axis("Leading dimensions", type="category", showgrid=False),
        yaxis=axis("", type="category", showgrid=False),
    )


def forecast_errors(rows: Sequence[Row], *, metric: str = "mse", title: str = "Mean squared error") -> Figure:
    """The error of every method at every horizon, with its interval.

    Rows hold method, horizon, metric, value, low, high. Horizons are categories, as they are few and far apart; methods
    at one horizon stand side by side.
    """
    columns = ("Method", "Values ahead", title, "Low", "High")
    known = [row for row in rows if row["metric"] == metric and row["value"] is not None]
    if not known:
        return empty("Nothing was foretold.", columns=columns)
    horizons = sorted({row["horizon"] for row in known})
    lowest, highest = min(row["value"] for row in known), max(row["value"] for row in known)
    is_wide = lowest > 0 and highest > WIDE * lowest
    methods = list(dict.fromkeys(row["method"] for row in known))
    traces = []
    for place, method in enumerate(methods):
        own = sorted((row for row in known if row["method"] == method), key=lambda row: int(row["horizon"]))
        aside = (place - (len(methods) - 1) / 2) * 0.6 / len(methods)
        colour = SERIES[place % len(SERIES)]
        bars = interval([row["low"] for row in own], [row["value"] for row in own], [row["high"] for row in own])
        traces.append(
            go.Scatter(
                x=[horizons.index(row["horizon"]) + aside for row in own],
                y=[row["value"] for row in own],
                error_y={**bars, "color": colour},
                mode="markers",
                marker={"color": colour, "symbol": MARKERS[place % len(MARKERS)], "size": 9},
                name=method,
                customdata=[row["horizon"] for row in own],
                hovertemplate="<b>%{fullData.name}</b><br>%{customdata} values ahead: %{y:.4g}<extra></extra>",
            )
        )
    return figure(
        traces,
        columns=columns,
        rows=[(row["method"], row["horizon"], row["value"], row["low"], row["high"]) for row in known],
        height=380,
        xaxis=axis(
            "Values ahead",
            tickmode="array",
            tickvals=list(range(len(horizons))),
            ticktext=[f"{horizon:,}" for horizon in horizons],
            range=[-0.5, len(horizons) - 0.5],
            showgrid=False,
        ),
        # Methods that fail do so by orders of magnitude, and would press the others into one line.
        yaxis=axis(f"{title} (log scale)", type="log", dtick="D2") if is_wide else axis(title, rangemode="tozero"),
    )


def pair_scatter(rows: Sequence[Row]) -> Figure:
    """Cosine of the two rows of a pair against its gold score; rows hold pair, gold, cosine."""
    columns = ("Pair", "Gold score", "Cosine")
    if not rows:
        return empty("There are no pairs.", columns=columns)
    trace = go.Scatter(
        x=[row["gold"] for row in rows],
        y=[row["cosine"] for row in rows],
        mode="markers",
        marker={"color": SERIES[0], "size": 6},
        opacity=0.5,
        customdata=[row["pair"] for row in rows],
        hovertemplate="pair %{customdata}<br>gold %{x:.3g}, cosine %{y:.3f}<extra></extra>",
    )
    return figure(
        [trace],
        columns=columns,
        rows=[(row["pair"], row["gold"], row["cosine"]) for row in rows],
        height=360,
        xaxis=axis("Gold score"),
        yaxis=axis("Cosine"),
        showlegend=False,
    )


def base_and_new(rows: Sequence[Row]) -> Figure:
    """Accuracy on base and on new classes and their harmonic mean, a dot for each head.

    Rows hold head and, each with _low and _high, base_accuracy, new_accuracy and harmonic_mean_of_means.
    """
    groups = {
        "base_accuracy": "Base classes",
        "new_accuracy": "New classes",
        "harmonic_mean_of_means": "Harmonic mean",
    }
    found = [
        Estimate(name=row["head"], value=row[key], low=row[f"{key}_low"], high=row[f"{key}_high"], group=group)
        for key, group in groups.items()
        for row in rows
    ]
    return _with_columns(comparison(found, title="Accuracy"), ("Classes", "Head", "Accuracy", "Low", "High"))


def metrics_of_one(rows: Sequence[Estimate]) -> Figure:
    """Some metrics of one model, a dot and its interval for each; `group` is the metric."""
    return _with_columns(comparison(rows, title="Value"), ("Metric", "Model", "Value", "Low", "High"))


def _with_columns(chart: Figure, columns: Sequence[str]) -> Figure:
    chart["layout"]["meta"]["table"]["columns"] = list(columns)
    return chart
