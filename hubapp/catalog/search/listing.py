"""One page of the model list: which models, how many there are, and what the facets would leave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from django.db import OperationalError, connection, transaction
from django.db.models import QuerySet

from hubapp.catalog.filters import FACETS, ModelQuery
from hubapp.catalog.models import Model
from hubapp.catalog.search.counting import (
    Catalogue,
    Count,
    Found,
    catalogue,
    count_of,
    find,
    known_values,
)
from hubapp.catalog.search.facets import Facet, facet_of
from hubapp.catalog.search.matching import words_of
from hubapp.catalog.search.near import near_words, unknown_words
from hubapp.catalog.search.orders import order_of
from hubapp.catalog.search.reading import Person, matching_models
from hubapp.catalog.search.rows import page_ids
from workers.kit import UserError

DEEPEST = 10_000  # rows that pages reach
TIMEOUT_MS = 5_000
MOST_TRIES = 3  # near words that are tried for one that nothing says
# What no page shows and every row would carry.
HEAVY = ("facets", "search", "card_words", "tags", "dataset_names")
# Every plan has an index to go by; an estimate that is far off must not lead to reading the whole table. The memory
# lets bitmaps of the beginnings of words name rows instead of pages, all rows of which would have to be looked at.
GUARDS = (
    "SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true),"
    " set_config('work_mem', '64MB', true), set_config('statement_timeout', %s, true)"
)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What the model list shows.

    query     the search that was answered, its page one that exists
    asked     the search that was asked for; its `q` differs where near words stand for unknown ones
    replaced  (unknown word, near word) pairs
    models    of this page, each with source and current revision
    drops     where nothing matches: searches with one thing less that find something
    pages     how many can be reached
    is_cut    there are more models than pages reach
    """

    query: ModelQuery
    asked: ModelQuery
    replaced: tuple[tuple[str, str], ...]
    count: Count
    models: list[Model]
    facets: list[Facet]
    pages: int
    is_cut: bool
    drops: list[tuple[str, ModelQuery, Count]]


def model_list(query: ModelQuery | Mapping[str, Any] | str | None = None, *, user: Person = None) -> QuerySet[Model]:
    """Models that a search finds and this person may know of, in its order, each with its current revision.

    `query` is a ModelQuery, a QueryDict or mapping of the list page's parameters, or their text
    ("q=net&modality=image"); None finds every model that is not archived.
    """
    parsed = query if isinstance(query, ModelQuery) else ModelQuery.parse(query)
    return (
        matching_models(parsed, user)
        .select_related("current_revision", "source")
        .order_by(*order_of(parsed.order).ordering)
    )


def model_listing(query: ModelQuery, user: Person) -> Listing:
    """The page of a search. Raises UserError where it is too broad to be answered in time."""
    state = catalogue()
    with guarded(state):
        asked = query
        replaced: tuple[tuple[str, str], ...] = ()
        found = find(query, user, state, has_others=True)
        if query.q and not query.is_exact and found.count.is_exact and found.count.value == 0:
            query, found, replaced = _forgiving(query, found, user, state)
        pages = max(1, -(-min(found.count.value, DEEPEST) // query.per_page))
        query = replace(query, page=min(query.page, pages))
        start = (query.page - 1) * query.per_page
        if found.ids is None:
            ids = page_ids(query, user, found.count, state=state, start=start, size=query.per_page)
        else:
            ids = found.ids[start : start + query.per_page]
        return Listing(
            query=query,
            asked=asked,
            replaced=replaced,
            count=found.count,
            models=models_of(ids),
            facets=_facets(query, user, found=found),
            pages=pages,
            is_cut=found.count.value > DEEPEST,
            drops=[] if found.count.value else _with_less(query, user, state, found.others),
        )


def first_ids(query: ModelQuery, user: Person, size: int) -> tuple[list[int], Count]:
    """The keys of the first models of a search, up to `size`, and how many it finds. Raises UserError like a page."""
    state = catalogue()
    with guarded(state):
        found = find(query, user, state)
        if found.ids is not None:
            return found.ids[:size], found.count
        return page_ids(query, user, found.count, state=state, start=0, size=size), found.count


def models_of(ids: list[int]) -> list[Model]:
    """The models of these keys, in their order, without the columns that no list shows."""
    rows = Model.objects.select_related("current_revision", "source").defer(*HEAVY).in_bulk(ids)
    return [rows[key] for key in ids if key in rows]


def model_facets(query: ModelQuery, user: Person = None) -> list[Facet]:
    """Facets of a search: each counts under the text and the *other* facets, so that a second value can be added."""
    return _facets(query, user, found=find(query, user, catalogue(), has_others=True))


def _facets(query: ModelQuery, user: Person, *, found: Found) -> list[Facet]:
    facets = []
    for name in FACETS:
        own = found.others.get(name, found)
        like = known_values(query.of, query.like, user) if query.of == name and query.like else None
        facets.append(
            facet_of(name, query, counts=own.counts, total=found.count, is_exact=own.count.is_exact, known=like)
        )
    return facets


@contextmanager
def guarded(state: Catalogue) -> Iterator[None]:
    """Run the queries of a page in one transaction; in large catalogues with plans and times kept within bounds."""
    try:
        with transaction.atomic():
            if not state.is_small:
                with connection.cursor() as cursor:
                    cursor.execute(GUARDS, [str(TIMEOUT_MS)])
            yield
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") != "57014":  # query_canceled
            raise
        raise UserError(
            "This search takes too long: it finds too many models for its order. Add a word or choose a value.",
            field="q",
        ) from error


def _with_less(
    query: ModelQuery, user: Person, state: Catalogue, others: Mapping[str, Found]
) -> list[tuple[str, ModelQuery, Count]]:
    """The searches without the words, without one facet, or without the ranges, that find something."""
    if len(query.chosen_facets) + bool(query.q) + bool(query.ranges) < 2:
        return []
    parts = [(name, query.without(name), own.count) for name, own in others.items()]
    for name, is_given, less in (
        ("q", query.q, query.changed(q="")),
        ("ranges", query.ranges, query.changed(**dict.fromkeys(query.ranges))),
    ):
        if is_given:
            parts.append((name, less, count_of(less, user, state)))
    return [one for one in parts if one[2].value]


def _forgiving(
    query: ModelQuery, found: Found, user: Person, state: Catalogue
) -> tuple[ModelQuery, Found, tuple[tuple[str, str], ...]]:
    """The same search with near words in place of those that no model says, if that finds anything."""
    words = words_of(query.q)
    unknown = unknown_words(words, user)
    near = {word: near_words(word)[:MOST_TRIES] for word in unknown}
    if not unknown or not all(near.values()):
        return query, found, ()
    tries = MOST_TRIES if len(unknown) == 1 else 1
    for attempt in range(tries):
        chosen = {word: candidates[attempt] for word, candidates in near.items() if attempt < len(candidates)}
        if len(chosen) < len(unknown):
            break
        other = replace(query, q=" ".join(chosen.get(word, word) for word in words))
        again = find(other, user, state, has_others=True)
        if again.count.value:
            return other, again, tuple(chosen.items())
    return query, found, ()
