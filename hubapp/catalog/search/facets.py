"""The facets of the model list and what pages call their values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlencode

from hubapp.catalog.filters import FACETS, FIXED, ModelQuery
from hubapp.catalog.models import Modality
from hubapp.catalog.search.counting import Count, Counts, rounded

SHOWN = 8  # values that are seen at once; the others unfold
OPEN = frozenset({"modality", "task", "library", "licence", "size"})
SIZE_LABELS = {
    "0-10M": "under 10 M",
    "10M-100M": "10 M to 100 M",
    "100M-1B": "100 M to 1 G",
    "1B-3B": "1 G to 3 G",
    "3B-10B": "3 G to 10 G",
    "10B-30B": "10 G to 30 G",
    "30B-100B": "30 G to 100 G",
    "100B-": "100 G and more",
}


@dataclass(frozen=True, kw_only=True)
class FacetValue:
    """One value of a facet: how many models it would leave (None: not known), and whether it is chosen."""

    value: str
    label: str
    count: int | None
    is_exact: bool
    is_chosen: bool
    toggled: Callable[[], str]

    @property
    def url_query(self) -> str:
        """The address with it, or without it where it is chosen."""
        return self.toggled()

    @property
    def count_words(self) -> str:
        """The count as pages write it."""
        if self.count is None:
            return "–"
        return f"{self.count:,}" if self.is_exact else f"≈ {rounded(self.count)}"


@dataclass(frozen=True, kw_only=True)
class Facet:
    """A property to narrow a list by, with the values it has under the other choices."""

    name: str
    title: str
    values: tuple[FacetValue, ...]
    is_exact: bool = True
    is_filtered: bool = False

    @property
    def first(self) -> Sequence[FacetValue]:
        """The values that are seen at once: the most frequent, and all chosen ones."""
        return [one for place, one in enumerate(self.values) if place < SHOWN or one.is_chosen or self.is_filtered]

    @property
    def more(self) -> Sequence[FacetValue]:
        """The values that unfold."""
        first = set(map(id, self.first))
        return [one for one in self.values if id(one) not in first]

    @property
    def is_long(self) -> bool:
        """Whether a filter of the values helps."""
        return self.is_filtered or len(self.values) > 3 * SHOWN

    @property
    def is_open(self) -> bool:
        """Whether its values are seen at first: of the usual facets, and where one is chosen."""
        return self.name in OPEN or self.is_filtered or any(one.is_chosen for one in self.values)


def facet_of(
    name: str, query: ModelQuery, *, counts: Counts, total: Count, is_exact: bool, known: Sequence[str] | None = None
) -> Facet:
    """A facet with its values, the most frequent first; where values are filtered, those of `known` too.

    total: what the whole search finds, which is what its only chosen value leaves.
    """
    start = f"{name}="
    own = {key[len(start) :]: count for key, count in counts.items() if key.startswith(start)}
    chosen = query.chosen(name)
    is_filtered = query.of == name and bool(query.like)
    if is_filtered:
        own = {value: own.get(value, 0 if is_exact else None) for value in [*own, *(known or ()), *chosen]}
        like = query.like.lower()
        own = {
            value: count for value, count in own.items()
            if value in chosen or like in value.lower() or like in facet_label(name, value).lower()
        }  # fmt: skip
    own |= {value: 0 if is_exact else None for value in chosen if value not in own}
    if len(chosen) == 1 and not (is_exact and total.is_exact):
        own[chosen[0]] = None if total.high is None else total.value
    if name == "size":
        own = {value: own[value] for value in (*FIXED["size"][1:], "") if value in own}
    address = toggling(query)
    return Facet(
        name=name,
        title=FACETS[name],
        is_exact=is_exact,
        is_filtered=is_filtered,
        values=tuple(
            FacetValue(
                value=value,
                label=facet_label(name, value),
                count=count,
                is_exact=is_exact or (chosen == (value,) and total.is_exact),
                is_chosen=value in chosen,
                toggled=partial(address, name, value),
            )
            for value, count in own.items()
        ),
    )


def toggling(query: ModelQuery) -> Callable[[str, str], str]:
    """From a facet and a value to the address with one more or one less value; the rest is written once."""
    plain = query.changed(of="", like="")
    rest = plain.changed(choices=()).urlencode()
    order = list(FACETS)

    def address(facet: str, value: str) -> str:
        pair = (facet, value)
        kept = [one for one in query.choices if one != pair]
        changed = kept if len(kept) < len(query.choices) else [*kept, pair]
        changed.sort(key=lambda one: order.index(one[0]))
        chosen = urlencode(changed)
        return "&".join(filter(None, (chosen, rest)))

    return address


def facet_label(name: str, value: str) -> str:
    """What a page calls a facet's value."""
    if not value:
        return {"relation": "no base", "documentation": "not read", "safety": "not read"}.get(name, "not stated")
    if name == "modality" and value in Modality.values:
        return str(Modality(value).label)
    if name == "size":
        return SIZE_LABELS.get(value, value)
    return value.replace("-", " ") if name in {"task", "documentation", "safety", "family"} else value
