"""The state of the model list, as its URL holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict

FACETS = {"modality": "Modality", "task": "Task", "licence": "Licence"}
SORTS = {"name": "Name", "parameters": "Parameters", "size": "Size", "newest": "Added"}
DEFAULT_SORT = "name"


@dataclass(frozen=True, kw_only=True)
class ModelQuery:
    """A search of the model list.

    q            words that must all occur in title, slug, author, task, architecture or meaning
    modality, task, licence  chosen values; several of one facet mean any of them; "" stands for not stated
    sort         a key of SORTS, with "-" for the reverse; an unknown one falls back to the name
    is_archived  look among the archived models instead
    page         from 1
    """

    q: str = ""
    modality: tuple[str, ...] = ()
    task: tuple[str, ...] = ()
    licence: tuple[str, ...] = ()
    sort: str = DEFAULT_SORT
    is_archived: bool = False
    page: int = 1

    @classmethod
    def parse(cls, query: Mapping[str, Any] | str | None) -> ModelQuery:
        """Read a query string, a QueryDict or a plain mapping; what it does not know it leaves aside."""
        if query is None:
            return cls()
        parameters = QueryDict(query.lstrip("?")) if isinstance(query, str) else query

        def many(name: str) -> tuple[str, ...]:
            if isinstance(parameters, QueryDict):
                return tuple(dict.fromkeys(parameters.getlist(name)))
            value = parameters.get(name, ())
            return (value,) if isinstance(value, str) else tuple(value)

        def one(name: str) -> str:
            return (many(name) or ("",))[-1]

        sort, page = one("sort"), one("page")
        return cls(
            q=" ".join(one("q").replace("\x00", "").split())[:200],
            modality=many("modality"),
            task=many("task"),
            licence=many("licence"),
            sort=sort if sort.removeprefix("-") in SORTS else DEFAULT_SORT,
            is_archived=one("archived") in {"1", "true", "on"},
            page=max(1, int(page)) if page.isdecimal() and len(page) < 7 else 1,
        )

    def chosen(self, facet: str) -> tuple[str, ...]:
        """The chosen values of a facet."""
        values: tuple[str, ...] = getattr(self, facet)
        return values

    def toggled(self, facet: str, value: str) -> ModelQuery:
        """The same search with one more or one less value of a facet, on its first page."""
        values = self.chosen(facet)
        changed = tuple(one for one in values if one != value) if value in values else (*values, value)
        return self.changed(**{facet: changed})

    def changed(self, **changes: Any) -> ModelQuery:
        """The same search with changes, on its first page unless a page is named."""
        return replace(self, **{"page": 1, **changes})

    def sorted_by(self, name: str) -> ModelQuery:
        """The same search sorted by a column; a second time reverses."""
        return self.changed(sort=f"-{name}" if self.sort == name else name)

    @property
    def is_narrowed(self) -> bool:
        """Whether anything is searched for or chosen."""
        return bool(self.q or self.modality or self.task or self.licence)

    def urlencode(self) -> str:
        """The query string, without what has its default."""
        pairs = [("q", self.q)] if self.q else []
        pairs += [(facet, value) for facet in FACETS for value in self.chosen(facet)]
        if self.sort != DEFAULT_SORT:
            pairs.append(("sort", self.sort))
        if self.is_archived:
            pairs.append(("archived", "1"))
        if self.page > 1:
            pairs.append(("page", str(self.page)))
        return urlencode(pairs)
