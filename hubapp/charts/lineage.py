"""Family trees of models: ancestors on the left, descendants on the right, a line for each link."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from hubapp.charts.frame import DASHES, INK, MUTED, PAPER, SERIES, Figure, empty, figure

RELATIONS = ("finetune", "adapter", "merge", "quantized")
ROW_PIXELS, FRAME_PIXELS, MOST_PIXELS = 14, 110, 1600
MOST_LABELS = 14  # in a column but the outermost; the others show on hover
LABEL_CHARACTERS = 26


@dataclass(frozen=True, kw_only=True)
class Kin:
    """A model of a family tree.

    step      0 for the model itself, −1 for what it was made from, 1 for what was made from it, and so on
    relation  of the link that leads to it
    is_known  it is in the catalogue; others are drawn hollow
    """

    name: str
    step: int
    relation: str = ""
    downloads: int | None = None
    licence: str = ""
    is_known: bool = True


def lineage_graph(kin: Sequence[Kin], links: Sequence[tuple[str, str, str]]) -> Figure:
    """The models in columns by step, the most downloaded first, and the links (base, child, relation) among them."""
    columns = ("Model", "Step", "Relation", "Downloads", "Licence")
    if len(kin) < 2:
        return empty("No model is known that it was made from or that was made from it.", columns=columns)
    places = _places(kin, links)
    traces = [*_lines(places, links), *_dots(kin, places)]
    tallest = max(len(column) for column in _columns(kin).values())
    steps = sorted({one.step for one in kin})
    return figure(
        traces,
        columns=columns,
        rows=[
            (one.name, one.step, one.relation or "not stated" if one.step else "", one.downloads, one.licence)
            for one in sorted(kin, key=lambda one: one.step)
        ],
        height=min(FRAME_PIXELS + ROW_PIXELS * max(tallest, 8), MOST_PIXELS),
        xaxis={
            "tickmode": "array",
            "tickvals": steps,
            "ticktext": [_step_words(step) for step in steps],
            "range": [steps[0] - (0.9 if steps[0] < 0 else 0.35), steps[-1] + 0.9],
            "zeroline": False,
            "side": "top",
            "automargin": True,
        },
        yaxis={"visible": False, "range": [-tallest / 2 - 0.5, tallest / 2 + 0.5]},
        showlegend=True,
    )


def _step_words(step: int) -> str:
    if step == 0:
        return "this model"
    return f"{abs(step)} step{'s' if abs(step) > 1 else ''} {'up' if step < 0 else 'down'}"


def _columns(kin: Sequence[Kin]) -> dict[int, list[Kin]]:
    columns: dict[int, list[Kin]] = defaultdict(list)
    for one in sorted(kin, key=lambda one: (abs(one.step), -(one.downloads or 0), one.name)):
        columns[one.step].append(one)
    return columns


def _places(kin: Sequence[Kin], links: Sequence[tuple[str, str, str]]) -> dict[str, tuple[int, float]]:
    """Where each model stands: in its column, near what it is linked to in the column before."""
    neighbours: dict[str, list[str]] = defaultdict(list)
    for base, child, _ in links:
        neighbours[base].append(child)
        neighbours[child].append(base)
    places: dict[str, tuple[int, float]] = {}
    for step, column in sorted(_columns(kin).items(), key=lambda pair: abs(pair[0])):
        heights = {one.name: [places[name][1] for name in neighbours[one.name] if name in places] for one in column}
        ordered = sorted(column, key=lambda one: -_mean(heights[one.name]))
        for row, one in enumerate(ordered):
            places[one.name] = (step, (len(column) - 1) / 2 - row)
    return places


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _lines(places: Mapping[str, tuple[int, float]], links: Sequence[tuple[str, str, str]]) -> list[go.Scatter]:
    traces = []
    for relation in (*RELATIONS, ""):
        xs: list[float | None] = []
        ys: list[float | None] = []
        for base, child, own in links:
            is_this = own == relation or (not relation and own not in RELATIONS)
            if is_this and base != child and base in places and child in places:
                xs += [places[base][0], places[child][0], None]
                ys += [places[base][1], places[child][1], None]
        if xs:
            look = RELATIONS.index(relation) if relation else len(RELATIONS)
            colour = SERIES[look] if relation else MUTED
            line = {"color": colour, "width": 1, "dash": DASHES[look] if relation else "dot"}
            traces.append(
                go.Scatter(
                    x=xs, y=ys, mode="lines", line=line, name=relation or "relation not stated", hoverinfo="skip"
                )
            )
    return traces


def _dots(kin: Sequence[Kin], places: Mapping[str, tuple[int, float]]) -> list[go.Scatter]:
    columns = _columns(kin)
    labelled = {
        one.name
        for step, column in columns.items()
        for one in (column if step in {min(columns), max(columns)} else column[:MOST_LABELS])
    }
    traces = []
    for name, symbol, fill, chosen in (
        ("this model", "diamond", INK, [one for one in kin if one.step == 0]),
        ("in the catalogue", "circle", SERIES[0], [one for one in kin if one.step and one.is_known]),
        ("not in the catalogue", "circle-open", MUTED, [one for one in kin if one.step and not one.is_known]),
    ):
        if chosen:
            traces.append(
                go.Scatter(
                    x=[places[one.name][0] for one in chosen],
                    y=[places[one.name][1] for one in chosen],
                    mode="markers+text",
                    name=name,
                    text=[_label(one.name) if one.name in labelled else "" for one in chosen],
                    textposition=[_side(one.step) for one in chosen],
                    textfont={"size": 11},
                    marker={"symbol": symbol, "size": 8, "color": fill, "line": {"width": 1.5, "color": PAPER}},
                    customdata=[[plain(one.name), _facts(one)] for one in chosen],
                    hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]}<extra></extra>",
                )
            )
    return traces


def _side(step: int) -> str:
    """Where a label stands: away from the model itself."""
    return "top center" if step == 0 else "middle left" if step < 0 else "middle right"


def _label(name: str) -> str:
    short = name.rpartition("/")[2]
    return plain(short if len(short) <= LABEL_CHARACTERS else f"{short[: LABEL_CHARACTERS - 1]}…")


def plain(text: str) -> str:
    """A stranger's text where plotly would read tags."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _facts(one: Kin) -> str:
    parts = [one.relation] if one.relation else []
    parts += [f"{one.downloads:,} downloads a month"] if one.downloads is not None else []
    parts += [one.licence] if one.licence else []
    parts += [] if one.is_known else ["not in the catalogue"]
    return plain(", ".join(parts))
