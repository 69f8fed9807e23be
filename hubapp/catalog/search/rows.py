"""The models of one page of a search that finds too many to read them all.

Where matches are frequent, the index of the order is walked and what does not match is passed over. A walk that has
gone several times as far as it should have asks the sample how far the matches lie: near enough, it goes on; else all
matches are read and sorted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import connection

from hubapp.catalog.filters import ModelQuery
from hubapp.catalog.models import SampledModel
from hubapp.catalog.search.counting import (
    Catalogue,
    Count,
    Found,
    Person,
    condition,
    matching_models,
    relevance,
    relevance_order,
)
from hubapp.catalog.search.matching import matches, visible
from hubapp.catalog.search.orders import Order, order_of

RANKED = 200  # of the most popular matches, ordered by relevance × popularity; the others follow by popularity
SHORTEST_WALK = 4_000
LONGEST_WALK = 400_000
PATIENCE = 4  # times the length of a walk over evenly spread matches
READ = ("archived_at", "is_restricted", "search", "published_at", "updated_at", "parameters")  # by conditions


@dataclass(frozen=True, kw_only=True)
class _Source:
    where: str
    params: list[Any]
    sampled_where: str
    sampled_params: list[Any]
    order: Order

    def columns(self, *more: str) -> str:
        return ", ".join(dict.fromkeys(["id", "slug", *self.order.columns, *more]))


def page_ids(query: ModelQuery, user: Person, found: Found, *, state: Catalogue, start: int, size: int) -> list[int]:
    """The keys of the models at `start` (from 0) and after in the order of a search."""
    count = found.count
    where, params = condition(matching_models(query, user, loose=found.loose))
    sampled_where, sampled_params = condition(SampledModel.objects.filter(matches(query), visible(user)))
    source = _Source(
        where=where,
        params=params,
        sampled_where=sampled_where,
        sampled_params=sampled_params,
        order=order_of(query.order),
    )
    if query.order == "relevance" and start < RANKED:
        rank, rank_params = relevance(query)
        return _ids(source, count, state=state, start=0, size=RANKED, then=(query, rank, rank_params))[
            start : start + size
        ]
    return _ids(source, count, state=state, start=start, size=size)


def _ids(
    source: _Source,
    count: Count,
    *,
    state: Catalogue,
    start: int,
    size: int,
    then: tuple[ModelQuery, str, list[Any]] | None = None,
) -> list[int]:
    spread = state.total / max(1, count.value) * (start + size)  # length of the walk if matches are evenly spread
    if spread > count.value:
        return _sort(source, start=start, size=size, then=then)
    steps = round(min(LONGEST_WALK, max(SHORTEST_WALK, PATIENCE * spread)))
    found = _walk(source, steps=steps, start=start, size=size, then=then)
    if len(found) >= size or state.rollup is None:
        return found if len(found) >= size else _sort(source, start=start, size=size, then=then)
    far = _distance(source, share=state.rollup.sample_share, rows=start + size) + PATIENCE * spread
    if far < min(LONGEST_WALK, count.value):
        found = _walk(source, steps=round(2 * far), start=start, size=size, then=then)
    return found if len(found) >= size else _sort(source, start=start, size=size, then=then)


def _distance(source: _Source, *, share: float, rows: int) -> float:
    """About how many models come before the one at `rows` of the matches, judged by the sample."""
    key, before = source.order.key
    sql = f"""
        WITH last AS (
            SELECT {key} AS value FROM catalog_sampledmodel WHERE {source.sampled_where}
            ORDER BY {source.order.sorted_by.split(", ")[0]}
            LIMIT 1 OFFSET %s
        )
        SELECT count(*) FROM catalog_sampledmodel
        WHERE NOT EXISTS (SELECT FROM last) OR {key} {before} (SELECT value FROM last)
            OR ({key} IS NOT NULL AND (SELECT value FROM last) IS NULL)
    """  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, [*source.sampled_params, round(rows * share)])
        (passed,) = cursor.fetchone()
    return float(passed / share)


def _walk(
    source: _Source, *, steps: int, start: int, size: int, then: tuple[ModelQuery, str, list[Any]] | None
) -> list[int]:
    order = source.order
    read = source.columns(*READ, "title", "downloads", "likes")
    inner = f"""
        SELECT * FROM (
            SELECT {read} FROM catalog_model WHERE {order.walked} ORDER BY {order.walked_by} LIMIT {steps}
        ) AS catalog_model WHERE {source.where} LIMIT {size} OFFSET {start}
    """  # noqa: S608 (made of constants and of Django's own SQL)
    return _fetch(inner, source.params, then)


def _sort(source: _Source, *, start: int, size: int, then: tuple[ModelQuery, str, list[Any]] | None) -> list[int]:
    inner = f"""
        WITH matched AS MATERIALIZED (
            SELECT {source.columns()} FROM catalog_model WHERE {source.where}
        ), first AS (SELECT id FROM matched ORDER BY {source.order.sorted_by} LIMIT {size} OFFSET {start})
        SELECT catalog_model.* FROM first JOIN catalog_model USING (id) ORDER BY {source.order.sorted_by}
    """  # noqa: S608
    return _fetch(inner, source.params, then)


def _fetch(inner: str, params: list[Any], then: tuple[ModelQuery, str, list[Any]] | None) -> list[int]:
    sql, all_params = f"SELECT id FROM ({inner}) AS found", params  # noqa: S608
    if then is not None:
        query, rank, rank_params = then
        sql = f"SELECT id FROM (SELECT id, slug, {rank} AS relevance FROM ({inner}) AS found) AS ranked ORDER BY {relevance_order(query)}"  # noqa: E501, S608
        all_params = [*rank_params, *params]
    with connection.cursor() as cursor:
        cursor.execute(sql, all_params)
        return [row[0] for row in cursor.fetchall()]
