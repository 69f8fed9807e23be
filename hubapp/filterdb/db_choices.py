"""What can be chosen on the page of the filter DB: axes, kernel sizes, views, balances, and one's own searches."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from hubapp.catalog.models import SavedSearch
from hubapp.filterdb.axes import AXES, Person
from hubapp.filterdb.db_query import DEFAULT_KERNEL, DbQuery
from hubapp.filterdb.pack import KIND, current_outcomes, kernel_of
from hubapp.results.models import Sums

VIEW_TITLES = {"stored": "As stored", "folded": "Batch norm folded in"}
BALANCE_TITLES = {"pooled": "Every filter", "layer": "Every layer", "model": "Every model"}
MOST_SEARCHES = 50


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A select of the form; options are (value, label, whether it is chosen)."""

    name: str
    label: str
    options: tuple[tuple[str, str, bool], ...]


def choices_of(query: DbQuery, kernels: Iterable[str]) -> list[Choice]:
    """The selects with what the query has chosen; `kernels` are those that there are layers of, shown 3 × 3 first."""
    held = {*kernels, query.kernel, DEFAULT_KERNEL}
    sizes = sorted(held, key=lambda size: (size != DEFAULT_KERNEL, math.prod(kernel_of(size)), size))
    return [
        _choice("axis", "Group by", [(axis.name, axis.title) for axis in AXES.values()], query.axis),
        _choice("balance", "Counts once", list(BALANCE_TITLES.items()), query.balance),
        _choice("kernel", "Kernel", [(size, kernel_title(size)) for size in sizes], query.kernel),
        _choice("view", "Weights", list(VIEW_TITLES.items()), query.view),
    ]


def _choice(name: str, label: str, options: list[tuple[str, str]], chosen: str) -> Choice:
    marked = tuple((value, title, value == chosen) for value, title in options)
    return Choice(name=name, label=label, options=marked)


def kernel_title(kernel: str) -> str:
    """A kernel size as people write it: "3 × 3"."""
    return kernel.replace("x", " × ")


def kernels_held() -> list[str]:
    """The kernel sizes that any analysed model has layers of."""
    held = Sums.objects.filter(kind=KIND, outcome_id__in=list(current_outcomes()))
    return list(held.order_by().values_list("labels__kernel", flat=True).distinct())


def searches_of(user: Person) -> list[tuple[str, str]]:
    """The queries and titles of the searches that this person keeps."""
    if user is None or not user.is_authenticated:
        return []
    saved = SavedSearch.objects.filter(owner=user).exclude(query="")
    return list(saved.values_list("query", "title")[:MOST_SEARCHES])
