"""The models of one page of a search that finds too many to read them all.

Where matches are frequent, the index of the order is walked and what does not match is passed over. Elsewhere the
sample tells a value of the order that more than enough matches come before: what lies beyond it need not be looked at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from django.db import connection

from hubapp.catalog.filters import ModelQuery
from hubapp.catalog.models import SampledModel
from hubapp.catalog.search.counting import Catalogue, Count
from hubapp.catalog.search.matching import matches, visible
from hubapp.catalog.search.orders import Order, order_of
from hubapp.catalog.search.reading import (
    Part,
    Person,
    condition,
    matching_models,
    plan_words,
    relevance,
    relevance_order,
)

RANKED = 200  # of the most popular matches, ordered by relevance × popularity; the others follow by popularity
PATIENCE = 4  # times the length of a walk over evenly spread matches
SHORTEST_WALK = 1_000
LONGEST_WALK = 4_000  # rows for those of a page; deep pages of what nearly all rows match walk further
READ = ("archived_at", "is_restricted", "search", "published_at", "updated_at", "parameters")  # by conditions


@dataclass(frozen=True, kw_only=True)
class _Search:
    """A search with its order, and how many rows from the `start` of it are wanted."""

    query: ModelQuery
    user: Person
    start: int
    size: int

    @property
    def end(self) -> int:
        return self.start + self.size

    @property
    def order(self) -> Order:
        return order_of(self.query.order)

    def columns(self, *more: str) -> str:
        return ", ".join(dict.fromkeys(["id", "slug", *self.order.columns, *more]))

    def where(self, *, loose: frozenset[str] = frozenset()) -> Part:
        return condition(matching_models(self.query, self.user, loose=loose))


def page_ids(query: ModelQuery, user: Person, count: Count, *, state: Catalogue, start: int, size: int) -> list[int]:
    """The keys of the models at `start` (from 0) and after in the order of a search."""
    if query.order == "relevance" and start < RANKED:
        search = _Search(query=query, user=user, start=0, size=RANKED)
        return _ids(search, count, state=state, is_ranked=True)[start : start + size]
    return _ids(_Search(query=query, user=user, start=start, size=size), count, state=state)


def _ids(search: _Search, count: Count, *, state: Catalogue, is_ranked: bool = False) -> list[int]:
    spread = state.total / max(1, count.value) * search.end  # length of the walk if matches are evenly spread
    if spread <= max(LONGEST_WALK, 2 * search.end):
        steps = round(min(max(SHORTEST_WALK, PATIENCE * spread), max(LONGEST_WALK, PATIENCE * search.end)))
        found = _walk(search, steps=steps, is_ranked=is_ranked)
        if len(found) >= search.size:
            return found
    if state.rollup is None or search.query.is_archived:
        return _sort(search, is_ranked=is_ranked)
    share = state.rollup.sample_share
    if (bound := _bound(search, share=share)) is not None:
        plan = plan_words(search.query, share=share, within=bound)
        found = _sort(search, loose=plan.loose, bound=bound, is_ranked=is_ranked)
        if len(found) >= search.size:
            return found
    return _sort(search, loose=plan_words(search.query, share=share).loose, is_ranked=is_ranked)


def _bound(search: _Search, *, share: float) -> Part | None:
    """A condition on the order's first column that at least so many matches fulfil, almost surely; None: no such value.

    The number of sampled matches among the wanted is a Poisson variable; two standard deviations and two more of them
    are taken. Who takes the condition has to look whether the rows suffice.
    """
    where, params = condition(SampledModel.objects.filter(matches(search.query), visible(search.user)))
    key, before = search.order.key
    expected = search.end * share
    sql = f"""
        SELECT {key} FROM catalog_sampledmodel WHERE {where}
        ORDER BY {search.order.sorted_by.split(", ")[0]} LIMIT 1 OFFSET %s
    """  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, [*params, math.ceil(expected + 2 * math.sqrt(expected) + 2)])
        value = row[0] if (row := cursor.fetchone()) else None
    return None if value is None else (f"{key} {before}= %s", [value])


def _walk(search: _Search, *, steps: int, is_ranked: bool) -> list[int]:
    order = search.order
    where, params = search.where()
    read = search.columns(*READ, "title", "downloads", "likes")
    inner = f"""
        SELECT * FROM (
            SELECT {read} FROM catalog_model WHERE {order.walked} ORDER BY {order.walked_by} LIMIT {steps}
        ) AS catalog_model WHERE {where} LIMIT {search.size} OFFSET {search.start}
    """  # noqa: S608 (made of constants and of Django's own SQL)
    return _fetch(search, inner, params, is_ranked=is_ranked)


def _sort(
    search: _Search, *, loose: frozenset[str] = frozenset(), bound: Part = ("TRUE", []), is_ranked: bool
) -> list[int]:
    where, params = search.where(loose=loose)
    by = search.order.sorted_by
    inner = f"""
        WITH matched AS MATERIALIZED (
            SELECT {search.columns()} FROM catalog_model WHERE {where} AND {bound[0]}
        ), first AS (SELECT id FROM matched ORDER BY {by} LIMIT {search.size} OFFSET {search.start})
        SELECT catalog_model.* FROM first JOIN catalog_model USING (id) ORDER BY {by}
    """  # noqa: S608
    return _fetch(search, inner, [*params, *bound[1]], is_ranked=is_ranked)


def _fetch(search: _Search, inner: str, params: list[Any], *, is_ranked: bool) -> list[int]:
    sql, all_params = f"SELECT id FROM ({inner}) AS found", params  # noqa: S608
    if is_ranked:
        rank, rank_params = relevance(search.query)
        sql = (
            f"SELECT id FROM (SELECT id, slug, {rank} AS relevance FROM ({inner}) AS found) AS ranked"  # noqa: S608
            f" ORDER BY {relevance_order(search.query)}"
        )
        all_params = [*rank_params, *params]
    with connection.cursor() as cursor:
        cursor.execute(sql, all_params)
        return [row[0] for row in cursor.fetchall()]
