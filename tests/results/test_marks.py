"""What the evidence says of a metric stands on its Entry, in the docs, on its page and on rankings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from hubapp.results.evidence.base import Base
from hubapp.results.evidence.kept import marks_of
from hubapp.results.evidence.records import tables_of
from hubapp.results.evidence.shipped import shipped_records
from workers.kit import METRICS

WORDS = {"beats": "beats the static list", "does not beat": "does not beat the static list", "too little": ""}


@pytest.fixture(scope="module")
def shipped() -> Base:
    records = tuple(shipped_records())
    return Base(key="shipped", records=records, tables=tuple(tables_of(records)), titles={})


def test_entries_say_what_the_shipped_evidence_says(shipped: Base) -> None:
    marks = marks_of(shipped, [entry.name for entry in METRICS])
    assert len(marks) == 7
    for entry in METRICS:
        assert entry.evidence == (WORDS[marks[entry.name].word] if entry.name in marks else ""), entry.name


def test_the_docs_mark_the_same_metrics() -> None:
    text = Path(__file__).parents[2].joinpath("docs/metrics.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)`( †)? \|", text, re.MULTILINE))
    assert set(rows) == {entry.name for entry in METRICS}
    assert {name for name, mark in rows.items() if mark} == {
        entry.name for entry in METRICS if entry.evidence == WORDS["does not beat"]
    }


def test_kept_verdicts_are_found_again_and_follow_the_numbers(shipped: Base, settings: Any) -> None:
    first = marks_of(shipped, ["logme"])
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "unix:///nowhere/redis.sock"}
    }
    assert marks_of(shipped, ["logme"]) == first
    other = Base(key="other", records=(), tables=shipped.tables[:3], titles={})
    assert marks_of(other, ["logme"]) == {}


def test_pages_show_the_mark(client: Client, hub: Any) -> None:
    page = client.get("/datasets/digits/ranking/?by=logme").content.decode()
    assert re.search(r'LogME</a><abbr title="Does not beat the static list[^"]*">†</abbr>', page)
    assert "† does not beat a list that never looks at the data" in page
    assert re.search(r'evidence/metrics/logme/"\s+title="Does not beat', page)
    column = next(one for one in client.get("/datasets/digits/ranking.json").json()["columns"] if one["key"] == "logme")
    assert column["evidence"].startswith("Does not beat the static list")
    assert "does not beat the static list" in client.get("/evidence/metrics/logme/").content.decode()
