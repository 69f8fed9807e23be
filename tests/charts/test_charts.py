"""Charts: what plotly accepts, and the values that are drawn."""

from __future__ import annotations

import json
import math
from typing import Any

import plotly.graph_objects as go
import pytest

from hubapp import charts
from hubapp.charts import BinRow, ComponentRow, Estimate, LayerRow, Pair, Series, ShotPoint
from hubapp.charts.frame import DASHES, MARKERS, PALETTE, SERIES
from hubapp.ui.samples import CHARTS

EMPTY = {
    "layer_health": charts.layer_health,
    "sparsity_over_depth": charts.sparsity_over_depth,
    "explained_variance": charts.explained_variance,
    "basis_filters": charts.basis_filters,
    "coefficient_histograms": charts.coefficient_histograms,
    "ranking": charts.ranking,
    "fewshot_curves": charts.fewshot_curves,
    "comparison": charts.comparison,
}


def layer(depth: float, verdict: str, **values: Any) -> LayerRow:
    row = LayerRow(
        layer=f"conv{depth}",
        depth=depth,
        filters=64,
        sparsity=0.1,
        variance_entropy=0.6,
        randomness_threshold=0.9,
        verdict=verdict,
    )
    row.update(values)  # type: ignore[typeddict-item]
    return row


def component(place: int, share: float, taps: list[float]) -> ComponentRow:
    weights = {f"w{tap}": value for tap, value in enumerate(taps)}
    return {"component": place, "explained_variance_ratio": share, **weights}  # type: ignore[typeddict-item]


def named(figure: charts.Figure, name: str) -> dict[str, Any]:
    return next(trace for trace in figure["data"] if trace.get("name") == name)


def table(figure: charts.Figure) -> list[list[Any]]:
    rows: list[list[Any]] = figure["layout"]["meta"]["table"]["rows"]
    return rows


@pytest.mark.parametrize("name", sorted(CHARTS))
def test_plotly_accepts_each_chart_and_it_is_valid_json(name: str) -> None:
    figure = CHARTS[name][1]()
    go.Figure(figure)
    json.dumps(figure, allow_nan=False)
    meta = figure["layout"]["meta"]
    assert "title" not in figure["layout"]
    assert "template" not in figure["layout"]
    width = len(meta["table"]["columns"])
    assert all(len(row) == width for row in meta["table"]["rows"])
    if figure["data"]:
        assert meta["table"]["rows"]


@pytest.mark.parametrize("name", sorted(CHARTS))
def test_every_colour_has_its_place_in_both_themes(name: str) -> None:
    figure = CHARTS[name][1]()
    palette = figure["layout"].pop("meta")["palette"]
    text = json.dumps(figure)
    for colour in palette:
        text = text.replace(f'"{colour}"', '""')
    assert '"#' not in text


@pytest.mark.parametrize("name", sorted(EMPTY))
def test_chart_of_nothing_has_a_sentence(name: str) -> None:
    figure = EMPTY[name]([])  # type: ignore[operator]
    assert figure["data"] == []
    assert figure["layout"]["meta"]["empty"].endswith(".")
    go.Figure(figure)


def test_series_differ_by_more_than_colour() -> None:
    assert len(set(SERIES)) == len(SERIES) == len(MARKERS) == len(DASHES) == len(set(MARKERS))
    assert all(PALETTE[colour].startswith("--hs-") for colour in SERIES)


def test_layer_health_groups_layers_by_verdict() -> None:
    rows = [layer(0, "healthy"), layer(0.5, "random", variance_entropy=0.95), layer(1, "healthy")]
    figure = charts.layer_health(rows)
    random = named(figure, "random")
    assert (random["x"], random["y"], random["text"]) == ([0.5], [0.95], ["conv0.5"])
    assert named(figure, "healthy")["x"] == [0, 1]
    assert named(figure, "randomness threshold")["y"] == [0.9, 0.9, 0.9]
    strips = [trace for trace in figure["data"] if trace.get("yaxis") == "y2"]
    assert sorted(place for trace in strips for place in trace["x"]) == [0, 0.5, 1]
    assert random["marker"]["symbol"] != named(figure, "healthy")["marker"]["symbol"]
    assert table(figure)[1] == ["conv0.5", 0.5, 64, 0.95, 0.9, "random"]


