"""Charts of the filter analysis: health and sparsity over depth, the filter basis, coefficient histograms."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from hubapp.charts.frame import HIGH, INK, LOW, MUTED, PAPER, SERIES, ZERO, Figure, axis, empty, figure
from hubapp.charts.lineage import plain
from hubapp.charts.rows import BinRow, ComponentRow, LayerRow

VERDICT_LOOK = {
    "healthy": (SERIES[2], "circle"),
    "random": (SERIES[1], "x"),
    "sparse": (SERIES[0], "triangle-down"),
    "redundant": (SERIES[3], "diamond"),
    "not assessable": (MUTED, "circle-open"),
}
DEPTH = "Depth in the network (0 first layer, 1 last)"
NOTHING = "This model has no such layers to show."


def _name(component: int) -> str:
    return f"Component {component + 1}"


def layer_health(rows: Sequence[LayerRow]) -> Figure:
    """The verdict of each layer as a strip, over the variance entropy and the randomness threshold, by depth."""
    columns = ("Layer", "Depth", "Filters", "Variance entropy", "Randomness threshold", "Verdict")
    if not rows:
        return empty(NOTHING, columns=columns)
    depths = [row["depth"] for row in rows]
    names = [row["layer"] for row in rows]
    traces = [
        go.Scatter(
            x=depths,
            y=[row["randomness_threshold"] for row in rows],
            name="randomness threshold",
            mode="lines",
            line={"color": MUTED, "dash": "dash", "width": 1.5, "shape": "hvh"},
            hovertemplate="threshold %{y:.3f}<extra></extra>",
        ),
        go.Scatter(
            x=depths,
            y=[row["variance_entropy"] for row in rows],
            name="variance entropy",
            mode="lines",
            line={"color": INK, "width": 1.5},
            hoverinfo="skip",
        ),
    ]
    seen = [*VERDICT_LOOK, *sorted({row["verdict"] for row in rows} - VERDICT_LOOK.keys())]
    for verdict in seen:
        chosen = [row for row in rows if row["verdict"] == verdict]
        if not chosen:
            continue
        colour, symbol = VERDICT_LOOK.get(verdict, (MUTED, "star"))
        look = {"color": colour, "symbol": symbol, "size": 8, "line": {"width": 1, "color": PAPER}}
        if symbol.endswith("-open"):
            look["line"] = {"width": 1.5, "color": colour}
        traces.append(
            go.Scatter(
                x=[row["depth"] for row in chosen],
                y=[row["variance_entropy"] for row in chosen],
                text=[plain(row["layer"]) for row in chosen],
                name=verdict,
                legendgroup=verdict,
                mode="markers",
                marker=look,
                hovertemplate=f"<b>%{{text}}</b><br>{verdict}, entropy %{{y:.3f}}<extra></extra>",
            )
        )
        traces.append(
            go.Scatter(
                x=[row["depth"] for row in chosen],
                y=[0] * len(chosen),
                text=[plain(row["layer"]) for row in chosen],
                yaxis="y2",
                legendgroup=verdict,
                showlegend=False,
                name=verdict,
                mode="markers",
                marker={"color": colour, "symbol": "line-ns", "size": 18, "line": {"width": 5, "color": colour}},
                hovertemplate=f"<b>%{{text}}</b><br>{verdict}<extra></extra>",
            )
        )
    table = [
        (name, row["depth"], row["filters"], row["variance_entropy"], row["randomness_threshold"], row["verdict"])
        for name, row in zip(names, rows, strict=True)
    ]
    return figure(
        traces,
        columns=columns,
        rows=table,
        height=360,
        xaxis=axis(DEPTH, range=[-0.03, 1.03], anchor="y"),
        yaxis=axis("Variance entropy (log10 units)", domain=[0, 0.86], rangemode="tozero"),
        yaxis2={"domain": [0.9, 1], "range": [-1, 1], "visible": False, "fixedrange": True},
    )


def sparsity_over_depth(rows: Sequence[LayerRow]) -> Figure:
    """The share of sparse filters of each layer, by depth."""
    columns = ("Layer", "Depth", "Filters", "Sparse share")
    known = [row for row in rows if row["sparsity"] is not None]
    if not known:
        return empty(NOTHING, columns=columns)
    trace = go.Scatter(
        x=[row["depth"] for row in known],
        y=[row["sparsity"] for row in known],
        text=[plain(row["layer"]) for row in known],
        mode="lines+markers",
        line={"color": SERIES[0], "width": 1.5},
        marker={"color": SERIES[0], "size": 7},
        hovertemplate="<b>%{text}</b><br>%{y:.1%} of the filters are sparse<extra></extra>",
    )
    top = max(row["sparsity"] or 0.0 for row in known)
    return figure(
        [trace],
        columns=columns,
        rows=[(row["layer"], row["depth"], row["filters"], row["sparsity"]) for row in known],
        xaxis=axis(DEPTH, range=[-0.03, 1.03]),
        yaxis=axis("Sparse filters (share of the layer)", range=[-0.005, max(0.05, top * 1.1)], tickformat=".0%"),
        showlegend=False,
    )


def explained_variance(rows: Sequence[ComponentRow]) -> Figure:
    """The share of the filters' variance along each basis filter, and the running sum."""
    columns = ("Component", "Share", "Running sum")
    if not rows:
        return empty(NOTHING, columns=columns)
    names = [row["component"] + 1 for row in rows]
    shares = [row["explained_variance_ratio"] for row in rows]
    running = [sum(shares[: place + 1]) for place in range(len(shares))]
    traces = [
        go.Bar(
            x=names,
            y=shares,
            name="share",
            marker={"color": SERIES[0]},
            hovertemplate="component %{x}: %{y:.1%}<extra></extra>",
        ),
        go.Scatter(
            x=names,
            y=running,
            name="running sum",
            mode="lines+markers",
            line={"color": SERIES[1], "width": 1.5},
            marker={"color": SERIES[1], "symbol": "square", "size": 6},
            hovertemplate="components 1 to %{x}: %{y:.1%}<extra></extra>",
        ),
    ]
    return figure(
        traces,
        columns=columns,
        rows=list(zip(names, shares, running, strict=True)),
        xaxis=axis("Component", dtick=1),
        yaxis=axis("Explained variance (share)", range=[0, 1.03], tickformat=".0%"),
        bargap=0.35,
    )


