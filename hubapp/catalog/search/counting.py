"""How many models a search finds, and how many each facet value would leave.

Up to EXACT matches are read and counted; more are estimated from the sample of the roll-ups, with an interval.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import FullResultSet
from django.db import connection
from django.db.models import QuerySet

from hubapp.catalog.filters import ModelQuery
from hubapp.catalog.models import FacetCount, Model, RollUp, SampledModel
from hubapp.catalog.models.model import is_insider
from hubapp.catalog.search.matching import TextQuery, facet_keys, matches, visible, words_of
from hubapp.catalog.search.orders import order_of
from workers.statistics import exact_binomial_interval

EXACT = 10_000
SMALL = 10_000  # catalogues up to here need no roll-ups: everything is counted
FEW_OF_SAMPLE = 4_000  # sampled matches that facets are counted over
MOST_VALUES = 50  # values of a facet that are kept, the most frequent first
LOOK = 20  # times: what a look into a model costs, in postings of the index
RELEVANCE_WEIGHTS = "{0.1,0.3,0.5,1}"  # of card and papers, tags, meaning, name

Person = User | AnonymousUser | None
Counts = Mapping[str, int | None]  # by facet key; None: some, but nobody knows how many


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """What the counts rest on: the newest roll-up; without one, whether so few models are here that none is needed."""

    rollup: RollUp | None
    is_small: bool

    @property
    def total(self) -> int:
        """About how many models there are."""
        return self.rollup.models_all if self.rollup else SMALL

    @property
    def limit(self) -> int:
        """The largest number of matches that is counted one by one."""
        return SMALL if self.is_small else EXACT


@dataclass(frozen=True, kw_only=True)
class Count:
    """A number of models. low, high: its 95% interval; made_at: when the roll-ups were made that it rests on."""

    value: int
    low: int
    high: int | None
    is_exact: bool
    made_at: dt.datetime | None = None

    @property
    def words(self) -> str:
        """The number as pages write it."""
        if self.is_exact:
            return f"{self.value:,}"
        return f"more than {self.low - 1:,}" if self.high is None else f"≈ {rounded(self.value)}"

    @property
    def interval_words(self) -> str:
        """What stands behind an estimate; empty for an exact number."""
        if self.is_exact or self.high is None:
            return ""
        at = f" of {self.made_at:%Y-%m-%d %H:%M} UTC" if self.made_at else ""
        if self.low == self.high:
            return f"counted by the roll-ups{at}"
        return f"95% interval {self.low:,} to {self.high:,}, from the sample{at}"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What is known of the models that a search finds.

    ids     all of them in order where they are few enough, else None
    loose   words that so many models say that it is quicker to look for them in what the other conditions find
    counts  facet keys with their counts, in parts of an estimate where `count` is one
    """

    count: Count
    ids: list[int] | None = None
    counts: Counts = field(default_factory=dict)
    loose: frozenset[str] = frozenset()


def catalogue() -> Catalogue:
    """The state of the roll-ups."""
    rollup = RollUp.objects.order_by("-pk").first()
    if rollup is not None:
        return Catalogue(rollup=rollup, is_small=False)
    return Catalogue(rollup=None, is_small=Model.objects.all()[: SMALL + 1].count() <= SMALL)


def find(query: ModelQuery, user: Person, state: Catalogue, *, without: str = "", is_count_only: bool = False) -> Found:
    """Count what a search finds.

    `without` names a facet whose choices are left out and whose values alone are counted; `is_count_only`: no values.
    """
    if without:
        query = query.without(without)
    if state.rollup is not None and not query.is_archived:
        if not query.is_narrowed:
            return _of_all(state.rollup, user, facet=without)
        estimated = _of_sample(query, user, state.rollup, facet=without)
        loose = loose_words(query)
        if estimated.count.low > EXACT:
            return replace(estimated, loose=loose)
        exact = _of_matches(query, user, limit=EXACT, facet=without, is_count_only=is_count_only, loose=loose)
        return exact or replace(_at_least(estimated, EXACT + 1), loose=loose)
    exact = _of_matches(query, user, limit=state.limit, facet=without, is_count_only=is_count_only)
    return exact or Found(count=Count(value=state.limit + 1, low=state.limit + 1, high=None, is_exact=False))


