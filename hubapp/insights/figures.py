"""What the whole hub documents, over all models that an audience may know of: plain numbers, ready for JSON.

Every query runs over all models, so large catalogues keep the result (`hubapp.insights.services`); a small one is
counted when it is asked for.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from django.db import connection, transaction

from hubapp.catalog.cards import card_split
from hubapp.catalog.documentation import Documentation, documentation_score, section_shares
from hubapp.catalog.models import Card
from hubapp.insights.licences import drift_of

Figures = dict[str, Any]
FIRST_MONTH = dt.date(2022, 4, 1)  # hubs record creation dates since March 2022; what is older carries that month
MOST_CARDS = 5_000  # that are judged; of more a random sample
MOST_SERIES = 7  # of a chart over months; the rest is one more
MOST_LICENCES = 15
# Weights that only a pickle holds; others can be read without running anything.
PICKLED = ("pytorch", "pickle", "torch-zip", "torch-legacy", "numpy-pickle")
PLANS = "SET LOCAL max_parallel_workers_per_gather = 2; SET LOCAL work_mem = '64MB'; SET LOCAL jit = off"
# A constant, never a value from outside: who may know of a model `m`.
VISIBLE = {True: "m.archived_at IS NULL", False: "m.archived_at IS NULL AND NOT m.is_restricted"}

_SHARES = """
SELECT count(*), coalesce(sum(coalesce(m.parameters, r.parameters)), 0),
    count(*) FILTER (WHERE m.is_restricted),
    count(*) FILTER (WHERE m.licence <> '' OR m.licence_stated <> ''),
    count(*) FILTER (WHERE cardinality(m.dataset_names) > 0),
    count(*) FILTER (WHERE cardinality(m.languages) > 0),
    count(*) FILTER (WHERE cardinality(m.formats) > 0),
    count(*) FILTER (WHERE 'safetensors' = ANY (m.formats)),
    count(*) FILTER (WHERE cardinality(m.formats) > 0 AND m.formats::text[] <@ %(pickled)s),
    count(*) FILTER (WHERE m.documentation_level = 'none'),
    count(*) FILTER (WHERE m.documentation_level IN ('thin', 'partial', 'good')),
    coalesce(sum(m.downloads), 0)
FROM catalog_model m LEFT JOIN catalog_revision r ON r.id = m.current_revision_id WHERE {visible}
"""
_LINKED = "SELECT count(DISTINCT m.id) FROM {table} l JOIN catalog_model m ON m.id = l.{column} WHERE {visible}"
_LEVELS = """
SELECT CASE m.documentation_level WHEN '' THEN 'not-read' ELSE m.documentation_level END, count(*)
FROM catalog_model m WHERE {visible} GROUP BY 1
"""
_LICENCES = """
SELECT m.{column}, count(*), coalesce(sum(m.downloads), 0), coalesce(max(m.downloads), 0),
    percentile_cont(0.5) WITHIN GROUP (ORDER BY m.downloads)
FROM catalog_model m WHERE {visible} GROUP BY 1 ORDER BY 2 DESC, 1
"""
_MONTHS = """
SELECT date_trunc('month', m.published_at AT TIME ZONE 'UTC')::date, m.{column}, count(*)
FROM catalog_model m JOIN catalog_source s ON s.id = m.source_id
WHERE {visible} AND s.kind IN ('hub', 'dump') GROUP BY 1, 2
"""
_SAMPLE = """
SELECT c.revision_id FROM catalog_card c JOIN catalog_model m ON m.current_revision_id = c.revision_id
WHERE {visible} ORDER BY md5(c.revision_id::text) LIMIT %(most)s
"""


def hub_figures(*, sees_all: bool, most_cards: int = MOST_CARDS) -> Figures:
    """Everything that the page shows, of all models or (`sees_all` false) of those that outsiders may know of."""
    visible = VISIBLE[sees_all]
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(PLANS)
        (shares,) = _rows(_SHARES, visible, pickled=list(PICKLED))
        names = (
            "models", "parameters", "restricted", "licence", "datasets", "language", "formats", "safetensors",
            "pickle_only", "no_card", "card_read", "downloads",
        )  # fmt: skip
        figures: Figures = dict(zip(names, map(int, shares), strict=True))
        figures["base"] = _linked("catalog_baselink", "child_id", visible)
        figures["paper"] = _linked("catalog_paperlink", "model_id", visible)
        figures["levels"] = dict(_rows(_LEVELS, visible))
        figures["sections"] = _sections(visible, most=most_cards)
        figures["families"] = [_licence_row(row) for row in _rows(_LICENCES, visible, column="licence_family")]
        figures["licences"] = [_licence_row(row) for row in _rows(_LICENCES, visible, column="licence")][:MOST_LICENCES]
        figures["drift"] = drift_of(sees_all=sees_all)
        figures["months"] = {name: _months(name, visible) for name in ("task", "library")}
    return figures


def _rows(sql: str, visible: str, *, column: str = "", table: str = "", **params: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql.format(visible=visible, column=column, table=table), params)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


def _linked(table: str, column: str, visible: str) -> int:
    return int(_rows(_LINKED, visible, table=table, column=column)[0][0])


def _licence_row(row: tuple[Any, ...]) -> Figures:
    name, models, downloads, top, median = row
    return {"name": name, "models": models, "downloads": int(downloads), "top": int(top), "median": median}


def _sections(visible: str, *, most: int) -> Figures:
    """How many of the cards that were read meet each rule of the documentation score."""
    ids = [row[0] for row in _rows(_SAMPLE, visible, most=most)]
    found = section_shares(_documentations(ids))
    rules = [{"rule": one.rule.name, "met": one.met, "known": one.known} for one in found]
    return {"cards": len(ids), "rules": rules if ids else []}


def _documentations(ids: Sequence[int]) -> Iterator[Documentation]:
    cards = Card.objects.filter(pk__in=ids).values_list("text", "revision__model__tags")
    for text, tags in cards.iterator(chunk_size=200):
        front_matter, body, _ = card_split(text)
        yield documentation_score(has_card=True, front_matter=front_matter, body=body, tags=tags or ())


def _months(column: str, visible: str) -> Figures:
    """Uploads a month of the most frequent values and of all others; months without an upload count none."""
    rows = _rows(_MONTHS, visible, column=column)
    kept = [(month, value, count) for month, value, count in rows if month >= FIRST_MONTH]
    totals: Counter[str] = Counter()
    for _, value, count in kept:
        totals[value] += count
    names = [value for value, _ in sorted(totals.items(), key=lambda one: (-one[1], one[0]))[:MOST_SERIES]]
    months = _months_between(min(row[0] for row in kept), max(row[0] for row in kept)) if kept else []
    counts: dict[str, Counter[dt.date]] = {name: Counter() for name in names}
    others: Counter[dt.date] = Counter()
    for month, value, count in kept:
        counts.get(value, others)[month] += count
    series: list[Figures] = [{"name": name, "counts": [counts[name][month] for month in months]} for name in names]
    if others:
        series.append({"name": None, "counts": [others[month] for month in months]})
    return {
        "months": [month.isoformat()[:7] for month in months],
        "series": series,
        "before": sum(count for month, _, count in rows if month < FIRST_MONTH),
    }


def _months_between(first: dt.date, last: dt.date) -> list[dt.date]:
    months = range(12 * first.year + first.month - 1, 12 * last.year + last.month)
    return [dt.date(number // 12, number % 12 + 1, 1) for number in months]