def basis_filters(rows: Sequence[ComponentRow]) -> Figure:
    """The basis filters as 3 × 3 heat maps in one row, with their shares; zero is grey."""
    columns = ("Component", "Explained variance", *(f"w{tap}" for tap in range(9)))
    if not rows:
        return empty(NOTHING, columns=columns)
    weights = [_weights(row) for row in rows]
    top = max(abs(weight) for taps in weights for weight in taps) or 1.0
    step = 1 / len(rows)
    traces, axes, notes = [], {}, []
    for place, (row, taps) in enumerate(zip(rows, weights, strict=True)):
        suffix = "" if place == 0 else str(place + 1)
        traces.append(
            go.Heatmap(
                z=[taps[0:3], taps[3:6], taps[6:9]],
                xaxis=f"x{suffix}",
                yaxis=f"y{suffix}",
                zmin=-top,
                zmax=top,
                colorscale=[[0, LOW], [0.5, ZERO], [1, HIGH]],
                showscale=False,
                xgap=1,
                ygap=1,
                name=_name(row["component"]),
                hovertemplate="%{fullData.name}<br>row %{y}, column %{x}: %{z:.3f}<extra></extra>",
            )
        )
        left = place * step
        hidden = {"visible": False, "range": [-0.5, 2.5], "fixedrange": True, "constrain": "domain"}
        axes[f"xaxis{suffix}"] = {**hidden, "domain": [left + step * 0.05, left + step * 0.95], "anchor": f"y{suffix}"}
        axes[f"yaxis{suffix}"] = {
            **hidden,
            "range": [2.5, -0.5],
            "domain": [0.22, 1],
            "anchor": f"x{suffix}",
            "scaleanchor": f"x{suffix}",
        }
        notes.append(
            {
                "text": f"{row['explained_variance_ratio']:.0%}",
                "x": 0.5,
                "y": 0,
                "xref": f"x{suffix} domain",
                "yref": f"y{suffix} domain",
                "yanchor": "top",
                "showarrow": False,
            }
        )
    return figure(
        traces,
        columns=columns,
        rows=[
            (_name(row["component"]), row["explained_variance_ratio"], *taps)
            for row, taps in zip(rows, weights, strict=True)
        ],
        height=130,
        annotations=notes,
        **axes,
    )