def test_layer_health_takes_layers_that_cannot_be_judged_and_new_verdicts() -> None:
    rows = [layer(0, "not assessable", variance_entropy=None, randomness_threshold=None), layer(1, "a new one")]
    figure = charts.layer_health(rows)
    go.Figure(figure)
    assert named(figure, "not assessable")["y"] == [None]
    assert named(figure, "a new one")["x"] == [1]


def test_sparsity_leaves_out_what_is_not_known() -> None:
    figure = charts.sparsity_over_depth([layer(0, "healthy"), layer(1, "healthy", sparsity=None)])
    assert figure["data"][0]["y"] == [0.1]
    assert len(table(figure)) == 1
    assert charts.sparsity_over_depth([layer(0, "healthy", sparsity=None)])["data"] == []


def test_explained_variance_has_its_running_sum() -> None:
    figure = charts.explained_variance([component(0, 0.5, [0.0] * 9), component(1, 0.25, [0.0] * 9)])
    assert named(figure, "share")["y"] == [0.5, 0.25]
    assert named(figure, "running sum")["y"] == [0.5, 0.75]
    assert named(figure, "share")["x"] == [1, 2]


def test_basis_filters_share_one_scale_around_zero() -> None:
    first, second = [0.1 * tap for tap in range(9)], [-0.2] * 9
    figure = charts.basis_filters([component(0, 0.7, first), component(1, 0.3, second)])
    assert figure["data"][0]["z"] == [first[0:3], first[3:6], first[6:9]]
    assert {(trace["zmin"], trace["zmax"]) for trace in figure["data"]} == {(-0.8, 0.8)}
    assert figure["layout"]["yaxis"]["range"] == [2.5, -0.5]
    assert [note["text"] for note in figure["layout"]["annotations"]] == ["70%", "30%"]


def test_basis_filters_of_zeros_can_be_drawn() -> None:
    figure = charts.basis_filters([component(0, 0.0, [0.0] * 9)])
    assert figure["data"][0]["zmax"] == 1.0


def test_histograms_are_shares_in_the_basis_order() -> None:
    rows = [
        BinRow(component=place, low=low, high=low + 1, count=count)
        for place in range(9)
        for low, count in ((-1, 3), (0, 1), (1, 0))
    ]
    figure = charts.coefficient_histograms(rows)
    assert len(figure["data"]) == 9
    assert figure["data"][4]["x"] == [-0.5, 0.5, 1.5]
    assert figure["data"][4]["y"] == [0.75, 0.25, None]
    assert figure["layout"]["yaxis"]["type"] == "log"
    notes = [note["text"] for note in figure["layout"]["annotations"]]
    assert notes[:4] == ["(0, 0)", "(0, 1)", "(0, 2)", "(1, 0)"]
    assert table(figure)[0] == ["(0, 0)", -1, 0, 3, 0.75]
    assert charts.coefficient_histograms([BinRow(component=0, low=0, high=1, count=0)])["data"] == []


def test_ranking_keeps_the_order_and_the_ends_of_intervals() -> None:
    rows = [
        Estimate(name="best", value=0.9, low=0.85, high=0.97),
        Estimate(name="plain", value=0.8),
        Estimate(name="not run", value=None),
        Estimate(name="control", value=0.2, low=0.1, high=0.3, is_control=True),
    ]
    figure = charts.ranking(rows, title="Accuracy")
    assert figure["layout"]["yaxis"]["categoryarray"] == ["control", "plain", "best"]
    trained, control = named(figure, "trained"), named(figure, "untrained control")
    assert trained["y"] == ["best", "plain"]
    assert trained["error_x"]["array"] == pytest.approx([0.07, 0])
    assert trained["error_x"]["arrayminus"] == pytest.approx([0.05, 0])
    assert control["marker"]["symbol"] == "circle-open"
    assert figure["layout"]["xaxis"]["title"]["text"] == "Accuracy"
    assert [row[0] for row in table(figure)] == ["best", "plain", "control"]
    assert charts.ranking([rows[2]])["data"] == []