def condition(rows: QuerySet[Any]) -> tuple[str, list[Any]]:
    """The WHERE of a queryset over one table, in SQL with its parameters."""
    compiler = rows.query.get_compiler(connection=connection)
    try:
        sql, params = compiler.compile(rows.query.where)
    except FullResultSet:
        return "TRUE", []
    return sql or "TRUE", list(params)


def loose_words(query: ModelQuery) -> frozenset[str]:
    """Words that far more models say than another condition leaves, judged by the sample.

    Reading a word's beginnings from the index costs a little for each model that says it; looking for it in a model
    that was found costs LOOK times as much.
    """
    words = words_of(query.q)
    parts = [TextQuery((word,)) for word in words]
    if query.choices:
        parts.append(TextQuery((), facet_keys(query)))
    if not words or len(parts) < 2:
        return frozenset()
    conditions = [condition(SampledModel.objects.filter(search__matches=part)) for part in parts]
    selects = [f"(SELECT count(*) FROM catalog_sampledmodel WHERE {sql})" for sql, _ in conditions]  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(selects)}", [value for _, params in conditions for value in params])
        sizes = cursor.fetchone()
    fewest = sizes.index(min(sizes))
    return frozenset(
        word for place, word in enumerate(words) if place != fewest and sizes[place] > LOOK * (sizes[fewest] + 1)
    )


def matching_models(query: ModelQuery, user: Person, *, loose: frozenset[str] = frozenset()) -> QuerySet[Model]:
    """The models that a search finds and the person may know of, in no order."""
    found = Model.objects.filter(matches(query, loose=loose), visible(user), archived_at__isnull=not query.is_archived)
    return found.order_by()


def relevance(query: ModelQuery) -> tuple[str, list[Any]]:
    """Relevance × popularity in SQL: where the words stand, times the logarithm of downloads; the name itself first."""
    words = words_of(query.q)
    if not words:
        return "0", []
    text, params = TextQuery(words).as_sql(None, connection)
    sql = (
        f"ts_rank('{RELEVANCE_WEIGHTS}', search, {text})"
        " * (1 + ln(1 + coalesce(downloads, 0) + 10 * coalesce(likes, 0)))"
        " * CASE WHEN %s IN (lower(slug), lower(title), split_part(lower(slug), '/', 2)) THEN 1000 ELSE 1 END"
    )
    return sql, [*params, query.q.lower()]


def relevance_order(query: ModelQuery) -> str:
    """The order by relevance in SQL, over rows with `relevance` and `slug`."""
    return "relevance ASC, slug DESC" if query.order.startswith("-") else "relevance DESC, slug"


def _of_matches(
    query: ModelQuery,
    user: Person,
    *,
    limit: int,
    facet: str,
    is_count_only: bool,
    loose: frozenset[str] = frozenset(),
) -> Found | None:
    """Read the matches once: their number, their order and their facet keys; None where they are more than `limit`."""
    where, params = condition(matching_models(query, user, loose=loose))
    if is_count_only:
        return _number_of_matches(where, params, limit=limit)
    order = order_of(query.order)
    is_relevance = query.order.endswith("relevance") and not facet
    rank, rank_params = relevance(query) if is_relevance else ("0", [])
    sorted_by = relevance_order(query) if is_relevance else order.sorted_by
    ids = "NULL" if facet else f"(SELECT array_agg(id ORDER BY {sorted_by}) FROM matched)"  # noqa: S608
    columns = ", ".join(dict.fromkeys(["id", "slug", "facets", *order.columns]))
    # MATERIALIZED and LIMIT without ORDER BY: no plan can walk another index in the hope of an early end.
    sql = f"""
        WITH matched AS MATERIALIZED (
            SELECT {columns}, {rank} AS relevance FROM catalog_model WHERE {where} LIMIT {limit + 1}
        ), keys AS (
            SELECT key, count(*) AS models FROM matched, unnest(facets) AS key WHERE starts_with(key, %s) GROUP BY key
        )
        SELECT (SELECT count(*) FROM matched), {ids}, {TOP_KEYS}
    """  # noqa: S608 (made of constants and of Django's own SQL)
    with connection.cursor() as cursor:
        cursor.execute(sql, [*rank_params, *params, f"{facet}=" if facet else ""])
        count, found, keys, numbers = cursor.fetchone()
    if count > limit:
        return None
    return Found(
        count=Count(value=count, low=count, high=count, is_exact=True),
        ids=found or [],
        counts=dict(zip(keys or (), numbers or (), strict=True)),
    )


