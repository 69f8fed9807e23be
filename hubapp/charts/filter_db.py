"""Charts of the filter DB: drift between groups of models, ridges of their coefficients, explained variance."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from hubapp.charts.frame import DASHES, HIGH, LEGEND, MARKERS, MUTED, SERIES, ZERO, Figure, axis, empty, figure
from hubapp.charts.lineage import plain

TICK_CHARACTERS = 20
NUMBERED_GROUPS = 12  # of a heat map whose cells hold their value; of more only the sign of what lies beyond the null
LISTED_GROUPS = 8  # that a legend can tell apart
MOST_PANELS = 9
BEYOND = "•"


@dataclass(frozen=True, kw_only=True)
class DriftCell:
    """The drift between two groups.

    low, high   the ends of its interval; None where no interval was computed
    null        the 95% quantile of the drift between groups that differ by chance alone; None where there is no null
    note        in words, what is missing and why
    """

    a: str
    b: str
    value: float | None
    low: float | None = None
    high: float | None = None
    null: float | None = None
    note: str = ""

    @property
    def is_beyond(self) -> bool:
        """Whether the drift is larger than what chance gives in 95 of 100 cases."""
        return self.value is not None and self.null is not None and self.value > self.null

    @property
    def beyond_words(self) -> str:
        """Whether the drift exceeds the null, in words; the note where there is no null."""
        if self.null is None or self.value is None:
            return self.note
        return "yes" if self.is_beyond else "no"


@dataclass(frozen=True, kw_only=True)
class GroupCoefficients:
    """How the coefficients of a group's filters spread over the fixed bins.

    names   of the coefficients, such as "(0, 1)": vertical and horizontal frequency
    edges   of the bins, one more than there are bins
    shares  of the group's filters in each bin, a row for each coefficient
    """

    group: str
    names: Sequence[str]
    edges: Sequence[float]
    shares: Sequence[Sequence[float]]


@dataclass(frozen=True, kw_only=True)
class GroupVariance:
    """The share of a group's variance along each of its basis filters, and their weights row by row."""

    group: str
    ratios: Sequence[float]
    components: Sequence[Sequence[float]]


def divergence_heat_map(groups: Sequence[str], cells: Sequence[DriftCell]) -> Figure:
    """The drift between every two groups, in the order of `groups`; a dot marks what lies beyond the null.

    Colours follow the square root of the drift, so that one outlier does not wash out the rest.
    """
    columns = ("Group", "Other group", "Drift", "Low", "High", "Null, 95% quantile", "Beyond the null")
    known = [cell for cell in cells if cell.value is not None]
    if len(groups) < 2 or not known:
        return empty("Drift needs at least two groups with filters.", columns=columns)
    place = {name: number for number, name in enumerate(groups)}
    size = len(groups)
    values: list[list[float | None]] = [[None] * size for _ in groups]
    texts = [[""] * size for _ in groups]
    hovers = [[""] * size for _ in groups]
    is_numbered = size <= NUMBERED_GROUPS
    for cell in known:
        i, j = place[cell.a], place[cell.b]
        mark = BEYOND if cell.is_beyond else ""
        for row, column in ((i, j), (j, i)):
            values[row][column] = round(math.sqrt(max(cell.value or 0.0, 0.0)), 5)
            texts[row][column] = f"{_short(cell.value)}{mark}" if is_numbered else mark
            hovers[row][column] = _cell_words(cell)
    top = max(cell.value or 0.0 for cell in known) or 1.0
    ticks = [top * share for share in (0, 1 / 4, 1)]
    trace = go.Heatmap(
        z=values,
        text=texts,
        texttemplate="%{text}",
        customdata=hovers,
        hovertemplate="%{customdata}<extra></extra>",
        hoverongaps=False,
        zmin=0,
        zmax=math.sqrt(top),
        colorscale=[[0, ZERO], [1, HIGH]],
        colorbar={
            "title": {"text": "Drift", "side": "top"},
            "orientation": "h",
            "thickness": 10,
            "len": 0.6,
            "x": 0,
            "xanchor": "left",
            "y": 1.02,
            "yanchor": "bottom",
            "tickvals": [round(math.sqrt(tick), 5) for tick in ticks],
            "ticktext": [_short(tick) for tick in ticks],
        },
        xgap=1,
        ygap=1,
    )
    labels = {"tickmode": "array", "tickvals": list(range(size)), "ticktext": [_tick(name) for name in groups]}
    return figure(
        [trace],
        columns=columns,
        rows=[
            (*sorted((cell.a, cell.b), key=place.__getitem__), *_cell_values(cell))
            for cell in sorted(known, key=lambda cell: sorted((place[cell.a], place[cell.b])))
        ],
        height=heat_map_height(size),
        xaxis=axis(
            "", **labels, range=[-0.5, size - 0.5], tickangle=-50 if is_numbered else -90, showgrid=False, ticks=""
        ),
        yaxis=axis("", **labels, range=[size - 0.5, -0.5], showgrid=False, ticks=""),
    )


