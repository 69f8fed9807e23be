"""The list's page, its table to load down and its feed: what they show, to whom, and how many queries they cost."""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ET

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from hubapp.catalog.filters import COLUMNS, FACETS, SORTS
from hubapp.catalog.models import Model, Source
from hubapp.catalog.presenting.model_table import cell
from hubapp.catalog.search import words_refresh
from hubapp.catalog.views import model_list as views
from tests.catalog.conftest import ModelMaker

pytestmark = pytest.mark.django_db
ATOM = "{http://www.w3.org/2005/Atom}"


def text(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, path
    return " ".join(response.content.decode().split())


def table(client: Client, path: str) -> list[list[str]]:
    response = client.get(path)
    assert response.status_code == 200
    assert response.streaming
    return list(csv.reader(io.StringIO(b"".join(response.streaming_content).decode())))  # type: ignore[attr-defined]


def test_every_facet_sort_and_column_makes_a_page(client: Client, make_model: ModelMaker) -> None:
    make_model("alpha", library="timm", downloads=5, languages=["en"], formats=["onnx"], documentation_points=3)
    page = text(client, f"/models/?columns={','.join(COLUMNS)}")
    for title in COLUMNS.values():
        assert f">{title}</a>" in page or f">{title}</th>" in page, title
    for name in COLUMNS:
        assert "alpha" in text(client, f"/models/?columns={name}")
    for sort in SORTS:
        for way in ("", "-"):
            assert "alpha" in text(client, f"/models/?q=alpha&sort={way}{sort}")
    for facet in FACETS:
        for value in ("", "no such value"):
            assert client.get("/models/", {facet: value}).status_code == 200
    assert 'aria-sort="descending"' in text(client, "/models/?sort=-downloads")


def test_queries_of_the_list_do_not_grow(client: Client, demo_source: Source) -> None:
    def queries(path: str) -> int:
        client.get(path)
        with CaptureQueriesContext(connection) as captured:
            assert client.get(path).status_code == 200
        return len(captured)

    def add(numbers: range) -> None:
        Model.objects.bulk_create(
            Model(
                slug=f"o/net-{n}", title=f"o/net-{n}", source=demo_source, modality="text", task=f"task-{n % 60}",
                licence="MIT", downloads=n,
            )
            for n in numbers
        )  # fmt: skip

    paths = (
        "/models/",
        "/models.json?per_page=100",
        "/models/?q=net&modality=text&licence=MIT",
        "/models/?q=zzz&exact=1",
    )
    add(range(3))
    few = [queries(path) for path in paths]
    add(range(3, 500))
    assert [queries(path) for path in paths] == few
    assert few[0] <= 6  # state of the roll-ups, transaction (2), matches, rows
    assert few[2] <= few[0] + 2  # and one for each facet of which something is chosen


def test_chosen_values_are_chips_and_sentence(client: Client, make_model: ModelMaker) -> None:
    make_model("alpha", licence="MIT", parameters=3_000_000)
    page = text(client, "/models/?modality=image&licence=MIT&parameters_from=1M&created_from=2020-01-01")
    assert "1 model, modality image, licence MIT, created from 2020-01-01, parameters from 1.00" in page
    assert 'aria-label="Leave out Licence: MIT"' in page
    assert 'href="?modality=image&amp;created_from=2020-01-01&amp;parameters_from=1000000"' in page
    assert "Parameters from 1.00" in page


def test_long_facets_unfold_and_are_filtered(client: Client, make_model: ModelMaker) -> None:
    for number in range(30):
        make_model(f"m{number}", architecture=f"Net{number:02d}ForTests", tensors=0)
    page = text(client, "/models/")
    assert "22 more" in page
    assert 'name="of" value="architecture"' in page
    found = client.get("/models.json?of=architecture&like=net1").json()["facets"]
    values = {one["value"] for facet in found if facet["name"] == "architecture" for one in facet["values"]}
    assert values == {f"Net{number}ForTests" for number in range(10, 20)}
    assert "No value has “qq” in it" in text(client, "/models/?of=architecture&like=qq")


def test_columns_without_any_value_are_left_out_unless_chosen(client: Client, make_model: ModelMaker) -> None:
    make_model("alpha")
    assert ">Downloads</a>" not in text(client, "/models/")
    assert ">Downloads</a>" in text(client, "/models/?columns=downloads")
    make_model("beta", downloads=0)
    assert ">Downloads</a>" in text(client, "/models/")


def test_a_typo_is_said_with_the_way_back(client: Client, make_model: ModelMaker) -> None:

    make_model("google/bert", title="google/bert")
    words_refresh()
    page = text(client, "/models/?q=berrt")
    assert "Nothing says “berrt”; shown: bert. 1 model with “bert” in the text, the best matches first." in page
    assert 'href="?q=berrt&amp;exact=1"' in page
    assert client.get("/models.json?q=berrt").json()["replaced"] == {"berrt": "bert"}
    assert "Nothing matches" in text(client, "/models/?q=berrt&exact=1")


@pytest.mark.parametrize(
    ("value", "shown"),
    [("=1+1", "'=1+1"), ("+1", "'+1"), ("-1", "'-1"), ("@x", "'@x"), ("\t=1", "'\t=1"), (" =1", "' =1"), ("a=1", "a=1"),
     (-5, "-5"), (None, ""), (True, "yes"), (["en", "de"], "en de"), ("|x", "'|x"), ("\r=1", "'\r=1"),
     ("a\x00b", "ab")],
)  # fmt: skip
def test_cells_are_never_formulas(value: object, shown: str) -> None:
    assert cell(value) == shown


def test_table_of_the_view(client: Client, make_model: ModelMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        make_model(f"net-{number}", title="=HYPERLINK(0)", downloads=number, meaning='a "quoted", line\nand more')
    make_model("text", modality="text")
    head, *rows = table(client, "/models.csv?modality=image&sort=downloads")
    found = [dict(zip(head, row, strict=True)) for row in rows]
    assert [one["slug"] for one in found] == [f"net-{number}" for number in range(5)]
    assert {one["title"] for one in found} == {"'=HYPERLINK(0)"}
    assert found[0]["meaning"] == 'a "quoted", line\nand more'
    assert found[3]["downloads"] == "3"
    assert found[0]["url"] == "http://testserver/models/net-0/"
    monkeypatch.setattr(views, "DEEPEST", 3)
    rows = table(client, "/models.csv")
    assert len(rows) == 1 + 3 + 1
    assert rows[-1] == ["These are the first 3 of 6 models: narrow the search to get the others."]
    assert table(client, "/models.csv?q=nothing") == []


def test_feed_of_the_view(client: Client, make_model: ModelMaker) -> None:
    make_model("older", title="Older & <b>")
    make_model("newer", meaning="Sees \x0bcats.", author="Ada")
    make_model("text", modality="text")
    response = client.get("/models.atom?modality=image&sort=name")
    assert response["Content-Type"].startswith("application/atom+xml")
    feed = ET.fromstring(response.content)
    assert [entry.findtext(f"{ATOM}title") for entry in feed.iter(f"{ATOM}entry")] == ["Newer", "Older & <b>"]
    first = next(feed.iter(f"{ATOM}entry"))
    assert first.findtext(f"{ATOM}summary") == "Sees cats."
    link = first.find(f"{ATOM}link")
    assert link is not None
    assert link.get("href") == "http://testserver/models/newer/"
    assert ET.fromstring(client.get("/models.atom?q=zzz").content).find(f"{ATOM}entry") is None
    assert 'href="/models.atom?modality=image"' in text(client, "/models/?modality=image")


def test_outsiders_see_no_restricted_model_anywhere(client: Client, alice: User, make_model: ModelMaker) -> None:
    make_model("open", architecture="Net", downloads=1)
    make_model("hidden-zeus", architecture="ZeusNet", languages=["xx"], downloads=99, is_restricted=True)
    paths = ("/models/", "/models.json", "/models.csv", "/models.atom", "/models/?of=architecture&like=zeus",
             "/models/?sort=-downloads", "/models.json?architecture=ZeusNet")  # fmt: skip
    for path in paths:
        response = client.get(path)
        body = response.getvalue()  # type: ignore[attr-defined]
        assert b"hidden-zeus" not in body, path
        assert b"ZeusNet" not in body or "architecture=ZeusNet" in path, path
    twin = client.get("/models.json").json()
    assert twin["count"] == 1
    assert all(one["count"] <= 1 for facet in twin["facets"] for one in facet["values"])
    assert client.get("/models.json?architecture=ZeusNet").json()["count"] == 0
    client.force_login(alice)
    assert client.get("/models.json").json()["count"] == 2
    assert "restricted" in text(client, "/models/")
