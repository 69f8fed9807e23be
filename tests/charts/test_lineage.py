"""Family trees and popularity: what is drawn where, and the values behind it."""

from __future__ import annotations

import json

import plotly.graph_objects as go

from hubapp.charts.lineage import Kin, lineage_graph
from hubapp.charts.popularity import PopularityDay, popularity_series


def test_family_tree() -> None:
    kin = [
        Kin(name="me", step=0),
        Kin(name="org/base", step=-1, relation="finetune", downloads=5, licence="MIT"),
        Kin(name="gone", step=-1, is_known=False),
        Kin(name="a <b>child</b>", step=1, relation="odd", downloads=2),
    ]
    links = [("org/base", "me", "finetune"), ("gone", "me", ""), ("me", "a <b>child</b>", "odd"), ("me", "me", "")]
    figure = lineage_graph(kin, links)
    go.Figure(figure)
    json.dumps(figure, allow_nan=False)
    by_name = {trace["name"]: trace for trace in figure["data"]}
    assert set(by_name) == {"finetune", "relation not stated", "this model", "in the catalogue", "not in the catalogue"}
    assert list(by_name["finetune"]["x"]) == [-1, 0, None]
    # Two links without a known relation; that of the model to itself is no line.
    assert len(by_name["relation not stated"]["x"]) == 6
    assert list(by_name["this model"]["x"]) == [0]
    assert list(by_name["not in the catalogue"]["x"]) == [-1]
    assert "<b>" not in json.dumps(by_name["in the catalogue"]["text"] + by_name["in the catalogue"]["customdata"])
    rows = figure["layout"]["meta"]["table"]["rows"]
    assert [row[0] for row in rows] == ["org/base", "gone", "me", "a <b>child</b>"]


def test_no_two_models_of_a_column_stand_in_one_place() -> None:
    kin = [Kin(name="me", step=0), *(Kin(name=f"c{n}", step=1, downloads=n) for n in range(99))]
    figure = lineage_graph(kin, [("me", f"c{n}", "adapter") for n in range(99)])
    places = {
        (x, y)
        for trace in figure["data"]
        if trace["mode"] == "markers+text"
        for x, y in zip(trace["x"], trace["y"], strict=True)
    }
    assert len(places) == 100
    labels = [text for trace in figure["data"] if trace["mode"] == "markers+text" for text in trace["text"] if text]
    assert len(labels) == 100
    assert figure["layout"]["height"] <= 1600


def test_alone_a_model_has_a_sentence() -> None:
    assert lineage_graph([Kin(name="me", step=0)], [])["data"] == []


def test_popularity_has_a_panel_for_each_number() -> None:
    days = [
        PopularityDay(day="2024-05-01", downloads=10, likes=1, trending=None),
        PopularityDay(day="2024-05-04", downloads=12, likes=None, trending=None),
    ]
    figure = popularity_series(days)
    go.Figure(figure)
    assert [trace["name"] for trace in figure["data"]] == ["Downloads of 30 days", "Likes"]
    assert list(figure["data"][1]["x"]) == ["2024-05-01"]
    assert figure["data"][0]["line"]["shape"] == "hv"
    axes = [figure["layout"]["yaxis"]["domain"], figure["layout"]["yaxis2"]["domain"]]
    assert axes[0][0] > axes[1][1]
    assert popularity_series([])["data"] == []
