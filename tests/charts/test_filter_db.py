"""Charts and pictures of the filter DB: the values that are drawn, with closed forms, and hostile names."""

from __future__ import annotations

import base64
import json
import math
import struct
import zlib
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from hubapp import charts
from hubapp.charts import DriftCell, GroupCoefficients, GroupVariance
from hubapp.charts.frame import SERIES

EDGES = tuple(np.linspace(-3, 3, 71))
DCT = tuple(f"({row}, {column})" for row in range(3) for column in range(3))


def pairs(names: list[str]) -> list[DriftCell]:
    return [
        DriftCell(a=a, b=b, value=0.01 * (i + j), low=0.0, high=0.5, null=0.02)
        for i, a in enumerate(names)
        for j, b in enumerate(names)
        if i < j
    ]


def bump(centre: float, width: float) -> list[float]:
    middles = (np.array(EDGES[:-1]) + np.array(EDGES[1:])) / 2
    share = np.exp(-0.5 * ((middles - centre) / width) ** 2)
    share[share < 1e-9] = 0
    return list(share / share.sum())


def coefficients(group: str) -> GroupCoefficients:
    return GroupCoefficients(group=group, names=DCT, edges=EDGES, shares=[bump(0.1 * place, 0.4) for place in range(9)])


def variance(group: str, first: float) -> GroupVariance:
    rest = (1 - first) / 8
    return GroupVariance(group=group, ratios=[first, *[rest] * 8], components=np.eye(9).tolist())


def table(figure: charts.Figure) -> list[list[Any]]:
    rows: list[list[Any]] = figure["layout"]["meta"]["table"]["rows"]
    return rows


def test_the_heat_map_is_symmetric_and_leaves_the_diagonal_out() -> None:
    cells = [
        DriftCell(a="faces", b="maps", value=0.36, low=0.2, high=0.5, null=0.3),
        DriftCell(a="faces", b="plants", value=0.04, low=0.01, high=0.09, null=0.05),
        DriftCell(a="maps", b="plants", value=0.16, note="no null: one model"),
    ]
    figure = charts.divergence_heat_map(["maps", "faces", "plants"], cells)
    trace = figure["data"][0]
    assert trace["z"] == [[None, 0.6, 0.4], [0.6, None, 0.2], [0.4, 0.2, None]]
    assert trace["zmax"] == pytest.approx(0.6)
    assert trace["text"][0] == ["", "0.36•", "0.16"]
    assert trace["text"][1][2] == "0.040"
    assert figure["layout"]["xaxis"]["ticktext"] == ["maps", "faces", "plants"]
    assert "[0.20, 0.50]" in trace["customdata"][0][1]
    assert "beyond it" in trace["customdata"][0][1]
    assert "no null: one model" in trace["customdata"][2][0]
    assert [row[-1] for row in table(figure)] == ["yes", "no null: one model", "no"]
    assert table(figure)[0] == ["maps", "faces", 0.36, 0.2, 0.5, 0.3, "yes"]
    go.Figure(figure)


def test_the_dot_is_for_more_than_chance_gives() -> None:
    assert DriftCell(a="a", b="b", value=0.31, null=0.3).is_beyond
    assert not DriftCell(a="a", b="b", value=0.3, null=0.3).is_beyond
    assert not DriftCell(a="a", b="b", value=None, null=0.3).is_beyond
    assert DriftCell(a="a", b="b", value=1.0, note="no null: one model").beyond_words == "no null: one model"


def test_many_groups_keep_the_dot_and_drop_the_numbers() -> None:
    names = [f"group {number:02}" for number in range(24)]
    figure = charts.divergence_heat_map(names, pairs(names))
    assert {text for row in figure["data"][0]["text"] for text in row} == {"", "•"}
    assert len(table(figure)) == 276
    assert figure["layout"]["height"] < 900


def test_names_of_strangers_are_text() -> None:
    name = "<a href='//evil'>x</a> & a very long name of a group"
    figure = charts.divergence_heat_map([name, "b"], [DriftCell(a=name, b="b", value=0.5, note="<i>none</i>")])
    drawn = json.dumps(figure["data"]) + json.dumps({**figure["layout"], "meta": None})
    assert "<a" not in drawn
    assert "<i>" not in drawn
    assert table(figure)[0][0] == name
    assert len(figure["layout"]["yaxis"]["ticktext"][0].replace("&lt;", "<").replace("&gt;", ">")) <= 20
    ridges = json.dumps(charts.coefficient_ridges([coefficients(name)])["data"])
    assert "<a" not in ridges
    assert "<a" not in json.dumps(charts.variance_by_group([variance(name, 0.5)])["data"])


def test_a_ridge_stands_on_its_line_and_reaches_the_same_height() -> None:
    figure = charts.coefficient_ridges([coefficients("first"), coefficients("second")])
    assert len(figure["data"]) == 18
    first, second = figure["data"][:2]
    assert (first["y"][0], first["y"][-1], max(first["y"])) == (1, 1, 1.92)
    assert (second["y"][0], max(second["y"])) == (0, 0.92)
    assert figure["layout"]["xaxis9"]["range"] == [-3, 3]
    assert figure["layout"]["yaxis"]["ticktext"] == ["first", "second"]
    peak = first["x0"] + first["dx"] * first["y"].index(1.92)
    assert abs(peak) < first["dx"]