def heat_map_height(groups: int) -> int:
    """Pixels that the heat map of so many groups takes."""
    return 210 + groups * (34 if groups <= NUMBERED_GROUPS else 22)


def _cell_values(cell: DriftCell) -> tuple[Any, ...]:
    return cell.value, cell.low, cell.high, cell.null, cell.beyond_words


def _cell_words(cell: DriftCell) -> str:
    lines = [f"<b>{plain(cell.a)}</b> and <b>{plain(cell.b)}</b>", f"drift {_short(cell.value)}"]
    if cell.low is not None and cell.high is not None:
        lines[-1] += f" [{_short(cell.low)}, {_short(cell.high)}]"
    if cell.null is not None:
        lines.append(
            f"chance alone stays under {_short(cell.null)} in 95 of 100 cases: "
            + ("beyond it" if cell.is_beyond else "not beyond it")
        )
    if cell.note:
        lines.append(plain(cell.note))
    return "<br>".join(lines)


def _short(value: float | None) -> str:
    """Two significant digits, without an exponent."""
    if value is None:
        return "–"
    digits = 2 if value <= 0 else min(4, max(0, 1 - math.floor(math.log10(value))))
    return f"{value:.{digits}f}"


def _tick(name: str) -> str:
    return plain(name if len(name) <= TICK_CHARACTERS else f"{name[: TICK_CHARACTERS - 1]}…")