def curve(name: str, *shots: int) -> Series:
    return Series(
        name=name,
        points=tuple(ShotPoint(shots=k, value=0.5, low=0.4, high=0.7, replicates=(0.45, 0.55)) for k in shots),
    )


def test_fewshot_sets_all_apart_at_twice_the_largest_k() -> None:
    figure = charts.fewshot_curves([curve("net", 0, 1, 64)])
    band, replicates, line, whole = figure["data"]
    assert line["x"] == [1, 64]
    assert whole["x"] == [128]
    assert whole["customdata"] == [["all", " (0.400 to 0.700)"]]
    assert whole["error_y"]["array"] == pytest.approx([0.2])
    assert band["x"] == [1, 64, 64, 1]
    assert band["y"] == [0.7, 0.7, 0.4, 0.4]
    assert sorted(replicates["x"]) == [1, 1, 64, 64, 128, 128]
    axis = figure["layout"]["xaxis"]
    assert axis["type"] == "log"
    assert dict(zip(axis["tickvals"], axis["ticktext"], strict=True)) == {1.0: "1", 64.0: "64", 128.0: "all"}
    assert axis["range"][0] < 0
    assert axis["range"][1] > math.log10(128)
    assert figure["layout"]["shapes"][0]["x0"] == pytest.approx(math.sqrt(64 * 128))


def test_fewshot_names_each_model_once_in_the_legend() -> None:
    figure = charts.fewshot_curves([curve("a", 1, 2, 0), curve("b", 1, 2, 0), curve("c", 0)])
    shown = [trace["name"] for trace in figure["data"] if trace.get("showlegend")]
    assert shown == ["a", "b", "c"]
    lines = {trace["name"]: trace for trace in figure["data"] if trace.get("showlegend")}
    assert lines["a"]["line"]["dash"] != lines["b"]["line"]["dash"]
    assert lines["a"]["marker"]["symbol"] != lines["b"]["marker"]["symbol"]


def test_fewshot_with_only_all_and_with_gaps() -> None:
    go.Figure(charts.fewshot_curves([curve("net", 0)]))
    gap = Series(name="net", points=(ShotPoint(shots=1, value=None), ShotPoint(shots=2, value=0.5)))
    figure = charts.fewshot_curves([gap])
    assert [trace["x"] for trace in figure["data"]] == [[2]]
    assert charts.fewshot_curves([Series(name="net", points=(ShotPoint(shots=1, value=None),))])["data"] == []


def test_scatter_leaves_out_half_pairs() -> None:
    pairs = [Pair(name="a", x=1, y=2), Pair(name="b", x=None, y=2)]
    figure = charts.score_scatter(pairs, x_title="LogME", y_title="Accuracy")
    assert figure["data"][0]["text"] == ["a"]
    assert figure["layout"]["yaxis"]["title"]["text"] == "Accuracy"
    assert charts.score_scatter(pairs[1:], x_title="x", y_title="y")["data"] == []


def test_comparison_keeps_models_apart_within_a_group() -> None:
    rows = [
        Estimate(name=name, group=group, value=value)
        for group in ("Digits", "Clothes")
        for name, value in (("a", 0.9), ("b", 0.8))
    ]
    figure = charts.comparison([*rows, Estimate(name="a", group="Text", value=None)])
    a, b = named(figure, "a"), named(figure, "b")
    assert a["y"][0] > b["y"][0] > a["y"][1] > b["y"][1]
    assert figure["layout"]["yaxis"]["ticktext"] == ["Digits", "Clothes"]
    assert abs((a["y"][0] + b["y"][0]) / 2 - figure["layout"]["yaxis"]["tickvals"][0]) < 1e-9