def _number_of_matches(where: str, params: list[Any], *, limit: int) -> Found | None:
    sql = f"SELECT count(*) FROM (SELECT FROM catalog_model WHERE {where} LIMIT {limit + 1}) AS matched"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        (count,) = cursor.fetchone()
    exact = Count(value=count, low=count, high=count, is_exact=True)
    return Found(count=exact) if count <= limit else None


# Of a relation `keys` (key, models): the most frequent values of each facet, as two arrays.
TOP_KEYS = f"""top.keys, top.numbers FROM (
    SELECT array_agg(key ORDER BY models DESC, key) AS keys, array_agg(models ORDER BY models DESC, key) AS numbers
    FROM (
        SELECT key, models, row_number() OVER (PARTITION BY split_part(key, '=', 1) ORDER BY models DESC, key) AS place
        FROM keys
    ) AS placed WHERE place <= {MOST_VALUES}
) AS top"""  # noqa: S608


def _of_sample(query: ModelQuery, user: Person, rollup: RollUp, *, facet: str) -> Found:
    where, params = condition(SampledModel.objects.filter(matches(query), visible(user)))
    sql = f"""
        WITH matched AS MATERIALIZED (SELECT facets FROM catalog_sampledmodel WHERE {where}),
        keys AS (
            SELECT key, count(*) AS models
            FROM (SELECT facets FROM matched LIMIT {FEW_OF_SAMPLE}) AS part, unnest(facets) AS key
            WHERE starts_with(key, %s) GROUP BY key
        )
        SELECT (SELECT count(*) FROM matched), {TOP_KEYS}
    """  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, [*params, f"{facet}=" if facet else ""])
        hits, keys, numbers = cursor.fetchone()
    size = max(1, round(rollup.models_all * rollup.sample_share))
    interval = exact_binomial_interval(min(hits, size), size)
    count = Count(
        value=round(hits / rollup.sample_share),
        low=round(interval.low * rollup.models_all),
        high=round(interval.high * rollup.models_all),
        is_exact=False,
        made_at=rollup.made_at,
    )
    scale = max(1, hits / FEW_OF_SAMPLE) / rollup.sample_share
    return Found(
        count=count,
        counts={key: round(number * scale) for key, number in zip(keys or (), numbers or (), strict=True)},
    )


def _of_all(rollup: RollUp, user: Person, *, facet: str) -> Found:
    """Everything: the roll-ups know it."""
    column = "models_all" if is_insider(user) else "models_open"
    total = getattr(rollup, column)
    sql = f"""
        WITH keys AS (
            SELECT key, {column} AS models FROM catalog_facetcount WHERE {column} > 0 AND starts_with(key, %s)
        ) SELECT {TOP_KEYS}
    """  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, [f"{facet}=" if facet else ""])
        keys, numbers = cursor.fetchone()
    return Found(
        count=Count(value=total, low=total, high=total, is_exact=False, made_at=rollup.made_at),
        counts=dict(zip(keys or (), numbers or (), strict=True)),
    )


def _at_least(found: Found, least: int) -> Found:
    """The estimate, corrected by what counting has shown."""
    count = found.count
    value, high = max(least, count.value), max(least, count.high or least)
    return Found(
        count=Count(value=value, low=max(least, count.low), high=high, is_exact=False, made_at=count.made_at),
        counts=found.counts,
    )


def known_values(facet: str, like: str, user: Person) -> list[str]:
    """Values of a facet that hold `like`, the most frequent first; from the roll-ups."""
    column = "models_all" if is_insider(user) else "models_open"
    rows = FacetCount.objects.filter(key__startswith=f"{facet}=", **{f"{column}__gt": 0}).order_by(f"-{column}", "key")
    keys = (
        rows.filter(key__icontains=like).values_list("key", flat=True) if like else rows.values_list("key", flat=True)
    )
    values = (key.removeprefix(f"{facet}=") for key in keys[: 3 * MOST_VALUES])
    return [value for value in values if like.lower() in value.lower()][:MOST_VALUES]


def rounded(value: int) -> str:
    """An estimate in three digits that count."""
    step = 10 ** max(0, len(str(value)) - 3)
    return f"{round(value / step) * step:,}"
