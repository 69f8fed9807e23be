"""The state of the model list, as its URL holds it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict

FACETS = {
    "modality": "Modality",
    "task": "Task",
    "library": "Library",
    "licence": "Licence",
    "family": "Licence family",
    "architecture": "Architecture",
    "size": "Parameters",
    "format": "Format",
    "relation": "Made from a base by",
    "language": "Language",
    "documentation": "Documentation",
    "safety": "Safety",
    "analysed": "Analysed",
}
SIZES = ("0-10M", "10M-100M", "100M-1B", "1B-3B", "3B-10B", "10B-30B", "30B-100B", "100B-")
FIXED = {"size": ("", *SIZES), "analysed": ("yes", "no")}  # facets whose values are known beforehand
# Sorts by name; with "-" in front the other way round. "newest" is the one whose plain form descends.
SORTS = {
    "relevance": "relevance",
    "downloads": "downloads",
    "likes": "likes",
    "trending": "trending",
    "name": "name",
    "parameters": "parameters",
    "size": "size",
    "created": "creation",
    "updated": "update",
    "added": "arrival here",
    "newest": "arrival here",
    "documentation": "documentation",
}
DEFAULT_SORT = "-downloads"
COLUMNS = {
    "author": "Author",
    "task": "Task",
    "library": "Library",
    "architecture": "Architecture",
    "parameters": "Parameters",
    "size": "Size",
    "licence": "Licence",
    "family": "Licence family",
    "language": "Languages",
    "format": "Formats",
    "relation": "Relation",
    "documentation": "Documentation",
    "safety": "Safety",
    "analysed": "Analysed",
    "downloads": "Downloads",
    "likes": "Likes",
    "trending": "Trending",
    "created": "Created",
    "updated": "Updated",
    "added": "Added",
}
DEFAULT_COLUMNS = ("task", "parameters", "size", "licence", "downloads", "likes", "updated", "added")
DATES = ("created_from", "created_to", "updated_from", "updated_to")
NUMBERS = ("parameters_from", "parameters_to")
PAGE_SIZES = (25, 50, 100)
DEFAULT_PAGE_SIZE = 50
MOST_VALUES = 20  # of one facet
LONGEST_VALUE = 200
LARGEST_NUMBER = 2**63 - 1
UNSAYABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12}


@dataclass(frozen=True, kw_only=True)
class ModelQuery:
    """A search of the model list. Parsing leaves aside what it does not know, so that no address is an error.

    q              words that must all occur: beginnings of words in names and tags, stems in meaning, card and papers
    choices        (facet, value) pairs; several values of one facet mean any of them; "" stands for not stated
    created_from … parameters_to  ends of ranges, both included; None: open
    sort           a key of SORTS, with "-" for the reverse; "": by relevance when words are given, else by downloads
    columns        chosen columns; empty: the usual ones
    is_archived    look among the archived models instead
    is_exact       do not go on with near words when nothing matches
    of, like       the facet of which only values with `like` in them are offered
    page, per_page from 1; one of PAGE_SIZES
    """

    q: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    created_from: dt.date | None = None
    created_to: dt.date | None = None
    updated_from: dt.date | None = None
    updated_to: dt.date | None = None
    parameters_from: int | None = None
    parameters_to: int | None = None
    sort: str = ""
    columns: tuple[str, ...] = ()
    is_archived: bool = False
    is_exact: bool = False
    of: str = ""
    like: str = ""
    page: int = 1
    per_page: int = DEFAULT_PAGE_SIZE

    @classmethod
    def parse(cls, query: Mapping[str, Any] | str | None) -> ModelQuery:
        """Read a query string, a QueryDict or a plain mapping."""
        if query is None:
            return cls()
        parameters = QueryDict(query.lstrip("?")) if isinstance(query, str) else query

        def many(name: str) -> list[str]:
            if isinstance(parameters, QueryDict):
                return [str(value) for value in parameters.getlist(name)]
            value = parameters.get(name, ())
            return [value] if isinstance(value, str) else [str(one) for one in value]

        def one(name: str) -> str:
            return (many(name) or ("",))[-1].strip()

        q = _text(one("q"))
        sort, of, page = one("sort"), one("of"), one("page")
        is_sort = sort.removeprefix("-") in SORTS and not (sort.endswith("relevance") and not q)
        columns = [name for text in many("columns") for name in text.split(",")]
        per_page = _number(one("per_page"))
        return cls(
            q=q,
            choices=tuple((facet, value) for facet in FACETS for value in _values(facet, many(facet))),
            **{name: _date(one(name)) for name in DATES},  # type: ignore[arg-type]
            **{name: _number(one(name)) for name in NUMBERS},  # type: ignore[arg-type]
            sort=sort if is_sort and sort != ("relevance" if q else DEFAULT_SORT) else "",
            columns=tuple(name for name in COLUMNS if name in columns),
            is_archived=one("archived") in {"1", "true", "on"},
            is_exact=one("exact") in {"1", "true", "on"},
            of=of if of in FACETS else "",
            like=_text(one("like"))[:60] if of in FACETS else "",
            page=max(1, int(page)) if page.isascii() and page.isdecimal() and len(page) < 7 else 1,
            per_page=per_page if per_page in PAGE_SIZES else DEFAULT_PAGE_SIZE,
        )

    def chosen(self, facet: str) -> tuple[str, ...]:
        """The chosen values of a facet."""
        return tuple(value for name, value in self.choices if name == facet)

    @property
    def chosen_facets(self) -> tuple[str, ...]:
        """The facets of which something is chosen."""
        return tuple(dict.fromkeys(name for name, _ in self.choices))

    @property
    def order(self) -> str:
        """The sort that counts: `sort`, else relevance for words and popularity without."""
        return self.sort or ("relevance" if self.q else DEFAULT_SORT)

    @property
    def ranges(self) -> dict[str, dt.date | int]:
        """The ends of ranges that are given."""
        values = {name: getattr(self, name) for name in (*DATES, *NUMBERS)}
        return {name: value for name, value in values.items() if value is not None}

    def toggled(self, facet: str, value: str) -> ModelQuery:
        """The same search with one more or one less value of a facet, on its first page."""
        pair = (facet, value)
        kept = [one for one in self.choices if one != pair]
        changed = kept if pair in self.choices else [*kept, pair]
        order = list(FACETS)
        return self.changed(choices=tuple(sorted(changed, key=lambda one: order.index(one[0]))))

    def without(self, facet: str) -> ModelQuery:
        """The same search without the choices of a facet, on its first page."""
        return self.changed(choices=tuple(one for one in self.choices if one[0] != facet))

    def changed(self, **changes: Any) -> ModelQuery:
        """The same search with changes, on its first page unless a page is named."""
        return replace(self, **{"page": 1, **changes})

    def unnarrowed(self) -> ModelQuery:
        """Everything in the same order and columns."""
        changes = dict.fromkeys((*DATES, *NUMBERS))
        sort = "" if self.sort.endswith("relevance") else self.sort
        return self.changed(q="", choices=(), is_exact=False, of="", like="", sort=sort, **changes)

    @property
    def is_narrowed(self) -> bool:
        """Whether anything is searched for or chosen."""
        return bool(self.q or self.choices or self.ranges)

    def urlencode(self) -> str:
        """The query string, without what has its default."""
        pairs: list[tuple[str, str]] = [("q", self.q)] if self.q else []
        pairs += self.choices
        pairs += [(name, str(value)) for name, value in self.ranges.items()]
        if self.sort:
            pairs.append(("sort", self.sort))
        if self.columns:
            pairs.append(("columns", ",".join(self.columns)))
        pairs += [(name, "1") for name, is_on in (("archived", self.is_archived), ("exact", self.is_exact)) if is_on]
        pairs += [(name, value) for name, value in (("of", self.of), ("like", self.like)) if value]
        if self.per_page != DEFAULT_PAGE_SIZE:
            pairs.append(("per_page", str(self.per_page)))
        if self.page > 1:
            pairs.append(("page", str(self.page)))
        return urlencode(pairs)


def _text(text: str) -> str:
    """The text on one line, without control characters and what UTF-8 cannot hold."""
    return " ".join(UNSAYABLE.sub(" ", text).split())[:200]


def _values(facet: str, values: list[str]) -> list[str]:
    clean = [value for value in values if len(value) <= LONGEST_VALUE and not UNSAYABLE.search(value)]
    known = [value for value in clean if facet not in FIXED or value in FIXED[facet]]
    return list(dict.fromkeys(known))[:MOST_VALUES]


def _date(text: str) -> dt.date | None:
    try:
        day = dt.date.fromisoformat(text)
    except ValueError:
        return None
    return day if 1970 <= day.year < 2200 else None


def _number(text: str) -> int | None:
    """A count such as "7000000", "7M" or "1.5B"; None for anything else."""
    found = re.fullmatch(r"(\d{1,19}(?:\.\d{1,6})?)\s*([kmbgt]?)", text.lower(), re.ASCII)
    number = int(Decimal(found[1]) * UNITS[found[2]]) if found else None
    return number if number is not None and number <= LARGEST_NUMBER else None
