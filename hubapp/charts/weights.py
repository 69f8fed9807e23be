"""Charts of weight matrices: power laws and norms over depth, the spectrum of one matrix, what low rank keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from hubapp.charts.frame import DASHES, INK, MARKERS, MUTED, SERIES, Figure, axis, empty, figure
from hubapp.charts.lineage import plain

DEPTH = "Depth in the network (0 first layer, 1 last)"
RANGE_OF_DEPTH = [-0.03, 1.03]
# WeightWatcher's reading of α: below 2 over-trained, above 6 under-trained (Martin et al., Nature Communications 2021).
ALPHA_LOW, ALPHA_HIGH = 2.0, 6.0
DECADES = {"dtick": 1, "exponentformat": "power"}
TICKS = [1, 1.5, 2, 3, 4, 6, 8, 10, 15, 20, 30, 50, 100]

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Tail:
    """A power law p(λ) ~ λ^−α from xmin on.

    alpha, xmin  exponent and least λ
    share        the share of the eigenvalues that lie in it
    """

    alpha: float
    xmin: float
    share: float


def _by_kind(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    kinds = sorted({str(row["kind"]) for row in rows})
    return [(kind, [row for row in rows if row["kind"] == kind]) for kind in kinds]


def _look(place: int, *, size: int = 7) -> dict[str, Any]:
    look = place % len(SERIES)
    return {"color": SERIES[look], "symbol": MARKERS[look], "size": size}


def _log_ticks(values: Sequence[float]) -> dict[str, Any]:
    """A log axis around the values: plain ticks within little more than a decade, else one for each decade."""
    low, high = math.log10(min(values)), math.log10(max(values))
    margin = max(0.06, (high - low) * 0.06)
    span = {"type": "log", "range": [low - margin, high + margin]}
    ticks = [tick for tick in TICKS if low - margin <= math.log10(tick) <= high + margin]
    if high - low > 1.3 or len(ticks) < 3:
        return {**span, **DECADES}
    return {**span, "tickmode": "array", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def alpha_over_depth(rows: Sequence[Row]) -> Figure:
    """The power-law exponent α of each matrix over depth, with the band 2 … 6; a colour and a sign for each kind.

    Rows hold layer, kind, depth, alpha (None where no power law was fitted) and ks_distance.
    """
    columns = ("Layer", "Kind", "Depth", "Alpha", "KS distance")
    known = [row for row in rows if row["alpha"] is not None]
    if not known:
        return empty("No matrix has eigenvalues enough for a power law.", columns=columns)
    traces = [
        go.Scatter(
            x=[row["depth"] for row in of_kind],
            y=[row["alpha"] for row in of_kind],
            text=[plain(row["layer"]) for row in of_kind],
            customdata=[[_near(row.get("ks_distance"))] for row in of_kind],
            name=kind,
            mode="markers",
            marker=_look(place),
            hovertemplate="<b>%{text}</b><br>α %{y:.2f}, KS distance %{customdata[0]}<extra></extra>",
        )
        for place, (kind, of_kind) in enumerate(_by_kind(known))
    ]
    band = {
        "type": "rect",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": ALPHA_LOW,
        "y1": ALPHA_HIGH,
        "fillcolor": SERIES[2],
        "opacity": 0.12,
        "line": {"width": 0},
        "layer": "below",
    }
    return figure(
        traces,
        columns=columns,
        rows=[(row["layer"], row["kind"], row["depth"], row["alpha"], row.get("ks_distance")) for row in known],
        height=340,
        xaxis=axis(DEPTH, range=RANGE_OF_DEPTH),
        yaxis=axis("α (log scale)", **_log_ticks([*(row["alpha"] for row in known), ALPHA_LOW, ALPHA_HIGH])),
        shapes=[band],
        showlegend=True,
    )


def _near(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def norms_over_depth(rows: Sequence[Row]) -> Figure:
    """Stable rank (above) and spectral norm (below) of each matrix over depth, both on log scales.

    Rows hold layer, kind, depth, stable_rank and spectral_norm (the largest eigenvalue).
    """
    columns = ("Layer", "Kind", "Depth", "Stable rank", "Spectral norm")
    known = [row for row in rows if row["stable_rank"] and row["spectral_norm"]]
    if not known:
        return empty("No matrix has a spectrum.", columns=columns)
    traces = []
    for suffix, key, words in (("", "stable_rank", "stable rank"), ("2", "spectral_norm", "spectral norm")):
        for place, (kind, of_kind) in enumerate(_by_kind(known)):
            traces.append(
                go.Scatter(
                    x=[row["depth"] for row in of_kind],
                    y=[row[key] for row in of_kind],
                    text=[plain(row["layer"]) for row in of_kind],
                    yaxis=f"y{suffix}",
                    name=kind,
                    legendgroup=kind,
                    showlegend=not suffix,
                    mode="markers",
                    marker=_look(place),
                    hovertemplate=f"<b>%{{text}}</b><br>{words} %{{y:.4g}}<extra></extra>",
                )
            )
    ranks, norms = [row["stable_rank"] for row in known], [row["spectral_norm"] for row in known]
    return figure(
        traces,
        columns=columns,
        rows=[(row["layer"], row["kind"], row["depth"], row["stable_rank"], row["spectral_norm"]) for row in known],
        height=400,
        xaxis=axis(DEPTH, range=RANGE_OF_DEPTH, anchor="y2"),
        yaxis=axis("Stable rank (log)", domain=[0.54, 1], **_log_ticks(ranks)),
        yaxis2=axis("Spectral norm (log)", domain=[0, 0.46], **_log_ticks(norms)),
    )


def spectrum(bins: Sequence[Row], *, edges: tuple[float, float] | None = None, tail: Tail | None = None) -> Figure:
    """The density of the eigenvalues of one matrix on log-log axes.

    bins   rows with low and high (log10 λ) and count
    edges  where the Marchenko-Pastur law of a random matrix of that shape begins and ends
    tail   the power law that was fitted to the largest eigenvalues
    """
    columns = ("λ from", "λ to", "Eigenvalues", "Density")
    total = sum(row["count"] for row in bins)
    if not total:
        return empty("This matrix has no spectrum.", columns=columns)
    table = []
    for row in bins:
        low, high = 10.0 ** row["low"], 10.0 ** row["high"]
        table.append((low, high, row["count"], row["count"] / total / (high - low) if high > low else None))
    shown = [line for line in table if line[2] and line[3]]
    if not shown:
        return empty("All eigenvalues of this matrix are equal.", columns=columns)
    traces = [
        go.Scatter(
            x=[math.sqrt(low * high) for low, high, *_ in shown],
            y=[density for *_, density in shown],
            customdata=[[count, low, high] for low, high, count, _ in shown],
            name="eigenvalues",
            mode="markers",
            marker={"color": SERIES[0], "size": 6},
            hovertemplate="λ %{customdata[1]:.3g} to %{customdata[2]:.3g}: %{customdata[0]}<extra></extra>",
        )
    ]
    densities = [density for *_, density in shown if density]
    if tail is not None and tail.xmin > 0:
        last = max(high for _, high, *_ in shown)
        points = [tail.xmin * (max(last, tail.xmin) / tail.xmin) ** (step / 24) for step in range(25)]
        factor = tail.share * (tail.alpha - 1) / tail.xmin
        traces.append(
            go.Scatter(
                x=points,
                y=[factor * (point / tail.xmin) ** -tail.alpha for point in points],
                name=f"power law, α = {tail.alpha:.2f}",
                mode="lines",
                line={"color": SERIES[1], "width": 2, "dash": "dash"},
                hoverinfo="skip",
            )
        )
    low, high = min(densities), max(densities)
    for place, edge in enumerate(edges or ()):
        if edge > 0:
            traces.append(
                go.Scatter(
                    x=[edge, edge],
                    y=[low / 2, high * 2],
                    name="Marchenko-Pastur edges",
                    legendgroup="edges",
                    showlegend=place == 1,
                    mode="lines",
                    line={"color": MUTED, "width": 1.5, "dash": "dot"},
                    hovertemplate=f"edge at {edge:.4g}<extra></extra>",
                )
            )
    return figure(
        traces,
        columns=columns,
        rows=table,
        height=340,
        xaxis=axis("Eigenvalue λ (log scale)", type="log", **DECADES),
        yaxis=axis(
            "Density (log scale)",
            type="log",
            **DECADES,
            range=[math.log10(low) - 0.3, math.log10(high) + 0.3],
        ),
        showlegend=len(traces) > 1,
    )


def kept_parameters(rows: Sequence[Row]) -> Figure:
    """The share of parameters that factors of low rank need for each share of energy: the whole model, and each kind.

    Rows hold kind, energy, parameters and parameters_full; a matrix whose factors would be larger stays as it is.
    """
    columns = ("What", "Energy", "Parameters kept", "Parameters", "Share")
    energies = sorted({row["energy"] for row in rows})
    if not energies:
        return empty("No matrix was factored.", columns=columns)
    groups = _by_kind(rows)
    series = [("all matrices", list(rows)), *(groups if len(groups) > 1 else [])]
    labels = [f"{energy:.1%}".replace(".0%", "%") for energy in energies]
    traces, table = [], []
    for place, (name, chosen) in enumerate(series):
        shares = []
        for energy in energies:
            level = [row for row in chosen if row["energy"] == energy]
            full = sum(row["parameters_full"] for row in level)
            kept = sum(min(row["parameters"], row["parameters_full"]) for row in level)
            shares.append(kept / full if full else None)
            table.append((name, energy, kept, full, shares[-1]))
        look = place % len(SERIES)
        colour = INK if place == 0 else SERIES[look - 1]
        traces.append(
            go.Scatter(
                x=labels,
                y=shares,
                name=name,
                mode="lines+markers",
                line={"color": colour, "width": 2 if place == 0 else 1.5, "dash": DASHES[look]},
                marker={"color": colour, "symbol": MARKERS[look], "size": 7},
                hovertemplate="%{fullData.name}: %{y:.1%} of the parameters keep %{x} of the energy<extra></extra>",
            )
        )
    return figure(
        traces,
        columns=columns,
        rows=table,
        height=320,
        xaxis=axis("Energy kept (share of the squared norm)", type="category"),
        yaxis=axis("Parameters kept (share)", range=[0, 1.05], tickformat=".0%"),
        showlegend=True,
    )
