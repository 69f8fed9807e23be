"""Charts of classes, confusion and reliability: what plotly accepts, and what is drawn."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import pytest

from hubapp.charts.fewshot_classes import MOST_CLASSES, class_rates, confusion_map, rates_height, reliability

HOSTILE = '<a href="https://elsewhere.example">class</a>'


def row(name: str, *series: tuple[float | None, float | None, float | None]) -> dict[str, Any]:
    return {"name": name, "support": 7, "series": list(series)}


def bin_of(low: float, rows: float, share: float | None) -> dict[str, Any]:
    ends = (None, None) if share is None else (max(0.0, share - 0.1), min(1.0, share + 0.1))
    return {
        "low": low,
        "high": low + 0.5,
        "rows": rows,
        "right": rows * (share or 0.0),
        "sure": None if share is None else low + 0.3,
        "share": share,
        "share_low": ends[0],
        "share_high": ends[1],
    }


@pytest.mark.parametrize(
    "figure",
    [
        class_rates([], title="Recall", models=["one"]),
        confusion_map([], [], is_share=True),
        reliability([bin_of(0, 0, None)], name="one"),
    ],
)
def test_without_values_a_sentence_stands_in_its_place(figure: dict[str, Any]) -> None:
    go.Figure(data=figure["data"], layout=figure["layout"])
    assert figure["data"] == []
    assert figure["layout"]["meta"]["empty"].endswith(".")


def test_two_models_stand_side_by_side_and_a_class_without_a_value_is_left_out() -> None:
    rows = [row("a", (0.5, 0.4, 0.6), (0.7, None, None)), row("b", (None, None, None), (0.9, 0.8, 1.0))]
    figure = class_rates(rows, title="Precision", models=["one", "two"])
    go.Figure(figure)
    one, two = figure["data"]
    assert (one["x"], two["x"]) == ([0.5], [0.7, 0.9])
    assert one["y"][0] < two["y"][0]
    assert one["marker"]["symbol"] != two["marker"]["symbol"]
    assert two["error_x"]["array"][0] == 0
    assert figure["layout"]["meta"]["table"]["rows"][1] == ["b", 7, None, None, None, 0.9, 0.8, 1.0]
    many = class_rates([row(str(place), (0.5, 0.4, 0.6)) for place in range(90)], title="F1", models=["one"])
    assert len(many["data"][0]["x"]) == MOST_CLASSES
    assert many["layout"]["height"] == rates_height(90) == rates_height(MOST_CLASSES)


def test_cells_of_shares_reach_one_and_empty_ones_say_nothing() -> None:
    figure = confusion_map(["a", "b"], [[0.997, 0.003], [0.0, 1.0]], is_share=True)
    go.Figure(figure)
    (trace,) = figure["data"]
    assert (trace["zmin"], trace["zmax"]) == (0, 1)
    assert trace["text"] == [["100%", "&lt;1%"], ["", "100%"]]
    assert figure["layout"]["meta"]["table"]["rows"] == [["a", "a", 0.997], ["a", "b", 0.003], ["b", "b", 1.0]]
    counts = confusion_map(["a", "b"], [[40.0, 0.0], [2.4, 7.0]], is_share=False)
    assert counts["data"][0]["zmax"] == 40
    assert counts["data"][0]["text"][1] == ["2.4", "7"]
    names = [str(place) for place in range(30)]
    assert confusion_map(names, [[0.5] * 30] * 30, is_share=True)["data"][0]["texttemplate"] == ""


def test_reliability_has_points_for_bins_with_rows_and_bars_for_all() -> None:
    figure = reliability([bin_of(0, 0, None), bin_of(0.5, 8, 0.75)], name="one")
    go.Figure(figure)
    diagonal, points, right, wrong = figure["data"]
    assert diagonal["x"] == diagonal["y"] == [0, 1]
    assert (points["x"], points["y"]) == ([0.8], [0.75])
    assert points["error_y"]["array"] == pytest.approx([0.1])
    assert (right["y"], wrong["y"]) == ([0, 6], [0, 2])
    assert figure["layout"]["barmode"] == "stack"
    assert len(figure["layout"]["meta"]["table"]["rows"]) == 2


def test_names_of_strangers_are_no_markup() -> None:
    figures = [
        class_rates([row(HOSTILE, (0.5, 0.4, 0.6))], title="Recall", models=[HOSTILE]),
        confusion_map([HOSTILE], [[1.0]], is_share=True),
        reliability([bin_of(0.5, 8, 0.75)], name=HOSTILE),
    ]
    for figure in figures:
        figure["layout"].pop("meta")
        assert "<a href" not in str(figure)