def coefficient_ridges(groups: Sequence[GroupCoefficients]) -> Figure:
    """A panel for each coefficient (at most nine), in it a ridge for each group, over the same fixed range.

    Each ridge is scaled to its own highest bin: shapes compare, heights do not. The table holds moments and quantiles.
    """
    columns = ("Group", "Coefficient", "Mean", "Standard deviation", "5%", "Median", "95%", "Highest bin")
    groups = [group for group in groups if any(any(row) for row in group.shares)]
    if not groups:
        return empty("These groups have no filters of this kernel size.", columns=columns)
    names = list(groups[0].names)[:MOST_PANELS]
    side = max(1, math.ceil(math.sqrt(len(names))))
    lines = -(-len(names) // side)
    panel = _panel_height(len(groups))
    above, below = 24 / (lines * panel), 8 / (lines * panel)  # pixels of a panel's name and of its end, as shares
    traces: list[Any] = []
    axes: dict[str, Any] = {}
    notes: list[dict[str, Any]] = []
    for place, name in enumerate(names):
        suffix = "" if place == 0 else str(place + 1)
        line, column = divmod(place, side)
        top = 1 - line / lines
        for number, group in enumerate(groups):
            traces.append(_ridge(group, place, base=len(groups) - 1 - number, suffix=suffix))
        is_bottom = place + side >= len(names)
        axes[f"xaxis{suffix}"] = axis(
            "Coefficient" if is_bottom and column == side // 2 else "",
            domain=[column / side + 0.008, (column + 1) / side - 0.008],
            anchor=f"y{suffix}",
            range=[groups[0].edges[0], groups[0].edges[-1]],
            nticks=5,
            showticklabels=is_bottom,
        )
        axes[f"yaxis{suffix}"] = axis(
            "",
            domain=[top - 1 / lines + below, top - above],
            anchor=f"x{suffix}",
            range=[-0.1, len(groups) + 0.05],
            tickmode="array",
            tickvals=[len(groups) - 1 - number for number in range(len(groups))],
            ticktext=[_tick(group.group) for group in groups],
            showticklabels=column == 0,
            fixedrange=True,
        )
        notes.append(
            {
                "text": name,
                "x": 0.5,
                "y": 1,
                "xref": f"x{suffix} domain",
                "yref": f"y{suffix} domain",
                "yanchor": "bottom",
                "showarrow": False,
                "font": {"size": 11},
            }
        )
    return figure(
        traces,
        columns=columns,
        rows=[
            (group.group, name, *_moments(group.edges, group.shares[place]))
            for group in groups
            for place, name in enumerate(names)
        ],
        height=ridges_height(len(groups), len(names)),
        showlegend=False,
        annotations=notes,
        **axes,
    )


def ridges_height(groups: int, coefficients: int) -> int:
    """Pixels that the ridges of so many groups and coefficients take."""
    names = min(coefficients, MOST_PANELS)
    return 60 + -(-names // max(1, math.ceil(math.sqrt(names)))) * _panel_height(groups)


def _panel_height(groups: int) -> int:
    return 34 + groups * (26 if groups <= NUMBERED_GROUPS else 17)


def _ridge(group: GroupCoefficients, place: int, *, base: int, suffix: str) -> Any:
    shares = group.shares[place]
    peak = max(shares) or 1.0
    held = [number for number, share in enumerate(shares) if share > 0] or [0]
    width = (group.edges[-1] - group.edges[0]) / len(shares)
    first, last = held[0], held[-1]
    return go.Scatter(
        x0=group.edges[0] + (first - 0.5) * width,
        dx=width,
        y=[base, *(round(base + 0.92 * share / peak, 4) for share in shares[first : last + 1]), base],
        xaxis=f"x{suffix}",
        yaxis=f"y{suffix}",
        name=plain(group.group),
        mode="lines",
        fill="toself",
        fillcolor=SERIES[0],
        opacity=0.6,
        line={"color": SERIES[0], "width": 1},
        hoveron="points",
        hovertemplate="%{fullData.name}<br>coefficient near %{x:.2f}<extra></extra>",
    )


def _moments(edges: Sequence[float], shares: Sequence[float]) -> tuple[float | None, ...]:
    """Mean, standard deviation, 5%, 50% and 95% quantile (linear within a bin), and the share of the highest bin."""
    total = math.fsum(shares)
    if total <= 0:
        return (None,) * 6
    middles = [(low + high) / 2 for low, high in itertools.pairwise(edges)]
    mean = math.fsum(middle * share for middle, share in zip(middles, shares, strict=True)) / total
    spread = math.fsum((middle - mean) ** 2 * share for middle, share in zip(middles, shares, strict=True)) / total
    quantiles = [_quantile(edges, shares, total * level) for level in (0.05, 0.5, 0.95)]
    return (mean, math.sqrt(spread), *quantiles, max(shares) / total)


def _quantile(edges: Sequence[float], shares: Sequence[float], wanted: float) -> float:
    below = 0.0
    for place, share in enumerate(shares):
        if share > 0 and below + share >= wanted:
            return edges[place] + (wanted - below) / share * (edges[place + 1] - edges[place])
        below += share
    return edges[-1]


def variance_by_group(groups: Sequence[GroupVariance]) -> Figure:
    """The share of variance along each basis filter, a line for each group; a flat line means diverse filters.

    A legend names up to eight groups; of more the hover does. The table holds the basis filters too.
    """
    groups = [group for group in groups if any(group.ratios)]
    width = max((len(group.ratios) for group in groups), default=0)
    columns = ("Group", "Component", "Share", "Running sum", *(f"w{tap}" for tap in range(width)))
    if not groups:
        return empty("The filters of these groups do not vary.", columns=columns)
    is_listed = len(groups) <= LISTED_GROUPS
    traces = []
    table: list[tuple[Any, ...]] = []
    for place, group in enumerate(groups):
        look = place % len(SERIES)
        colour = SERIES[look] if is_listed else MUTED
        shown = list(group.ratios)[:MOST_PANELS]
        traces.append(
            go.Scatter(
                x=list(range(1, len(shown) + 1)),
                y=shown,
                name=plain(group.group),
                mode="lines+markers",
                line={
                    "color": colour,
                    "width": 1.5 if is_listed else 1,
                    "dash": DASHES[look] if is_listed else "solid",
                },
                marker={"color": colour, "symbol": MARKERS[look], "size": 7 if is_listed else 4},
                hovertemplate="<b>%{fullData.name}</b><br>component %{x}: %{y:.1%}<extra></extra>",
            )
        )
        for number, (ratio, taps) in enumerate(zip(shown, group.components, strict=False)):
            table.append((group.group, number + 1, ratio, math.fsum(group.ratios[: number + 1]), *taps))
    return figure(
        traces,
        columns=columns,
        rows=table,
        height=320,
        xaxis=axis("Component", dtick=1),
        yaxis=axis("Explained variance (share)", rangemode="tozero", tickformat=".0%"),
        showlegend=is_listed,
        legend=LEGEND,
    )
