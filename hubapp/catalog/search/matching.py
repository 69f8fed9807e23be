"""What a search finds, as one condition that models and their sample share.

Words and facet keys are lexemes of one column, so one GIN index answers both. A word is the beginning of a lexeme, or
its English stem; words shorter than three letters, which begin too much, have to be whole. Facet keys begin with "=".
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.contrib.postgres.search import SearchQueryField, SearchVectorField
from django.db.models import Expression, Lookup, Q

from hubapp.catalog.filters import ModelQuery
from hubapp.catalog.models.model import is_insider

MOST_WORDS = 12
SHORTEST_BEGINNING = 3
# Left out of searches that say something else too; the English dictionary drops them from cards and meanings.
FILLERS = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "by",
        "for",
        "from",
        "in",
        "is",
        "it",
        "of",
        "on",
        "or",
        "that",
        "the",
        "this",
        "to",
        "with",
    ]
)
NOTHING = "'='"  # a lexeme that no model has


@SearchVectorField.register_lookup
class Matches(Lookup):
    """`search__matches=TextQuery(…)`: the column holds what the text-search query asks for."""

    lookup_name = "matches"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        """The operator @@ between column and query."""
        left, left_params = self.process_lhs(compiler, connection)
        right, right_params = self.process_rhs(compiler, connection)
        return f"{left} @@ {right}", (*left_params, *right_params)


@SearchVectorField.register_lookup
class Says(Matches):
    """`search__says=TextQuery(…)`: the same as a call, which no index answers: for what nearly every model says."""

    lookup_name = "says"

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        """The function behind the operator @@."""
        left, left_params = self.process_lhs(compiler, connection)
        right, right_params = self.process_rhs(compiler, connection)
        return f"ts_match_vq({left}, {right})", (*left_params, *right_params)


class TextQuery(Expression):
    """A tsquery of words, each of which must occur, and of facet keys; constant, so that PostgreSQL plans with it."""

    output_field = SearchQueryField()

    def __init__(self, words: tuple[str, ...] = (), keys: str = "") -> None:
        super().__init__()
        self.words = words
        self.keys = keys

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[str, ...]]:
        """Casts and calls that PostgreSQL folds into one constant."""
        parts, params = [], []
        for word in self.words:
            quoted = quoted_lexeme(word)
            is_beginning = len(word) >= SHORTEST_BEGINNING or not word.isascii()
            parts.append("(to_tsquery('pg_catalog.simple', %s) || to_tsquery('pg_catalog.english', %s))")
            params += [f"{quoted}:*" if is_beginning else quoted, quoted]
        if self.keys:
            parts.append("%s::tsquery")
            params.append(self.keys)
        return "(" + " && ".join(parts) + ")", tuple(params)


def words_of(text: str) -> tuple[str, ...]:
    """The words of a search box, split where the database splits names: "MobileNetV2-resnet18" gives two."""
    words = list(dict.fromkeys(re.findall(r"[^\W_]+", text.lower())))
    telling = [word for word in words if word not in FILLERS]
    return tuple((telling or words)[:MOST_WORDS])


def quoted_lexeme(text: str) -> str:
    """A lexeme as a tsquery writes it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def facet_keys(query: ModelQuery, *, spared: Collection[str] = ()) -> str:
    """The chosen facet values as a tsquery; several of one facet mean any of them.

    `spared` names facets of which any one may be missing: the models that fulfil all choices but perhaps those of one
    of these. Empty where every model does.
    """
    parts = {
        facet: "(" + " | ".join(quoted_lexeme(f"={facet}={value}") for value in query.chosen(facet)) + ")"
        for facet in query.chosen_facets
    }
    if not spared:
        return " & ".join(parts.values())
    if len(parts) == 1:
        return ""
    ways = [" & ".join(part for name, part in parts.items() if name != spare) for spare in spared]
    return " | ".join(f"({way})" for way in ways)


def matches(query: ModelQuery, *, loose: frozenset[str] = frozenset(), spared: Collection[str] = ()) -> Q:
    """The condition of a search, but for who looks and whether a model is archived.

    `loose` names words that are looked for in what the other conditions find, instead of in the index; `spared` facets
    of which any one may be missing.
    """
    words, keys = words_of(query.q), facet_keys(query, spared=spared)
    if query.q and not words:
        keys = NOTHING  # signs only
    sought = tuple(word for word in words if word not in loose)
    found = Q(search__matches=TextQuery(sought, keys)) if sought or keys else Q()
    if len(sought) < len(words):
        found &= Q(search__says=TextQuery(tuple(word for word in words if word in loose)))
    if query.parameters_from is not None:
        found &= Q(parameters__gte=query.parameters_from)
    if query.parameters_to is not None:
        found &= Q(parameters__lte=query.parameters_to)
    for name, start, end in (
        ("published_at", query.created_from, query.created_to),
        ("updated_at", query.updated_from, query.updated_to),
    ):
        if start is not None:
            found &= Q(**{f"{name}__gte": _midnight(start)})
        if end is not None:
            found &= Q(**{f"{name}__lt": _midnight(end + dt.timedelta(days=1))})
    return found


def visible(user: User | AnonymousUser | None) -> Q:
    """The condition that this person may know of a model."""
    return Q() if is_insider(user) else Q(is_restricted=False)


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC)