def test_the_table_of_the_ridges_holds_moments_and_quantiles() -> None:
    rows = table(charts.coefficient_ridges([coefficients("only")]))
    assert len(rows) == 9
    for place, (_, name, mean, spread, low, median, high, _) in enumerate(rows):
        assert name == DCT[place]
        assert mean == pytest.approx(0.1 * place, abs=1e-3)
        assert spread == pytest.approx(0.4, abs=2e-3)
        assert (low, median, high) == pytest.approx((0.1 * place - 0.658, 0.1 * place, 0.1 * place + 0.658), abs=5e-3)


def test_ridges_take_one_coefficient_and_no_filter() -> None:
    point = GroupCoefficients(group="1 × 1", names=["(0, 0)"], edges=[-1, 0, 1], shares=[[0.25, 0.75]])
    figure = charts.coefficient_ridges([point])
    assert figure["data"][0]["y"] == [0, round(0.92 / 3, 4), 0.92, 0]
    assert table(figure)[0][2:4] == [0.25, pytest.approx(math.sqrt(0.1875))]
    nothing = GroupCoefficients(group="none", names=DCT, edges=EDGES, shares=[[0.0] * 70] * 9)
    assert charts.coefficient_ridges([nothing])["data"] == []
    whole = charts.coefficient_ridges(
        [GroupCoefficients(group="7 × 7", names=["x"] * 49, edges=EDGES, shares=[bump(0, 1)] * 49)]
    )
    assert len(whole["data"]) == 9


def test_few_groups_have_colours_and_a_legend_and_many_do_not() -> None:
    few = charts.variance_by_group([variance(str(number), 0.5) for number in range(8)])
    assert [trace["line"]["color"] for trace in few["data"]] == list(SERIES)
    assert few["layout"]["showlegend"]
    many = charts.variance_by_group([variance(str(number), 0.5) for number in range(9)])
    assert len({trace["line"]["color"] for trace in many["data"]}) == 1
    assert not many["layout"]["showlegend"]


def test_the_table_of_the_variance_holds_the_basis() -> None:
    figure = charts.variance_by_group(
        [variance("a", 0.6), GroupVariance(group="flat", ratios=[0.0] * 9, components=[])]
    )
    assert [trace["name"] for trace in figure["data"]] == ["a"]
    rows = table(figure)
    assert rows[0] == ["a", 1, 0.6, 0.6, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert rows[-1][3] == pytest.approx(1)


def test_charts_of_nothing_have_a_sentence() -> None:
    for figure in (
        charts.divergence_heat_map([], []),
        charts.divergence_heat_map(["one"], []),
        charts.coefficient_ridges([]),
        charts.variance_by_group([]),
    ):
        assert figure["data"] == []
        assert figure["layout"]["meta"]["empty"].endswith(".")


def pixels(address: str) -> np.ndarray:
    """The pixels of one of our pictures, read back by the PNG specification."""
    body = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    assert body[:8] == b"\x89PNG\r\n\x1a\n"
    parts, place = {}, 8
    while place < len(body):
        (length,) = struct.unpack(">I", body[place : place + 4])
        name, data = body[place + 4 : place + 8], body[place + 8 : place + 8 + length]
        (check,) = struct.unpack(">I", body[place + 8 + length : place + 12 + length])
        assert check == zlib.crc32(name + data)
        parts[name], place = data, place + 12 + length
    width, height, depth, colour, *_ = struct.unpack(">IIBBBBB", parts[b"IHDR"])
    assert (depth, colour) == (8, 6)
    lines = np.frombuffer(zlib.decompress(parts[b"IDAT"]), dtype=np.uint8).reshape(height, 1 + 4 * width)
    assert not lines[:, 0].any()
    return lines[:, 1:].reshape(height, width, 4)


def test_a_filter_is_a_picture_of_its_weights() -> None:
    drawn = pixels(charts.filter_thumbnail([[1, 0, -0.5], [0.2, 0.4, 0.6]]))
    assert drawn.shape == (2, 3, 4)
    assert drawn[..., 3].tolist() == [[255, 0, 128], [51, 102, 153]]
    assert drawn[0, 0, :3].tolist() != drawn[0, 2, :3].tolist()
    assert pixels(charts.filter_thumbnail([[1.0]], top=2))[0, 0, 3] == 128
    assert pixels(charts.filter_thumbnail(np.zeros((3, 3))))[..., 3].max() == 0
    assert pixels(charts.filter_thumbnail([[math.nan, 1.0]]))[0, 0, 3] == 0


def test_a_density_is_drawn_on_a_log_scale() -> None:
    counts = np.zeros((35, 35))
    counts[17, 17], counts[3, 4], counts[5, 5] = 10_000, 100, 1
    strength = pixels(charts.density_thumbnail(counts))[..., 3]
    assert strength[17, 17] == 255
    assert strength[3, 4] == round(255 * (0.12 + 0.88 / 2))
    assert strength[5, 5] == round(255 * 0.12)
    assert np.count_nonzero(strength) == 3
    assert pixels(charts.density_thumbnail(np.zeros((35, 35))))[..., 3].max() == 0
    assert pixels(charts.density_thumbnail([[5, 0]]))[..., 3].tolist() == [[255, 0]]
