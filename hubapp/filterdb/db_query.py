"""What the page of the filter DB is asked for: its state, as its address holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict

from hubapp.filterdb.axes import axis_of
from hubapp.filterdb.groups import MOST_GROUPS, VIEWS
from hubapp.filterdb.pack import View, kernel_of
from workers.kit import UserError
from workers.statistics.drift import BALANCES, Balance

DEFAULT_AXIS, DEFAULT_KERNEL = "task", "3x3"
SEARCHES = "searches"
LONGEST_SEARCH = 1000  # as the job of the intervals takes it


@dataclass(frozen=True, kw_only=True)
class DbQuery:
    """The state of the page.

    axis          what models are grouped by
    balance       what counts once: every filter ("pooled"), layer or model
    kernel, view  which layers, such as "3x3"; weights as stored or with batch norm folded in
    a, b          two searches of the model list, for the axis "searches"
    groups        names of the groups that are shown; empty: all
    """

    axis: str = DEFAULT_AXIS
    balance: Balance = "pooled"
    kernel: str = DEFAULT_KERNEL
    view: View = "stored"
    a: str = ""
    b: str = ""
    groups: tuple[str, ...] = ()

    @classmethod
    def parse(cls, query: QueryDict) -> DbQuery:
        """Read an address's query. Raises UserError, with the names that are known, for what is none of them."""
        a, b = _search(query.get("a", "")), _search(query.get("b", ""))
        axis = axis_of(query.get("axis") or (SEARCHES if a or b else DEFAULT_AXIS)).name
        kernel = query.get("kernel") or DEFAULT_KERNEL
        try:
            kernel_of(kernel)
        except ValueError:
            raise UserError(f"{kernel!r} is no kernel size; write it as 3x3.", field="kernel") from None
        is_searched = axis == SEARCHES
        return cls(
            axis=axis,
            balance=_one_of(query, "balance", BALANCES),
            kernel=kernel,
            view=_one_of(query, "view", dict.fromkeys(VIEWS, "")),
            a=a if is_searched else "",
            b=b if is_searched else "",
            groups=tuple(dict.fromkeys(query.getlist("group")))[:MOST_GROUPS],
        )

    @property
    def parameters(self) -> dict[str, str]:
        """Those of the axis."""
        return {name: getattr(self, name) for name in axis_of(self.axis).parameters}

    @property
    def missing(self) -> list[str]:
        """Parameters of the axis that were left empty."""
        return [name for name, value in self.parameters.items() if not value]

    def changed(self, **changes: Any) -> DbQuery:
        """The same state but for these."""
        return replace(self, **changes)

    def encoded(self) -> str:
        """The address's query, without what is as usual but for the axis."""
        usual = DbQuery()
        pairs: list[tuple[str, str]] = [("axis", self.axis)]
        names = ("balance", "kernel", "view", "a", "b")
        pairs += [(name, getattr(self, name)) for name in names if getattr(self, name) != getattr(usual, name)]
        return urlencode([*pairs, *(("group", name) for name in self.groups)])


def _search(text: str) -> str:
    """The query of a search: of a pasted address what stands behind the question mark; words alone are looked for."""
    text = text.strip()[:LONGEST_SEARCH]
    text = text.rpartition("?")[2] if "?" in text else text
    return text if "=" in text or not text else urlencode({"q": text})


def _one_of(query: QueryDict, name: str, known: Mapping[Any, str]) -> Any:
    value = query.get(name) or next(iter(known))
    if value not in known:
        raise UserError(f"There is no {name} named {value!r}. Known: {', '.join(known)}.", field=name)
    return value
