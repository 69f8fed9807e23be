"""The cells of the model list: one function a column, model in, markup out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString

from hubapp.catalog.filters import COLUMNS, DEFAULT_COLUMNS, ModelQuery
from hubapp.catalog.models import Model
from hubapp.catalog.search import facet_label
from hubapp.ui import words
from hubapp.ui.templatetags.hubscope import ago, licence_badge, missing

MOST_LISTED = 4  # languages or formats of a cell
NUMERIC = frozenset(
    {"parameters", "size", "documentation", "downloads", "likes", "trending", "created", "updated", "added"}
)
SORTED_DOWN_FIRST = frozenset({"downloads", "likes", "trending", "documentation", "created", "updated", "added"})


@dataclass(frozen=True, kw_only=True)
class Header:
    """A column's head: its address sorts by it where that is possible."""

    name: str
    title: str
    is_number: bool
    url_query: str | None
    aria_sort: str


def _text(value: str) -> SafeString:
    return conditional_escape(value) if value else missing(why="Not stated")


def _number(value: float | None) -> SafeString:
    return missing(why="Not known") if value is None else conditional_escape(words.count(value))


def _moment(value: dt.datetime | None) -> SafeString:
    return ago(value)


def _list(values: list[str]) -> SafeString:
    if not values:
        return missing(why="Not stated")
    shown = ", ".join(values[:MOST_LISTED])
    rest = len(values) - MOST_LISTED
    return format_html("{}{}", shown, f" and {rest} more" if rest > 0 else "")


def _task(model: Model) -> SafeString:
    return format_html('{}<span class="ct-sub">{}</span>', _text(model.task), model.get_modality_display() or "")


def _parameters(model: Model) -> SafeString:
    return _number(model.parameters) if model.parameters else missing(why="No parameters could be read")


def _size(model: Model) -> SafeString:
    return missing(why="Not known") if model.size_bytes is None else conditional_escape(words.size(model.size_bytes))


def _documentation(model: Model) -> SafeString:
    if model.documentation_points is None:
        return missing(why="Its card was not read")
    return format_html('{}<span class="ct-sub">{}</span>', model.documentation_points, model.documentation_level)


CELLS: dict[str, Callable[[Model], SafeString]] = {
    "author": lambda model: _text(model.author),
    "task": _task,
    "library": lambda model: _text(model.library),
    "architecture": lambda model: _text(model.architecture),
    "parameters": _parameters,
    "size": _size,
    "licence": lambda model: licence_badge(model.licence),
    "family": lambda model: _text(facet_label("family", model.licence_family) if model.licence_family else ""),
    "language": lambda model: _list(model.languages),
    "format": lambda model: _list(model.formats),
    "relation": lambda model: _text(model.relation),
    "documentation": _documentation,
    "safety": lambda model: _text(facet_label("safety", model.safety) if model.safety else ""),
    "analysed": lambda model: conditional_escape("yes") if model.is_analysed else missing(),
    "downloads": lambda model: _number(model.downloads),
    "likes": lambda model: _number(model.likes),
    "trending": lambda model: _number(model.trending),
    "created": lambda model: _moment(model.published_at),
    "updated": lambda model: _moment(model.updated_at),
    "added": lambda model: _moment(model.created_at),
}
# Of the usual columns, those that are left out where nothing on the page has a value.
VALUES: dict[str, Callable[[Model], object]] = {
    "downloads": lambda model: model.downloads,
    "likes": lambda model: model.likes,
    "parameters": lambda model: model.parameters,
    "size": lambda model: model.size_bytes,
    # Of models that no hub knows, these three are the same moment.
    "updated": lambda model: model.downloads is not None or None,
}


def columns_of(query: ModelQuery, models: list[Model]) -> tuple[str, ...]:
    """The columns to show: the chosen ones; else the usual ones but for those in which this page has no value."""
    if query.columns:
        return query.columns
    sort = query.sort.removeprefix("-")
    usual = [
        name
        for name in DEFAULT_COLUMNS
        if name not in VALUES or not models or any(VALUES[name](model) is not None for model in models)
    ]
    if "updated" in usual:  # a hub's models: when they changed says more than when they came here
        usual.remove("added")
    if sort in COLUMNS and sort not in usual:
        usual.append(sort)
    return tuple(usual)


def headers(query: ModelQuery, columns: tuple[str, ...]) -> list[Header]:
    """The heads of the columns, that of the name first."""
    return [_header(query, "name", "Model"), *(_header(query, name, COLUMNS[name]) for name in columns)]


SORTABLE = frozenset(
    {"name", "parameters", "size", "documentation", "downloads", "likes", "trending", "created", "updated", "added"}
)


def _header(query: ModelQuery, name: str, title: str) -> Header:
    first, second = (f"-{name}", name) if name in SORTED_DOWN_FIRST else (name, f"-{name}")
    current = {"newest": "-added", "-newest": "added"}.get(query.order, query.order)
    sort = second if current == first else first
    parsed = ModelQuery.parse({"q": query.q, "sort": sort}).sort  # "" for the sort that is the default anyway
    return Header(
        name=name,
        title=title,
        is_number=name in NUMERIC,
        url_query=query.changed(sort=parsed).urlencode() if name in SORTABLE else None,
        aria_sort={name: "ascending", f"-{name}": "descending"}.get(current, "none"),
    )


def cells(model: Model, columns: tuple[str, ...]) -> list[tuple[bool, SafeString]]:
    """The row's cells, each with whether it is a number."""
    return [(name in NUMERIC, CELLS[name](model)) for name in columns]
