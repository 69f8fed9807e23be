"""Charts of the blocks of a model, and of what changed in its layers: likeness, straightness in depth, differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from hubapp.charts.frame import HIGH, LOW, MARKERS, MUTED, SERIES, ZERO, Figure, axis, empty, figure
from hubapp.charts.lineage import plain

Row = Mapping[str, Any]
NUMBERED_BLOCKS = 12  # whose cells hold their value


def block_likeness(rows: Sequence[Row]) -> Figure:
    """The cosine of every two blocks of a stack, all tensors that both have flattened into one.

    Rows hold block_a, block_b, roles, cosine, relative_distance. The diagonal, where a block meets itself, is left out.
    """
    columns = ("Block", "Other block", "Roles in common", "Cosine", "Relative distance")
    known = [row for row in rows if row["cosine"] is not None]
    if not known:
        return empty("This model has no two blocks with tensors of equal shape.", columns=columns)
    blocks = sorted({row["block_a"] for row in known} | {row["block_b"] for row in known})
    place = {block: at for at, block in enumerate(blocks)}
    values: list[list[float | None]] = [[None] * len(blocks) for _ in blocks]
    hovers = [[""] * len(blocks) for _ in blocks]
    for row in known:
        i, j = place[row["block_a"]], place[row["block_b"]]
        distance = row.get("relative_distance")
        words = (
            f"blocks {row['block_a']} and {row['block_b']}<br>cosine {row['cosine']:.3f}"
            + (f", relative distance {distance:.2f}" if distance is not None else "")
            + f"<br>{row['roles']} tensors in common"
        )
        for line, column in ((i, j), (j, i)):
            values[line][column], hovers[line][column] = row["cosine"], words
    top = max(abs(row["cosine"]) for row in known) or 1.0
    is_signed = min(row["cosine"] for row in known) < -0.05 * top
    labels = {"tickmode": "array", "tickvals": list(range(len(blocks))), "ticktext": [str(block) for block in blocks]}
    step = max(1, len(blocks) // 16)
    labels = {name: value[::step] if isinstance(value, list) else value for name, value in labels.items()}
    digits = 2 if top >= 0.1 else 3
    trace = go.Heatmap(
        z=values,
        text=[[f"{value:.{digits}f}" if value is not None else "" for value in line] for line in values],
        texttemplate="%{text}" if len(blocks) <= NUMBERED_BLOCKS else "",
        customdata=hovers,
        hovertemplate="%{customdata}<extra></extra>",
        hoverongaps=False,
        zmin=-top if is_signed else 0,
        zmax=top,
        colorscale=[[0, LOW], [0.5, ZERO], [1, HIGH]] if is_signed else [[0, ZERO], [1, HIGH]],
        colorbar={"title": {"text": "Cosine", "side": "top"}, "thickness": 10, "len": 0.6, "orientation": "h", "x": 0,
                  "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        xgap=1,
        ygap=1,
    )  # fmt: skip
    return figure(
        [trace],
        columns=columns,
        rows=[
            (row["block_a"], row["block_b"], row["roles"], row["cosine"], row.get("relative_distance")) for row in known
        ],
        height=min(640, 150 + 40 * len(blocks)),
        xaxis=axis("Block", **labels, showgrid=False, range=[-0.5, len(blocks) - 0.5], constrain="domain"),
        yaxis=axis(
            "Block",
            **labels,
            showgrid=False,
            range=[len(blocks) - 0.5, -0.5],
            scaleanchor="x",
            constrain="domain",
        ),
    )


def straightness(rows: Sequence[Row]) -> Figure:
    """How much of the change of each role over the blocks lies on a straight line in depth, beside what chance gives.

    Rows hold stack, role, blocks, r_squared (None where nothing varies) and expected (None for two blocks).
    """
    columns = ("Role", "Stack", "Blocks", "Share on a line", "Share by chance")
    known = [row for row in rows if row["r_squared"] is not None and row["expected"] is not None]
    if not known:
        return empty("No role has three blocks or more, so nothing can run on a line.", columns=columns)
    stacks = {row["stack"] for row in known}
    names = [row["role"] if len(stacks) == 1 else f"{row['stack']}: {row['role']}" for row in known]
    lines = [plain(name if len(name) <= 44 else f"…{name[-43:]}") for name in names]
    places = list(range(len(known)))
    traces = [
        go.Scatter(
            x=[row["r_squared"] for row in known],
            y=places,
            text=[plain(name) for name in names],
            name="weights",
            mode="markers",
            marker={"color": SERIES[0], "symbol": MARKERS[0], "size": 9},
            hovertemplate="%{text}<br>%{x:.1%} on a line<extra></extra>",
        ),
        go.Scatter(
            x=[row["expected"] for row in known],
            y=places,
            name="by chance",
            mode="markers",
            marker={"color": MUTED, "symbol": "line-ns", "size": 12, "line": {"width": 2, "color": MUTED}},
            hovertemplate="tensors in any order: %{x:.1%}<extra></extra>",
        ),
    ]
    return figure(
        traces,
        columns=columns,
        rows=[
            (row["role"], row["stack"], row["blocks"], row["r_squared"], row["expected"]) for row in known
        ],
        height=110 + 22 * len(known),
        xaxis=axis("Share on a line", rangemode="tozero", tickformat=".0%", nticks=5),
        yaxis={
            "tickmode": "array",
            "tickvals": places,
            "ticktext": lines,
            "range": [len(known) - 0.5, -0.5],
            "automargin": True,
            "fixedrange": True,
            "zeroline": False,
        },
        showlegend=True,
    )  # fmt: skip


def change_over_depth(rows: Sequence[Row]) -> Figure:
    """How far each layer moved from its base (above), and how many directions carry the change (below), over depth.

    Rows hold layer, kind, depth, relative_norm and rank_at_90 (None where nothing changed or it was not decomposed).
    """
    columns = ("Layer", "Kind", "Depth", "Relative norm", "Rank at 90%")
    known = [row for row in rows if row["relative_norm"] is not None]
    if not known:
        return empty("No layer of the two has the same name and shape.", columns=columns)
    kinds = sorted({str(row["kind"]) for row in known})
    traces = []
    for suffix, key, words in (("", "relative_norm", "moved by %{y:.3g}"), ("2", "rank_at_90", "rank at 90%%: %{y}")):
        for place, kind in enumerate(kinds):
            chosen = [row for row in known if row["kind"] == kind and row.get(key) is not None]
            if not chosen:
                continue
            look = place % len(SERIES)
            traces.append(
                go.Scatter(
                    x=[row["depth"] for row in chosen],
                    y=[row[key] for row in chosen],
                    text=[plain(row["layer"]) for row in chosen],
                    yaxis=f"y{suffix}",
                    name=kind,
                    legendgroup=kind,
                    showlegend=not suffix,
                    mode="markers",
                    marker={"color": SERIES[look], "symbol": MARKERS[look], "size": 7},
                    hovertemplate=f"<b>%{{text}}</b><br>{words.replace('%%', '%')}<extra></extra>",
                )
            )
    return figure(
        traces,
        columns=columns,
        rows=[(row["layer"], row["kind"], row["depth"], row["relative_norm"], row.get("rank_at_90")) for row in known],
        height=400,
        xaxis=axis("Depth in the network (0 first layer, 1 last)", range=[-0.03, 1.03], anchor="y2"),
        yaxis=axis("Relative norm", domain=[0.54, 1], rangemode="tozero"),
        yaxis2=axis("Rank at 90%", domain=[0, 0.46], rangemode="tozero"),
        showlegend=True,
    )
