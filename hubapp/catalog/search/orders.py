"""The orders of the model list. Each is walked by an index, forwards or backwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import F
from django.db.models.functions import Lower

# Columns whose index descends with the unknown at its end.
COUNTED = {
    "downloads": "downloads",
    "likes": "likes",
    "trending": "trending",
    "parameters": "parameters",
    "size": "size_bytes",
    "documentation": "documentation_points",
}
MOMENTS = {"created": "published_at", "updated": "updated_at"}


@dataclass(frozen=True, kw_only=True)
class Order:
    """How a list is ordered.

    ordering  what Django orders by; models without a value come last, both ways
    columns   the columns that `sorted_by` and `walked_by` read
    sorted_by the same in SQL
    walked_by the same as an index has it, for the models that fulfil `walked`
    """

    ordering: tuple[Any, ...]
    columns: tuple[str, ...]
    sorted_by: str
    walked_by: str
    walked: str = "TRUE"

    @property
    def key(self) -> tuple[str, str]:
        """What it sorts by first, in SQL, and the operator that holds for what comes before."""
        expression, way = self.sorted_by.split(", ")[0].split(" ")[:2]
        return expression, ">" if way == "DESC" else "<"


def order_of(sort: str) -> Order:
    """The order of a sort such as "-downloads"; that of relevance is by popularity (`rows` ranks within it)."""
    name, is_reversed = sort.removeprefix("-"), sort.startswith("-")
    if name == "newest":
        name, is_reversed = "added", not is_reversed
    if name == "relevance":
        name, is_reversed = "downloads", True
    way, back = ("DESC", "ASC") if is_reversed else ("ASC", "DESC")
    ordering: tuple[Any, ...]
    if name == "name":
        ordering = (Lower("title").desc(), "-slug") if is_reversed else (Lower("title"), "slug")
        return _plain(ordering, ("title", "slug"), f"lower(title) {way}, slug {way}")
    if name == "added":
        ordering = ("-created_at", "-id") if is_reversed else ("created_at", "id")
        return _plain(ordering, ("created_at",), f"created_at {way}, id {way}")
    if name in MOMENTS:
        column = MOMENTS[name]
        ordering = (f"-{column}", "slug") if is_reversed else (column, "-slug")
        return _plain(ordering, (column, "slug"), f"{column} {way}, slug {back}")
    column = COUNTED[name]
    if is_reversed:
        ordering = (F(column).desc(nulls_last=True), "slug")
        return _plain(ordering, (column, "slug"), f"{column} DESC NULLS LAST, slug")
    return Order(
        ordering=(F(column).asc(nulls_last=True), "-slug"),
        columns=(column, "slug"),
        sorted_by=f"{column} ASC NULLS LAST, slug DESC",
        walked_by=f"{column} ASC NULLS FIRST, slug DESC",
        walked=f"{column} IS NOT NULL",
    )


def _plain(ordering: tuple[Any, ...], columns: tuple[str, ...], sql: str) -> Order:
    return Order(ordering=ordering, columns=columns, sorted_by=sql, walked_by=sql)
