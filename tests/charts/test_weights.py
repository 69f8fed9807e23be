"""Charts of weights, blocks, layers over depth and filters as pictures: what plotly accepts, and what is drawn."""

from __future__ import annotations

import math
from typing import Any

import plotly.graph_objects as go
import pytest

from hubapp.charts.blocks import block_likeness, change_over_depth, straightness
from hubapp.charts.depth import DepthLine, over_depth
from hubapp.charts.pictures import PictureRow, filter_pictures
from hubapp.charts.weights import Tail, alpha_over_depth, kept_parameters, norms_over_depth, spectrum

HOSTILE = '<a href="https://elsewhere.example">layer</a>'


def matrix(layer: str, depth: float, **values: Any) -> dict[str, Any]:
    known = {"kind": "linear", "alpha": 3.0, "ks_distance": 0.05, "stable_rank": 8.0, "spectral_norm": 2.0}
    return {"layer": layer, "depth": depth, **known, **values}


def pair(a: int, b: int, cosine: float | None) -> dict[str, Any]:
    return {"block_a": a, "block_b": b, "roles": 2, "cosine": cosine, "relative_distance": 1.0}


def line(role: str, share: float | None, expected: float | None = 0.2) -> dict[str, Any]:
    return {"stack": "layers", "role": role, "blocks": 6, "r_squared": share, "expected": expected}


def change(layer: str, norm: float | None, rank: int | None) -> dict[str, Any]:
    return {"layer": layer, "kind": "linear", "depth": 0.5, "relative_norm": norm, "rank_at_90": rank}


def table(figure: dict[str, Any]) -> list[list[Any]]:
    rows: list[list[Any]] = figure["layout"]["meta"]["table"]["rows"]
    return rows


def picture(number: int, values: list[int]) -> PictureRow:
    return PictureRow(layer="conv", kernel_height=2, kernel_width=2, filter=number, values=values)


@pytest.mark.parametrize(
    "figure",
    [
        alpha_over_depth([]),
        alpha_over_depth([matrix("a", 0, alpha=None)]),
        norms_over_depth([matrix("a", 0, stable_rank=None)]),
        spectrum([]),
        spectrum([{"low": 0.0, "high": 0.0, "count": 4}]),
        kept_parameters([]),
        block_likeness([pair(0, 1, None)]),
        straightness([line("q", None), line("k", 0.5, None)]),
        change_over_depth([change("a", None, None)]),
        over_depth([DepthLine(name="net", points=[("a", 0.0, None)])], title="α", nothing="Nothing yet."),
        filter_pictures([]),
    ],
)
def test_without_values_a_sentence_stands_in_its_place(figure: dict[str, Any]) -> None:
    go.Figure(data=figure["data"], layout=figure["layout"])
    assert figure["data"] == []
    assert figure["layout"]["meta"]["empty"].endswith(".")
    assert table(figure) == []


def test_alpha_has_a_mark_for_each_kind_and_the_band_of_2_to_6() -> None:
    rows = [matrix("a", 0), matrix("b", 1, kind="attention", alpha=7.5), matrix("c", 0.5, alpha=None)]
    figure = alpha_over_depth(rows)
    go.Figure(figure)
    assert [trace["name"] for trace in figure["data"]] == ["attention", "linear"]
    band = figure["layout"]["shapes"][0]
    assert (band["y0"], band["y1"]) == (2, 6)
    low, high = figure["layout"]["yaxis"]["range"]
    assert low < math.log10(2)
    assert high > math.log10(7.5)
    assert [row[0] for row in table(figure)] == ["a", "b"]


def test_norms_are_two_panels_over_one_depth() -> None:
    figure = norms_over_depth([matrix("a", 0), matrix("b", 1, stable_rank=80.0)])
    go.Figure(figure)
    assert [trace["y"] for trace in figure["data"]] == [[8.0, 80.0], [2.0, 2.0]]
    assert figure["data"][1]["yaxis"] == "y2"


