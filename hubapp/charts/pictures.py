"""Filters as pictures: one heat map of many small ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import plotly.graph_objects as go

from hubapp.charts.frame import HIGH, LOW, ZERO, Figure, empty, figure

TILES_A_LINE = 8
TOP = 127


class PictureRow(TypedDict):
    """A row of the filter analysis' table "pictures": one filter, row by row, −127 … 127 of its own largest weight."""

    layer: str
    kernel_height: int
    kernel_width: int
    filter: int
    values: list[int]


def filter_pictures(rows: Sequence[PictureRow]) -> Figure:
    """The filters of one layer as tiles of one heat map, eight a line; each is scaled by its own largest weight."""
    columns = ("Filter", "Row", "Column", "Weight over the filter's largest")
    if not rows:
        return empty("No filters of this layer were kept as pictures.", columns=columns)
    high, wide = rows[0]["kernel_height"], rows[0]["kernel_width"]
    across = min(TILES_A_LINE, len(rows))
    lines = -(-len(rows) // across)
    width, height = across * (wide + 1) - 1, lines * (high + 1) - 1
    z: list[list[float | None]] = [[None] * width for _ in range(height)]
    text = [[""] * width for _ in range(height)]
    table = []
    for place, row in enumerate(rows):
        top, left = (place // across) * (high + 1), (place % across) * (wide + 1)
        for tap, value in enumerate(row["values"]):
            line, column = divmod(tap, wide)
            share = value / TOP
            z[top + line][left + column] = share
            text[top + line][left + column] = f"filter {row['filter']}, row {line}, column {column}"
            table.append((row["filter"], line, column, share))
    trace = go.Heatmap(
        z=z,
        text=text,
        zmin=-1,
        zmax=1,
        colorscale=[[0, LOW], [0.5, ZERO], [1, HIGH]],
        showscale=False,
        hoverongaps=False,
        hovertemplate="%{text}: %{z:.2f} of its largest weight<extra></extra>",
    )
    hidden = {"visible": False, "fixedrange": True, "constrain": "domain"}
    return figure(
        [trace],
        columns=columns,
        rows=table,
        height=min(460, 40 + lines * 52),
        xaxis={**hidden, "range": [-0.5, width - 0.5]},
        yaxis={**hidden, "range": [height - 0.5, -0.5], "scaleanchor": "x"},
    )
