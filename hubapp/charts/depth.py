"""Layers of several models over depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from hubapp.charts.frame import DASHES, MARKERS, SERIES, Figure, axis, empty, figure
from hubapp.charts.rows import LayerRow


def entropy_over_depth(models: Mapping[str, Sequence[LayerRow]]) -> Figure:
    """Variance entropy over its randomness threshold, by depth: a line for each model; above 1 a layer is random."""
    columns = ("Model", "Layer", "Depth", "Variance entropy", "Threshold")
    traces, table = [], []
    for place, (name, rows) in enumerate(models.items()):
        known = [row for row in rows if row["variance_entropy"] is not None and row["randomness_threshold"]]
        ratios = [(row["variance_entropy"] or 0.0) / (row["randomness_threshold"] or 1.0) for row in known]
        look = place % len(SERIES)
        traces.append(
            go.Scatter(
                x=[row["depth"] for row in known],
                y=ratios,
                text=[row["layer"] for row in known],
                name=name,
                mode="lines+markers",
                line={"color": SERIES[look], "width": 1.5, "dash": DASHES[look]},
                marker={"color": SERIES[look], "symbol": MARKERS[look], "size": 7},
                hovertemplate="<b>%{text}</b><br>%{y:.2f} of the threshold<extra>%{fullData.name}</extra>",
            )
        )
        table += [
            (name, row["layer"], row["depth"], row["variance_entropy"], row["randomness_threshold"]) for row in known
        ]
    if not table:
        return empty("None of these models has 3 × 3 layers that were looked at.", columns=columns)
    return figure(
        traces,
        columns=columns,
        rows=table,
        xaxis=axis("Depth (0 first, 1 last layer)", range=[-0.03, 1.03]),
        yaxis=axis("Variance entropy / randomness threshold", rangemode="tozero"),
        showlegend=True,
    )
