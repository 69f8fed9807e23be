"""Charts of few-shot results beyond one line a model: several heads, heads without labels, the leader."""

from __future__ import annotations

import plotly.graph_objects as go
import pytest

from hubapp import charts
from hubapp.charts import Estimate, Series, ShotPoint
from hubapp.charts.fewshot import curves_height, lead_of
from hubapp.charts.frame import MARKERS, SERIES


def curve(name: str, *shots: int | None, colour: int | None = None, dash: int | None = None) -> Series:
    points = tuple(ShotPoint(shots=k, value=0.5, low=0.4, high=0.7, replicates=(0.45, 0.55)) for k in shots)
    return Series(name=name, points=points, colour=colour, dash=dash)


def test_a_head_without_labels_is_a_dotted_line_from_side_to_side() -> None:
    figure = charts.fewshot_curves([curve("a", 1, 8, 0), curve("zero-shot", None)])
    go.Figure(data=figure["data"], layout=figure["layout"])
    line = figure["data"][-1]
    assert line["line"]["dash"] == "dot"
    assert line["x"][0] < 1
    assert line["x"][-1] > 16
    assert set(line["y"]) == {0.5}
    assert line["showlegend"] is True
    assert figure["layout"]["meta"]["table"]["rows"][-1] == ["zero-shot", "no labels", 0.5, 0.4, 0.7, 2]


def test_only_heads_without_labels_are_drawn_too() -> None:
    figure = charts.fewshot_curves([curve("zero-shot", None)])
    assert figure["layout"]["xaxis"]["ticktext"] == ["no labels"]
    assert len(figure["data"]) == 1


def test_a_single_number_of_labels_has_bars_in_place_of_a_band() -> None:
    figure = charts.fewshot_curves([curve("a", 8)])
    line = next(trace for trace in figure["data"] if trace["mode"] == "lines+markers")
    assert line["error_y"]["array"] == pytest.approx([0.2])
    assert not any(trace.get("fill") for trace in figure["data"])


def test_a_colour_a_model_and_a_dash_a_head() -> None:
    named = [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    series = [curve(f"{name} {dash}", 1, 2, colour="ab".index(name), dash=dash) for name, dash in named]
    lines = [trace for trace in charts.fewshot_curves(series)["data"] if trace.get("showlegend")]
    assert [line["line"]["color"] for line in lines] == [SERIES[0], SERIES[0], SERIES[1], SERIES[1]]
    assert lines[0]["line"]["dash"] == lines[2]["line"]["dash"] != lines[1]["line"]["dash"]


def test_more_models_than_colours_differ_by_their_marker() -> None:
    count = 2 * len(SERIES)
    series = [curve(str(place), 1, 2) for place in range(count)]
    lines = [trace for trace in charts.fewshot_curves(series)["data"] if trace.get("showlegend")]
    looks = {(line["line"]["color"], line["marker"]["symbol"]) for line in lines}
    assert len(looks) == count
    assert {symbol for _, symbol in looks} == set(MARKERS)
    assert curves_height(count) > curves_height(1)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_others_stand_on_one_side_of_the_leader(sign: int) -> None:
    rows = [
        Estimate(name="close", value=sign * 0.01, low=-0.02, high=0.03, group="not separable"),
        Estimate(name="far", value=sign * 0.3, low=sign * 0.3 - 0.1, high=sign * 0.3 + 0.1, group="behind"),
    ]
    figure = lead_of(rows, title="Leader less the other")
    go.Figure(data=figure["data"], layout=figure["layout"])
    low, high = figure["layout"]["xaxis"]["range"]
    assert low <= min(row.low or 0 for row in rows)
    assert high >= max(row.high or 0 for row in rows)
    assert [trace["marker"]["symbol"] for trace in figure["data"]] == ["circle-open", "circle"]
    assert figure["layout"]["yaxis"]["categoryarray"] == ["far", "close"], "the smallest difference on top"
    assert figure["layout"]["meta"]["table"]["rows"][0][0] == "close"


def test_nothing_to_compare_is_said() -> None:
    assert lead_of([], title="Leader less the other")["layout"]["meta"]["empty"]