def _weights(row: ComponentRow) -> list[float]:
    return [row["w0"], row["w1"], row["w2"], row["w3"], row["w4"], row["w5"], row["w6"], row["w7"], row["w8"]]


def coefficient_histograms(rows: Sequence[BinRow]) -> Figure:
    """The distribution of each coefficient over the model's filters, in the fixed DCT basis.

    Small multiples in the basis' own order: horizontal frequency rises to the right, vertical frequency downwards. The
    share axis is logarithmic, for most filters lie near zero.
    """
    columns = ("Coefficient", "From", "To", "Filters", "Share")
    components = sorted({row["component"] for row in rows})
    if not components or not any(row["count"] for row in rows):
        return empty(NOTHING, columns=columns)
    side = max(1, round(len(components) ** 0.5))
    lines = -(-len(components) // side)
    traces, axes, table, notes = [], {}, [], []
    for place, component in enumerate(components):
        chosen = [row for row in rows if row["component"] == component]
        total = sum(row["count"] for row in chosen) or 1
        shares = [row["count"] / total for row in chosen]
        suffix = "" if place == 0 else str(place + 1)
        line, column = divmod(place, side)
        traces.append(
            go.Scatter(
                x=[(row["low"] + row["high"]) / 2 for row in chosen],
                y=[share or None for share in shares],
                xaxis=f"x{suffix}",
                yaxis=f"y{suffix}",
                mode="lines",
                line={"color": SERIES[0], "width": 1.5, "shape": "hvh"},
                connectgaps=False,
                hovertemplate=f"({line}, {column}) near %{{x:.2f}}: %{{y:.2%}}<extra></extra>",
            )
        )
        is_left, is_bottom = column == 0, line == lines - 1
        top = 1 - line / lines
        axes[f"xaxis{suffix}"] = axis(
            "Coefficient" if is_bottom and column == side // 2 else "",
            domain=[column / side + 0.01, (column + 1) / side - 0.01],
            anchor=f"y{suffix}",
            showticklabels=is_bottom,
            matches=None if place == 0 else "x",
            nticks=4,
        )
        axes[f"yaxis{suffix}"] = axis(
            "Share of filters (log)" if is_left and line == lines // 2 else "",
            domain=[top - 1 / lines + 0.015, top - 0.015],
            anchor=f"x{suffix}",
            type="log",
            showticklabels=is_left,
            matches=None if place == 0 else "y",
            dtick=2,
            tickformat=".0e",
        )
        notes.append(
            {
                "text": f"({line}, {column})",
                "x": 0.98,
                "y": 0.98,
                "xref": f"x{suffix} domain",
                "yref": f"y{suffix} domain",
                "xanchor": "right",
                "yanchor": "top",
                "showarrow": False,
            }
        )
        table += [
            (f"({line}, {column})", row["low"], row["high"], row["count"], share)
            for row, share in zip(chosen, shares, strict=True)
            if row["count"]
        ]
    return figure(traces, columns=columns, rows=table, height=380, showlegend=False, annotations=notes, **axes)
