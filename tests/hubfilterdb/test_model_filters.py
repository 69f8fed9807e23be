"""The filter report of a model, its place in the filter DB, and the filters of compared models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from django.test import Client

from hubapp.catalog.models import Model
from hubapp.filterdb.axes import axis_of
from hubapp.filterdb.layers import kernels_of
from hubapp.filterdb.positions import position_of
from hubapp.jobs.models import Job
from hubapp.results.models import Outcome
from tests.analysed_models import analysed, convolutions, model_of, transformer
from workers.statistics.drift import coefficient_sums, drift
from workers.statistics.filter_sums import FilterStatistics
from workers.statistics.layer_groups import LayerGroup

HTMX = {"HX-Request": "true"}


@pytest.fixture
def folder(db: None, tmp_path: Path, settings: Any) -> Path:
    settings.FILES_DIR = tmp_path / "files"
    return tmp_path


@pytest.fixture
def report(folder: Path) -> Outcome:
    return analysed("filterdb", model_of(folder, "acme/net", convolutions(dead=0.3), title="Net"), folder)


def test_the_page_has_one_sentence_a_table_charts_and_a_twin(client: Client, report: Outcome) -> None:
    page = client.get("/filters/acme/net/").content.decode()
    assert report.summary["sentence"] in page
    assert page.count('scope="row"') >= 6
    for name in ("health", "sparsity", "pictures", "basis", "variance", "coefficients"):
        assert f"/filter-reports/{report.pk}/{name}.json" in page, name
    assert "filter-positions/acme/net/" in page
    assert "filters/acme/net/layers.parquet" in page
    twin = client.get("/filters/acme/net.json").json()
    assert twin["summary"]["sentence"] == report.summary["sentence"]
    assert [row["kernel"] for row in twin["shown"]["layers"]] == ["3×3"] * 4 + ["5×5", "1×1"]
    assert twin["shown"]["view"] == "stored"


def test_every_column_sorts_by_the_address_and_unknown_values_stand_last(client: Client, report: Outcome) -> None:
    twin = client.get("/filters/acme/net.json").json()
    page = client.get("/filters/acme/net/?sort=-sparsity").content.decode()
    assert 'aria-sort="descending"' in page
    names = [row["layer"] for row in sorted(twin["shown"]["layers"], key=lambda row: -row["sparsity"])]
    found = [page.index(f"<code>{name}</code>") for name in names]
    assert found[0] == min(found)
    for key in twin["shown"]["layers"][0]:
        assert client.get(f"/filters/acme/net/?sort={key}").status_code in {200, 400}, key
    answer = client.get("/filters/acme/net/?sort=beauty")
    assert answer.status_code == 400
    assert "cannot be sorted" in answer.content.decode()


def test_a_kernel_can_be_chosen_and_its_charts_follow(client: Client, report: Outcome) -> None:
    page = client.get("/filters/acme/net/?kernel=5x5").content.decode()
    assert page.count('scope="row"') == 1
    assert f"/filter-reports/{report.pk}/health.json?view=stored&amp;kernel=5x5" in page
    figure = client.get(f"/filter-reports/{report.pk}/health.json?view=stored&kernel=5x5").json()
    assert [row[0] for row in figure["layout"]["meta"]["table"]["rows"]] == ["stem.weight"]


def test_charts_draw_and_never_change(client: Client, report: Outcome) -> None:
    for name in ("health", "sparsity", "pictures", "basis", "variance", "coefficients"):
        response = client.get(f"/filter-reports/{report.pk}/{name}.json")
        figure = response.json()
        go.Figure(data=figure["data"], layout=figure["layout"])
        assert figure["data"], name
        assert "immutable" in response["Cache-Control"]
    assert client.get(f"/filter-reports/{report.pk}/beauty.json").status_code == 404


def test_pictures_show_one_layer_at_its_own_scale(client: Client, report: Outcome) -> None:
    rows = [row for row in report.tables["pictures"]["rows"] if row[0] == "blocks.2.conv.weight"]
    figure = client.get(f"/filter-reports/{report.pk}/pictures.json?layer=blocks.2.conv.weight").json()
    assert len(figure["layout"]["meta"]["table"]["rows"]) == 9 * len(rows)
    z = figure["data"][0]["z"]
    assert z[0][:3] == pytest.approx([value / 127 for value in rows[0][4][:3]])
    assert z[0][3] is None


def test_views_are_never_mixed(client: Client, folder: Path, report: Outcome) -> None:
    columns = report.tables["layers"]["columns"]
    view, name = columns.index("view"), columns.index("layer")
    folded = [[*row] for row in report.tables["layers"]["rows"] if row[name].startswith("blocks")]
    for row in folded:
        row[view] = "folded"
    report.tables["layers"]["rows"] += folded
    report.save(update_fields=["tables"])
    stored = client.get("/filters/acme/net.json").json()["shown"]
    assert (stored["views"], len(stored["layers"])) == (["stored", "folded"], 6)
    other = client.get("/filters/acme/net.json?view=folded").json()["shown"]
    assert (other["view"], {row["view"] for row in other["layers"]}, len(other["layers"])) == ("folded", {"folded"}, 4)
    assert "with batch norm folded in" in client.get("/filters/acme/net/?view=folded").content.decode()


def test_more_than_a_hundred_layers_are_paged(client: Client, report: Outcome) -> None:
    rows = report.tables["layers"]["rows"]
    report.tables["layers"]["rows"] = [[f"copy.{n}.{row[0]}", *row[1:]] for n in range(40) for row in rows]
    report.save(update_fields=["tables"])
    first = client.get("/filters/acme/net/?kernel=3x3&sort=layer").content.decode()
    assert first.count("<code>copy.") == 100
    assert "1–100 of 160 rows." in first
    assert "kernel=3x3&amp;sort=layer&amp;page=2" in first
    assert client.get("/filters/acme/net/?kernel=3x3&sort=layer&page=2").content.decode().count("<code>copy.") == 60


def test_a_report_of_version_1_is_still_shown(client: Client, report: Outcome) -> None:
    table = report.tables["layers"]
    keep = [place for place, name in enumerate(table["columns"]) if name not in {"view", "kernel", "kind", "dtype"}]
    report.tables = {
        "layers": {
            "columns": [table["columns"][place] for place in keep],
            "rows": [[row[place] for place in keep] for row in table["rows"]],
        }
    }
    report.save(update_fields=["tables"])
    shown = client.get("/filters/acme/net.json").json()["shown"]
    assert shown["kernels"] == {"3×3": 6}
    assert client.get("/filters/acme/net/").status_code == 200


def test_what_is_not_there_is_said_and_what_to_do(client: Client, folder: Path, alice: Any) -> None:
    model = model_of(folder, "acme/new", convolutions())
    assert "Sign in to run" in client.get("/filters/acme/new/").content.decode()
    client.force_login(alice)
    page = client.get("/filters/acme/new/").content.decode()
    assert "not looked at yet" in page
    assert 'name="kind" value="filterdb"' in page
    job = Job.objects.create(kind="filterdb", digest="x", revision=model.current_revision, status="queued")
    page = client.get("/filters/acme/new/").content.decode()
    assert f"/jobs/{job.pk}/" in page
    assert 'value="filterdb"' not in page
    assert client.get("/filters/acme/new.json").json()["outcome"] is None


def test_a_model_without_a_convolution_says_so(client: Client, folder: Path, alice: Any) -> None:
    model_of(folder, "acme/words", transformer())
    client.force_login(alice)
    for headers in ({}, HTMX):
        page = client.get("/filters/acme/words/", headers=headers).content.decode()
        assert "no filters" in page
        assert 'value="filterdb"' not in page


def test_the_panel_is_short_and_leads_on(client: Client, report: Outcome) -> None:
    panel = client.get("/filters/acme/net/", headers=HTMX).content.decode()
    assert "<html" not in panel
    assert report.summary["sentence"] in panel
    assert 'href="/filters/acme/net/"' in panel
    assert panel.count("data-chart") == 1


def test_an_earlier_outcome_has_its_report(client: Client, folder: Path, report: Outcome) -> None:
    later = analysed("filterdb", Model.objects.get(slug="acme/net"), folder)
    assert f"/filter-reports/{later.pk}/" in client.get("/filters/acme/net/").content.decode()
    page = client.get(f"/filters/acme/net/?outcome={report.pk}").content.decode()
    assert f"/filter-reports/{report.pk}/" in page
    for name in ("nonsense", "00000000-0000-0000-0000-000000000000"):
        assert client.get(f"/filters/acme/net/?outcome={name}").status_code == 404


def whole(model: Model) -> LayerGroup:
    """All 3 × 3 layers of a model, from its weights."""
    sums = LayerGroup.empty()
    seed = int(model.slug[-1])
    for name, weight in convolutions(seed=seed).items():
        if name.startswith("blocks"):
            sums = sums.merge(LayerGroup.of_layer(FilterStatistics.of_layer(weight)))
    return sums


@pytest.fixture
def family(folder: Path) -> list[Model]:
    """Three nets of one family and one of another."""
    models = []
    for seed, architecture in enumerate(["ResNet-18", "ResNet-50", "ResNet-34", "VGG16"]):
        model = model_of(folder, f"acme/net-{seed}", convolutions(seed=seed), architecture=architecture)
        analysed("filterdb", model, folder)
        models.append(model)
    return models


def test_a_model_is_left_out_of_its_own_group(client: Client, family: list[Model]) -> None:
    position = client.get("/filter-positions/acme/net-0.json?axis=family").json()["position"]
    groups = {one["group"]: one for one in position["groups"]}
    assert groups["ResNet"]["models"] == 2
    assert groups["ResNet"]["is_own"] is True
    own, others = whole(family[0]), whole(family[1]).merge(whole(family[2]))
    sums = coefficient_sums([own, others])
    expected = drift(sums.combined([1, 0]), sums.combined([0, 1]))
    assert groups["ResNet"]["value"] == pytest.approx(float(expected), rel=1e-9)
    assert groups["ResNet"]["low"] <= groups["ResNet"]["value"] <= groups["ResNet"]["high"]
    assert (groups["VGG"]["low"], groups["VGG"]["note"]) == (None, "one model: no interval")


def test_the_place_of_a_model_alone_in_its_group(client: Client, family: list[Model]) -> None:
    position = client.get("/filter-positions/acme/net-3.json").json()["position"]
    assert position["alone_in"] == ["VGG"]
    assert [one["group"] for one in position["groups"]] == ["ResNet"]
    page = client.get("/filter-positions/acme/net-3/").content.decode()
    assert "the only model of “VGG”" in page
    assert "left out of its own group" in page
    figure = client.get("/filter-position-charts/acme/net-3.json?axis=family").json()
    go.Figure(data=figure["data"], layout=figure["layout"])
    assert client.get("/filter-positions/acme/net-3/?axis=depth").status_code == 400
    assert client.get("/filter-positions/acme/net-3/?axis=beauty").status_code == 400


def test_outsiders_get_no_group_with_a_restricted_model(client: Client, family: list[Model]) -> None:
    Model.objects.filter(pk=family[3].pk).update(is_restricted=True)
    assert "VGG" not in client.get("/filter-positions/acme/net-0.json").content.decode()
    assert client.get("/filter-positions/acme/net-3/").status_code == 404
    position = position_of(family[0], axis_of("family"), user=None)
    assert position is not None
    assert [one.group for one in position.distances] == ["ResNet"]


def test_compared_models_stand_layer_by_layer_with_their_drift(client: Client, family: list[Model]) -> None:
    query = "models=acme/net-0,acme/net-1,acme/net-3"
    twin = client.get(f"/compare/filters.json?{query}").json()
    assert twin["rows_are"] == "layers"
    assert list(twin["rows"]) == [f"blocks.{n}.conv.weight" for n in range(4)]
    cells = {(one["a"], one["b"]): one for one in twin["drift"]}
    sums = coefficient_sums([whole(family[0]), whole(family[1])])
    expected = float(drift(sums.combined([1, 0]), sums.combined([0, 1])))
    cell = cells["Net-0", "Net-1"]
    assert cell["value"] == pytest.approx(expected, rel=1e-9)
    assert cell["low"] <= cell["value"] <= cell["high"]
    assert cell["null"] is None
    assert len(cells) == 3
    assert "no null exists" in twin["drift_note"]
    page = client.get(f"/compare/filters/?{query}").content.decode()
    assert "no null exists" in page
    for name in ("variance-entropy-normalised", "sparsity", "orthogonality", "drift"):
        figure = client.get(f"/compare/filters/charts/{name}.json?{query}").json()
        go.Figure(data=figure["data"], layout=figure["layout"])
        assert figure["data"], name
    assert client.get(f"/compare/filters/charts/beauty.json?{query}").status_code == 404
    whole_page = client.get(f"/compare/?{query}").content.decode()
    assert "/compare/filters/?models=acme" in whole_page
    assert "/compare/weights/?models=acme" in whole_page


def test_models_of_two_architectures_are_compared_by_depth(client: Client, folder: Path, family: list[Model]) -> None:
    deep = model_of(folder, "acme/deep", convolutions(seed=7, layers=12))
    analysed("filterdb", deep, folder)
    new = model_of(folder, "acme/new", convolutions(seed=8))
    model_of(folder, "acme/words", transformer())
    query = f"models=acme/net-0,acme/deep,{new.slug},acme/words&number=sparsity"
    twin = client.get(f"/compare/filters.json?{query}").json()
    assert twin["rows_are"] == "tenths of the depth"
    assert twin["number"] == "sparsity"
    assert twin["not_looked_at"] == ["acme/new", "acme/words"]
    assert all(len(values) == 4 and values[2] is None for values in twin["rows"].values())
    panel = client.get(f"/compare/filters/?{query}", headers=HTMX).content.decode()
    assert "<html" not in panel
    assert "New was not looked at." in panel
    assert "Words: This model has no convolution" in panel


@pytest.mark.parametrize("address", ["/filters/{}/", "/compare/filters/?models={},acme/net-1", "/filter-positions/{}/"])
def test_queries_do_not_grow_with_the_models(
    client: Client, folder: Path, family: list[Model], django_assert_max_num_queries: Any, address: str
) -> None:
    client.get(address.format("acme/net-0"))
    with django_assert_max_num_queries(14):
        client.get(address.format("acme/net-0"))


def test_kernels_come_3x3_first_and_1x1_last() -> None:
    rows = [{"kernel": kernel} for kernel in ["1×1"] * 9 + ["7×7"] + ["5×5"] * 2 + ["3×3"]]
    assert [(one.key, one.layers) for one in kernels_of(rows)] == [("3x3", 1), ("5x5", 2), ("7x7", 1), ("1x1", 9)]
