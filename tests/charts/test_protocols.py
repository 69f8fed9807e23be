"""Charts of the protocols beyond the few-shot curve: what plotly accepts, and the values that are drawn."""

from __future__ import annotations

import json
from typing import Any

import plotly.graph_objects as go
import pytest

from hubapp.charts import Estimate, Figure
from hubapp.charts import protocols as charts

STAGES = [
    {"head": head, "order": order, "stage": stage, "classes_seen": 2 * stage, "accuracy": value, "low": 0.1, "high": 1}
    for head, order, stage, value in [
        ("Cosine", 1993, 1, 0.9), ("Cosine", 1993, 2, 0.8), ("Cosine", 7, 1, 0.7), ("Cosine", 7, 2, 0.6),
        ("LDA", 1993, 1, 0.5), ("LDA", 1993, 2, None),
    ]
]  # fmt: skip
GRID = [
    {"layer": layer, "dimensions": size, "accuracy": value, "accuracy_low": value - 0.1, "accuracy_high": value + 0.1,
     "ndcg": None, "ndcg_low": None, "ndcg_high": None, "is_separable": verdict}
    for layer, size, value, verdict in [("conv", 32, 0.4, True), ("last", 32, 0.6, False), ("last", 512, 0.7, None)]
]  # fmt: skip
ERRORS = [
    {"method": method, "horizon": horizon, "metric": metric, "value": value, "low": value - 0.1, "high": value + 0.1}
    for method in ("Last value", "Ridge")
    for horizon, value in ((192, 0.9), (96, 0.5))
    for metric in ("mse", "mae")
]
HALVES = [
    {"head": head, **{f"{key}{end}": value + shift for key, value in found.items()
     for end, shift in (("", 0.0), ("_low", -0.1), ("_high", 0.1))}}
    for head, found in {
        "Zero-shot": {"base_accuracy": 0.8, "new_accuracy": 0.6, "harmonic_mean_of_means": 0.686},
        "Cosine": {"base_accuracy": 0.9, "new_accuracy": 0.5, "harmonic_mean_of_means": 0.643},
    }.items()
]  # fmt: skip
DRAWN: dict[str, tuple[Figure, int]] = {
    "stages": (charts.stage_accuracies(STAGES), 5),
    "grid": (charts.layer_heat_map(GRID), 3),
    "errors": (charts.forecast_errors(ERRORS), 4),
    "pairs": (charts.pair_scatter([{"pair": 7, "gold": 4.5, "cosine": 0.9}]), 1),
    "halves": (charts.base_and_new(HALVES), 6),
    "metrics": (charts.metrics_of_one([Estimate(name="net", value=0.9, low=0.8, high=1.0, group="nDCG@10")]), 1),
}


@pytest.mark.parametrize("name", sorted(DRAWN))
def test_plotly_accepts_each_chart_and_its_table_holds_what_is_drawn(name: str) -> None:
    figure, rows = DRAWN[name]
    go.Figure(figure)
    json.dumps(figure, allow_nan=False)
    table = figure["layout"]["meta"]["table"]
    assert len(table["rows"]) == rows
    assert {len(row) for row in table["rows"]} == {len(table["columns"])}
    text = json.dumps({key: value for key, value in figure["layout"].items() if key != "meta"} | {"d": figure["data"]})
    for colour in figure["layout"]["meta"]["palette"]:
        text = text.replace(f'"{colour}"', '""')
    assert '"#' not in text


def lines(figure: Figure) -> dict[str, dict[str, Any]]:
    return {trace["name"]: trace for trace in figure["data"]}


def test_a_line_is_the_mean_over_the_orders_of_the_classes() -> None:
    drawn = lines(DRAWN["stages"][0])
    assert (list(drawn["Cosine"]["x"]), list(drawn["Cosine"]["y"])) == ([2, 4], pytest.approx([0.8, 0.7]))
    assert list(drawn["LDA"]["y"]) == [0.5]
    assert list(drawn["Cosine: order 7"]["y"]) == [0.7, 0.6]


def test_a_cell_that_was_not_measured_is_empty_and_the_deepest_layer_is_on_top() -> None:
    (trace,) = DRAWN["grid"][0]["data"]
    assert [list(line) for line in trace["z"]] == [[0.4, None], [0.6, 0.7]]
    assert list(trace["y"]) == ["conv", "last"]
    words = [row[-1] for row in DRAWN["grid"][0]["layout"]["meta"]["table"]["rows"]]
    assert words == ["separably different", "not separable", "the whole vector"]


def test_horizons_are_in_order_whatever_the_rows() -> None:
    figure = DRAWN["errors"][0]
    assert list(lines(figure)["Ridge"]["y"]) == [0.5, 0.9]
    assert list(figure["layout"]["xaxis"]["ticktext"]) == ["96", "192"]
    assert figure["layout"]["yaxis"].get("type") != "log"
    wide = charts.forecast_errors([*ERRORS, {**ERRORS[0], "method": "Lost", "value": 40.0, "low": 30.0, "high": 50.0}])
    assert wide["layout"]["yaxis"]["type"] == "log"


@pytest.mark.parametrize(
    "figure",
    [
        charts.stage_accuracies([]),
        charts.layer_heat_map(GRID, metric="ndcg"),
        charts.forecast_errors(ERRORS, metric="smape"),
        charts.pair_scatter([]),
        charts.base_and_new([]),
        charts.metrics_of_one([]),
    ],
)
def test_nothing_is_a_sentence(figure: Figure) -> None:
    assert not figure["data"]
    assert figure["layout"]["meta"]["empty"].endswith(".")