def test_a_power_law_keeps_its_share_of_the_density() -> None:
    bins = [{"low": step / 10, "high": (step + 1) / 10, "count": 10} for step in range(10)]
    figure = spectrum(bins, edges=(1.5, 4.0), tail=Tail(alpha=3.0, xmin=2.0, share=0.4))
    go.Figure(figure)
    rows = table(figure)
    assert sum(density * (high - low) for low, high, _, density in rows) == pytest.approx(1)
    law = next(trace for trace in figure["data"] if trace["name"].startswith("power law"))
    # ∫ share · (α − 1)/xmin · (λ/xmin)^−α from xmin on is the share.
    assert law["x"][0] == pytest.approx(2.0)
    assert law["y"][0] == pytest.approx(0.4 * 2 / 2.0)
    assert law["y"][-1] / law["y"][0] == pytest.approx((law["x"][-1] / 2.0) ** -3)
    edges = [trace["x"][0] for trace in figure["data"] if "edges" in trace["name"]]
    assert edges == [1.5, 4.0]


def test_factors_that_are_larger_leave_a_matrix_as_it_is() -> None:
    rows = [
        {"kind": "linear", "energy": 0.9, "parameters": 50, "parameters_full": 100},
        {"kind": "attention", "energy": 0.9, "parameters": 300, "parameters_full": 100},
    ]
    figure = kept_parameters(rows)
    go.Figure(figure)
    shares = {trace["name"]: trace["y"] for trace in figure["data"]}
    assert shares == {"all matrices": [0.75], "attention": [1.0], "linear": [0.5]}
    assert figure["data"][0]["x"] == ["90%"]


def test_block_likeness_is_symmetric_without_its_diagonal() -> None:
    figure = block_likeness([pair(0, 1, 0.5), pair(0, 3, 0.25), pair(1, 3, 0.1)])
    go.Figure(figure)
    z = figure["data"][0]["z"]
    assert z == [[None, 0.5, 0.25], [0.5, None, 0.1], [0.25, 0.1, None]]
    assert figure["layout"]["xaxis"]["ticktext"] == ["0", "1", "3"]
    assert figure["data"][0]["zmin"] == 0
    assert block_likeness([pair(0, 1, -0.5)])["data"][0]["zmin"] == -0.5


def test_straightness_stands_beside_chance() -> None:
    figure = straightness([line("q", 0.7), line("k", 0.1)])
    go.Figure(figure)
    assert [trace["x"] for trace in figure["data"]] == [[0.7, 0.1], [0.2, 0.2]]
    assert figure["layout"]["yaxis"]["ticktext"] == ["q", "k"]


def test_change_shows_what_did_not_change_without_a_rank() -> None:
    figure = change_over_depth([change("a", 0.1, 3), change("b", 0.0, None)])
    go.Figure(figure)
    assert [trace["y"] for trace in figure["data"]] == [[0.1, 0.0], [3]]


def test_models_over_depth_have_a_line_each_and_their_marks() -> None:
    lines = [
        DepthLine(name="one", points=[("b", 1.0, 2.0), ("a", 0.0, 1.0), ("c", 0.5, None)]),
        DepthLine(name="two", points=[("a", 0.0, 0.0)]),
    ]
    figure = over_depth(lines, title="α", nothing="Nothing.", marks=(2, 6))
    go.Figure(figure)
    assert [(trace["name"], trace["x"]) for trace in figure["data"]] == [("one", [0.0, 1.0]), ("two", [0.0])]
    assert [shape["y0"] for shape in figure["layout"]["shapes"]] == [2, 6]
    assert [trace["name"] for trace in over_depth(lines, title="α", nothing="-", is_log=True)["data"]] == ["one"]


def test_pictures_are_tiles_of_one_map_with_gaps() -> None:
    figure = filter_pictures([picture(number, [127, -127, 0, 64]) for number in range(9)])
    go.Figure(figure)
    (trace,) = figure["data"]
    z = trace["z"]
    assert (len(z), len(z[0])) == (5, 23)
    assert z[0][:3] == [1.0, -1.0, None]
    assert z[1][:2] == pytest.approx([0.0, 64 / 127])
    assert z[3][:3] == [1.0, -1.0, None]
    assert z[3][3:] == [None] * 20
    assert trace["text"][1][1] == "filter 0, row 1, column 1"
    assert len(table(figure)) == 36


def test_names_of_strangers_are_no_markup() -> None:
    figures = [
        alpha_over_depth([matrix(HOSTILE, 0)]),
        norms_over_depth([matrix(HOSTILE, 0)]),
        straightness([line(HOSTILE, 0.5)]),
        change_over_depth([change(HOSTILE, 0.1, 1)]),
        over_depth([DepthLine(name=HOSTILE, points=[(HOSTILE, 0.0, 1.0)])], title="α", nothing="-"),
    ]
    for figure in figures:
        figure["layout"].pop("meta")
        assert "<a href" not in str(figure["data"])
