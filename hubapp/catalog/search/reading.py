"""Reading the matches of a search one by one: those of all choices and those without one facet, in one statement.

What words cost is that the index gathers every model that says one, before any other condition counts. So the words
are read once for all counts, and a word that is dear to gather is looked for in what the other conditions find.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import FullResultSet
from django.db import connection
from django.db.models import QuerySet

from hubapp.catalog.filters import ModelQuery
from hubapp.catalog.models import Model, SampledModel
from hubapp.catalog.search.matching import TextQuery, facet_keys, matches, visible, words_of
from hubapp.catalog.search.orders import order_of

MOST_VALUES = 50  # values of a facet that are kept, the most frequent first
LOOK = 8  # times: what a look into a model costs, in models that a word gathers from the index
THINNED = 4  # one of so many of the sample is enough to plan by
RELEVANCE_WEIGHTS = "{0.1,0.3,0.5,1}"  # of card and papers, tags, meaning, name
# Of a relation `keys` (part, key, models): the most frequent values of each part and facet, as three arrays.
TOP_KEYS = f"""top.parts, top.keys, top.numbers FROM (
    SELECT array_agg(part ORDER BY part, models DESC, key) AS parts, array_agg(key ORDER BY part, models DESC, key) AS keys,
        array_agg(models ORDER BY part, models DESC, key) AS numbers
    FROM (
        SELECT part, key, models,
            row_number() OVER (PARTITION BY part, split_part(key, '=', 1) ORDER BY models DESC, key) AS place
        FROM keys
    ) AS placed WHERE place <= {MOST_VALUES}
) AS top"""  # noqa: E501, S608

Person = User | AnonymousUser | None
Part = tuple[str, list[Any]]  # of SQL, with its parameters


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How to read the words of a search.

    loose  words that are quicker looked for in what the other conditions find than gathered from the index
    cost   about how many models a word would have that is as dear to gather
    """

    loose: frozenset[str] = frozenset()
    cost: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What one reading found, by facet that is left out; "" stands for the whole search.

    ids      the models of the whole search in its order
    numbers  how many models there are
    counts   facet keys with their counts; without a facet its keys alone
    """

    ids: list[int]
    numbers: Mapping[str, int]
    counts: Mapping[str, Mapping[str, int]]


def condition(rows: QuerySet[Any]) -> Part:
    """The WHERE of a queryset over one table, in SQL with its parameters."""
    compiler = rows.query.get_compiler(connection=connection)
    try:
        sql, params = compiler.compile(rows.query.where)
    except FullResultSet:
        return "TRUE", []
    return sql or "TRUE", list(params)


def matching_models(
    query: ModelQuery, user: Person, *, loose: frozenset[str] = frozenset(), spared: Sequence[str] = ()
) -> QuerySet[Model]:
    """The models that a search finds and the person may know of, in no order; `loose`, `spared`: see `matches`."""
    found = Model.objects.filter(
        matches(query, loose=loose, spared=spared), visible(user), archived_at__isnull=not query.is_archived
    )
    return found.order_by()


def relevance(query: ModelQuery) -> Part:
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


def plan_words(query: ModelQuery, *, share: float, spared: Sequence[str] = (), within: Part = ("", [])) -> Plan:
    """How to read the words of a search, by their numbers in the sample, which is `share` of the models.

    Weighs gathering all, gathering one and gathering none. `within` is one more condition that an index answers.
    """
    words = words_of(query.q)
    keys = facet_keys(query, spared=spared)
    if not words:
        return Plan()
    also: list[str] = []
    more: list[Any] = []
    for sql, params in (condition(_sampled(keys=keys)), within):
        if sql not in ("", "TRUE"):
            also.append(sql)
            more += params
    if len(words) == 1 and not keys:
        return Plan()
    other = " AND ".join(also) or "TRUE"
    every, every_params = condition(_sampled(words=words)) if len(words) > 1 else ("TRUE", [])
    selects = []
    values: list[Any] = []
    for word in words:
        alone, alone_params = condition(_sampled(words=(word,)))
        # Of those who say the word: all, those that the other conditions find too, those with all words besides.
        selects.append(
            f"(SELECT array[count(*), count(*) FILTER (WHERE {other}), count(*) FILTER (WHERE {every} AND {other})]"  # noqa: S608
            f" FROM catalog_sampledmodel WHERE model_id %% {THINNED} = 0 AND {alone})"
        )
        values += [*more, *every_params, *more, *alone_params]
    rest_of = f"(SELECT count(*) FROM catalog_sampledmodel WHERE model_id %% {THINNED} = 0 AND {other})"  # noqa: S608
    selects.append(rest_of if also else "NULL")
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(selects)}", [*values, *(more if also else [])])
        *sizes, rest = cursor.fetchone()
    every_word = frozenset(words)
    costs = {frozenset[str](): sum(alone for alone, *_ in sizes) + LOOK * sizes[0][2]}
    if len(words) > 1:
        costs |= {every_word - {word}: size[0] + LOOK * size[1] for word, size in zip(words, sizes, strict=True)}
    if rest is not None:
        costs[every_word] = LOOK * rest
    loose = min(costs, key=lambda one: (costs[one], len(one)))
    return Plan(loose=loose, cost=costs[loose] * THINNED / share)


def _sampled(*, words: tuple[str, ...] = (), keys: str = "") -> QuerySet[SampledModel]:
    found = SampledModel.objects.all()
    return found.filter(search__matches=TextQuery(words, keys)) if words or keys else found


def read_matches(
    query: ModelQuery, user: Person, parts: Sequence[str], *, limit: int, loose: frozenset[str] = frozenset()
) -> Reading | None:
    """Read the matches of the whole search and of it without each of some facets; None where more than `limit`.

    `parts` are "" for the whole, then names of facets. A model is read once, however many parts it belongs to.
    """  # fmt: skip
    spared = parts[1:]
    where, params = condition(matching_models(query, user, loose=loose, spared=spared))
    order = order_of(query.order)
    is_relevance = query.order.endswith("relevance")
    rank, rank_params = relevance(query) if is_relevance else ("0", [])
    sorted_by = relevance_order(query) if is_relevance else order.sorted_by
    members, member_params = _members(query, parts) if spared else (["TRUE"], [])
    if is_relevance and spared:
        whole, whole_params = _members(query, parts[:1])
        rank, rank_params = f"CASE WHEN {whole[0]} THEN {rank} END", [*whole_params, *rank_params]
    columns = ", ".join(dict.fromkeys(["id", "slug", "facets", *order.columns]))
    # unnest() as a column, not as a relation, which would be scanned anew for every model: half the time.
    keys = " UNION ALL ".join(
        f"SELECT {place}, key, count(*) FROM (SELECT unnest(facets) AS key FROM matched WHERE in_{place}) AS one"  # noqa: S608
        " WHERE starts_with(key, %s) GROUP BY key"
        for place in range(len(parts))
    )
    counts = ", ".join(f"count(*) FILTER (WHERE in_{place})" for place in range(len(parts)))
    # MATERIALIZED and LIMIT without ORDER BY: no plan can walk another index in the hope of an early end.
    sql = f"""
        WITH matched AS MATERIALIZED (
            SELECT {columns}, {rank} AS relevance, {", ".join(f"{one} AS in_{place}" for place, one in enumerate(members))}
            FROM catalog_model WHERE {where} LIMIT {limit + 1}
        ), keys (part, key, models) AS ({keys})
        SELECT (SELECT array[count(*), {counts}] FROM matched),
            (SELECT array_agg(id ORDER BY {sorted_by}) FROM matched WHERE in_0), {TOP_KEYS}
    """  # noqa: E501, S608 (made of constants and of Django's own SQL)
    prefixes = [f"{part}=" if part else "" for part in parts]
    with connection.cursor() as cursor:
        cursor.execute(sql, [*rank_params, *member_params, *params, *prefixes])
        (total, *numbers), ids, *top = cursor.fetchone()
    if total > limit:
        return None
    found: dict[str, dict[str, int]] = {part: {} for part in parts}
    for place, key, number in zip(*(one or () for one in top), strict=True):
        found[parts[place]][key] = number
    return Reading(ids=ids or [], numbers=dict(zip(parts, numbers, strict=True)), counts=found)


def number_of_matches(query: ModelQuery, user: Person, *, limit: int, loose: frozenset[str]) -> int | None:
    """How many models a search finds; None where more than `limit`."""
    where, params = condition(matching_models(query, user, loose=loose))
    sql = f"SELECT count(*) FROM (SELECT FROM catalog_model WHERE {where} LIMIT {limit + 1}) AS matched"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        (count,) = cursor.fetchone()
    return int(count) if count <= limit else None


def _members(query: ModelQuery, parts: Sequence[str]) -> tuple[list[str], list[Any]]:
    """For each part whether a model belongs to it, in SQL: it has one of the choices of every facet but the part's."""
    sql, params = [], []
    for part in parts:
        facets = [name for name in query.chosen_facets if name != part]
        sql.append(" AND ".join("facets && %s::text[]" for _ in facets) or "TRUE")
        params += [[f"{name}={value}" for value in query.chosen(name)] for name in facets]
    return sql, params
