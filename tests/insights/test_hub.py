"""The page of the whole hub: shares against counts by hand and against the real records, roll-ups, who sees what."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from hubapp.catalog.models import Card, Model, Revision
from hubapp.catalog.sources import dump_add
from hubapp.catalog.sync import source_sync
from hubapp.insights import hub
from hubapp.insights.entries import HubInsightsSpec
from hubapp.insights.figures import hub_figures
from hubapp.insights.models import Snapshot
from hubapp.insights.services import hub_insights_run, insights_refresh
from hubapp.jobs.kinds import kind_get
from tests.catalog.records import needs_real, real_lines, record, write_lines
from workers.kit import LocalContext

pytestmark = pytest.mark.django_db

CARD = """---
license: mit
---
# Net

## Limitations

It fails on pictures taken at night, and it was tried on few people; do not rely on it for anything that matters.
"""
RECORDS = [
    record("ada/base", downloads=900, tags=["safetensors", "license:cc-by-nc-4.0", "arxiv:2401.01234", "en"]),
    record(
        "ada/tuned", downloads=50, createdAt="2024-06-03T10:00:00.000Z", pipeline_tag="fill-mask",
        tags=["pytorch", "license:apache-2.0", "base_model:ada/base", "dataset:squad"],
    ),
    record("ada/silent", downloads=0, tags=["base_model:finetune:ada/base", "gguf"]),
    record("ada/old", downloads=None, createdAt="2022-03-02T23:29:04.000Z", tags=["pytorch", "license:mit"]),
    record("ada/bare", downloads=10, tags=[], library_name=None),
    record("ada/loop", downloads=40, tags=["license:mit", "base_model:ada/loop"]),
    record("ada/secret", downloads=5000, private=True, tags=["safetensors", "license:mit", "base_model:ada/base"]),
]  # fmt: skip


@pytest.fixture
def dump(tmp_path: Path) -> None:
    source_sync(dump_add(str(write_lines(tmp_path / "records.ndjson", RECORDS))))
    for slug, text in (("ada/base", CARD), ("ada/tuned", "A model."), ("ada/secret", CARD)):
        model = Model.objects.get(slug=slug)
        revision = Revision.objects.create(model=model, digest=slug, is_local=False)
        Card.objects.create(revision=revision, text=text)
        Model.objects.filter(pk=model.pk).update(current_revision=revision, documentation_level="thin")


def test_shares_by_hand(dump: None) -> None:
    found = hub_figures(sees_all=False)
    assert {name: found[name] for name in ("models", "licence", "base", "datasets", "paper", "language")} == {
        "models": 6, "licence": 4, "base": 3, "datasets": 1, "paper": 1, "language": 1,
    }  # fmt: skip
    assert (found["formats"], found["safetensors"], found["pickle_only"]) == (4, 1, 2)
    assert (found["card_read"], found["no_card"], found["restricted"]) == (2, 0, 0)
    assert found["levels"] == {"thin": 2, "not-read": 4}
    families = {row["name"]: row for row in found["families"]}
    assert {name: row["models"] for name, row in families.items()} == {"": 2, "permissive": 3, "non-commercial": 1}
    assert (families["permissive"]["downloads"], families["permissive"]["median"]) == (90, 45)
    assert found["downloads"] == 1000


def test_sections_are_shares_of_the_cards_that_were_read(dump: None) -> None:
    found = hub_figures(sees_all=False)["sections"]
    rules = {one["rule"]: (one["met"], one["known"]) for one in found["rules"]}
    assert found["cards"] == 2
    assert (rules["limitations"], rules["licence"], rules["environment"]) == ((1, 2), (2, 2), (0, 2))
    assert hub_figures(sees_all=True)["sections"]["cards"] == 3
    assert hub_figures(sees_all=True, most_cards=2)["sections"]["cards"] == 2


def test_derivatives_that_state_more_than_their_base(dump: None) -> None:
    # ada/base is non-commercial: Apache-2.0 on top is at odds, silence is not, and nothing is its own derivative.
    assert hub_figures(sees_all=False)["drift"] == {
        "derivatives": 2, "stated": 1, "unstated": 1, "at_odds": 1, "kinds": {"non-commercial": 1},
    }  # fmt: skip
    assert hub_figures(sees_all=True)["drift"]["kinds"] == {"non-commercial": 2}


def test_months_begin_after_march_2022_and_have_no_gaps(dump: None) -> None:
    found = hub_figures(sees_all=False)["months"]["task"]
    assert (found["months"], found["before"]) == (["2024-05", "2024-06"], 1)
    assert found["series"] == [
        {"name": "text-classification", "counts": [4, 0]},
        {"name": "fill-mask", "counts": [0, 1]},
    ]


def test_outsiders_see_the_figures_of_open_models(client: Client, bob: Any, dump: None) -> None:
    twin = client.get("/insights.json").json()
    assert (twin["models"], twin["downloads"]) == (6, 1000)
    assert twin["outlier"].startswith("One model, ada/base, has 90.0% of all downloads")
    page = client.get("/insights/").content.decode()
    assert "ada/secret" not in page
    assert "counted just now" in page
    client.force_login(bob)
    twin = client.get("/insights.json").json()
    assert (twin["models"], twin["downloads"]) == (7, 6000)
    assert "ada/secret" in twin["outlier"]


def test_large_catalogues_show_the_roll_up(client: Client, bob: Any, dump: None, monkeypatch: Any) -> None:
    monkeypatch.setattr(hub, "AT_ONCE", 3)
    assert "none has ended yet" in client.get("/insights/").content.decode()
    assert client.get("/insights.json").json() == {"models": None}
    assert client.get("/insights/charts/task.json").status_code == 404
    outcome = hub_insights_run(HubInsightsSpec(), LocalContext())
    assert outcome.summary["models"] == 7
    Model.objects.filter(slug="ada/bare").delete()
    assert kind_get("hub_insights").target == "hubapp.insights.services:hub_insights_run"
    insights_refresh()
    assert Snapshot.objects.count() == 1
    with CaptureQueriesContext(connection) as asked:
        page = client.get("/insights/").content.decode()
    assert len(asked) <= 4
    assert "5 models" in page.replace("\n", " ")
    client.force_login(bob)
    assert client.get("/insights.json").json()["models"] == 6


def test_the_page_says_what_the_figures_are(client: Client, dump: None) -> None:
    page = client.get("/insights/").content.decode()
    for piece in (
        "so these shares have no interval",
        "Shares of 2 cards.",
        "1 (100.0%) state more than the base leaves room for",
        "1 state none though their base does",
        "trends start in April 2022 and leave out 1 model.",
        'href="/models/?documentation=thin"',
        "the base forbids commercial use, the derivative allows it",
        'data-chart="/insights/charts/sections.json"',
    ):
        assert piece in page, piece


@pytest.mark.parametrize("name", ["sections", "task", "library"])
def test_charts_draw_and_have_their_table(client: Client, dump: None, name: str) -> None:
    figure = client.get(f"/insights/charts/{name}.json").json()
    assert figure["data"]
    assert figure["layout"]["meta"]["table"]["rows"]


def test_an_empty_hub_says_what_to_do(client: Client) -> None:
    assert "The catalogue is empty" in client.get("/insights/").content.decode()
    assert client.get("/insights.json").json()["models"] == 0


@needs_real
def test_shares_of_real_records_equal_counts_in_the_file(tmp_path: Path) -> None:
    lines = [one for one in real_lines("models_2024-07.ndjson.gz") if one["_stratum"] == "random"]
    assert len(lines) == 15_000
    source_sync(dump_add(str(write_lines(tmp_path / "real.ndjson", lines))))
    found = hub_figures(sees_all=False)

    def tagged(start: str) -> int:
        return sum(any(tag.startswith(start) for tag in one["tags"]) for one in lines)

    assert found["models"] == len(lines)
    assert found["licence"] == tagged("license:")
    assert found["base"] == tagged("base_model:")
    assert found["datasets"] == tagged("dataset:")
    assert found["paper"] == tagged("arxiv:")
    assert found["safetensors"] == sum("safetensors" in one["tags"] for one in lines)
    assert found["downloads"] == sum(one["downloads"] for one in lines)
    for name, key in (("task", "pipeline_tag"), ("library", "library_name")):
        months = found["months"][name]
        stated = Counter((one["createdAt"][:7], one.get(key) or "") for one in lines)
        # A library that is not stated is told by a tag.
        tags = Counter((one["createdAt"][:7], tag) for one in lines if not one.get(key) for tag in set(one["tags"]))
        assert months["before"] == sum(n for (month, _), n in stated.items() if month < "2022-04")
        assert (months["months"][0], months["months"][-1]) == ("2022-04", "2024-07")
        assert sum(sum(one["counts"]) for one in months["series"]) + months["before"] == len(lines)
        for series in months["series"]:
            if not series["name"]:
                continue
            for month, count in zip(months["months"], series["counts"], strict=True):
                least, by_tag = stated[month, series["name"]], tags[month, series["name"]]
                assert least <= count <= least + (by_tag if name == "library" else 0), (month, series["name"])
