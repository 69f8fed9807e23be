"""The documentation score against 758 real cards whose headings people put into categories."""

from __future__ import annotations

import csv
import gzip
import json
import statistics
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from hubapp.catalog.documentation.contents import is_filled
from hubapp.catalog.documentation.headings import heading_rules, heading_text
from hubapp.catalog.documentation.reading import card_parts

CARDS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "hub" / "hn5318_cards"
pytestmark = pytest.mark.skipif(not CARDS.exists(), reason="the real cards are not here")

CATEGORIES = {  # a heading about both use and limits has one category there, so either is right
    "intended-use": {"why"},
    "limitations": {"what", "why"},
    "training-data": {"what"},
    "training-procedure": {"what"},
    "evaluation": {"what"},
    "environment": {"what"},
    "how-to-use": {"how"},
    "citation": {"reference"},
    "contact": {"who", "reference"},
}
PRECISION = {
    "intended-use": 0.90,
    "limitations": 0.75,
    "training-data": 0.87,
    "training-procedure": 0.92,
    "evaluation": 0.93,
    "environment": 0.99,
    "how-to-use": 0.94,
    "citation": 0.95,
    "contact": 0.90,
}


def _annotated():
    """(card, heading, categories) of each annotated heading; no category means nothing but a template."""
    card = ""
    with gzip.open(CARDS / "cards_headings_annotated.csv.gz", "rt") as lines:
        for row in csv.DictReader(lines):
            name = row["model_id"].strip()
            card = name if name and not name.startswith("*") else card
            heading = row["heading"].strip()
            if heading and heading.lower() != "no heading":
                yield card, heading, {part.strip().lower() for part in row["category"].split(",") if part.strip()}


def _bodies() -> dict[str, str]:
    with gzip.open(CARDS / "cards_sample_758.ndjson.gz", "rt") as lines:
        return {record["modelId"]: record["modelcard_text"] or "" for record in map(json.loads, lines)}


def test_headings_agree_with_the_categories_that_people_gave_them():
    right: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    recalled: dict[str, list[bool]] = defaultdict(list)
    for _, heading, categories in _annotated():
        names = heading_rules(heading)
        if not categories:
            continue
        for name in names:
            seen[name] += 1
            right[name] += bool(CATEGORIES[name] & categories)
        for category, name in (("how", "how-to-use"), ("why", "intended-use")):
            if category in categories:
                recalled[category].append(name in names)
    precision = {name: right[name] / seen[name] for name in seen}
    assert {name: value for name, value in precision.items() if value < PRECISION[name]} == {}
    assert statistics.mean(recalled["how"]) > 0.75
    assert statistics.mean(recalled["why"]) > 0.83


def test_sections_without_content_agree_with_those_that_people_left_without_a_category():
    bodies = _bodies()
    outcomes: Counter[tuple[bool, bool]] = Counter()
    place: dict[str, int] = defaultdict(int)
    parts_of = {name: card_parts(body) for name, body in bodies.items()}
    for card, heading, categories in _annotated():
        parts = parts_of[card]
        found = [at for at in range(place[card], len(parts)) if heading_text(parts[at].title) == heading_text(heading)]
        if not found:
            continue
        place[card] = found[0] + 1
        if heading_rules(heading):
            outcomes[bool(categories), is_filled([parts[found[0]]])] += 1
    total = sum(outcomes.values())
    assert total > 3_000
    assert (outcomes[True, True] + outcomes[False, False]) / total > 0.97
    assert outcomes[True, True] / (outcomes[True, True] + outcomes[False, True]) > 0.975
    assert outcomes[True, True] / (outcomes[True, True] + outcomes[True, False]) > 0.95
