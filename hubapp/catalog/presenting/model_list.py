"""What the list of models says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hubapp.catalog.filters import DATES, FACETS, SORTS, ModelQuery
from hubapp.catalog.models import Model
from hubapp.catalog.search import Facet, Listing, facet_label
from hubapp.ui import words

ORDERS = {
    "relevance": "the best matches first",
    "-relevance": "the best matches last",
    "-downloads": "the most downloaded first",
    "-likes": "the most liked first",
    "-trending": "what trends first",
    "newest": "the newest here first",
    "-added": "the newest here first",
    "-newest": "the oldest here first",
    "added": "the oldest here first",
    "-created": "the youngest first",
    "created": "the oldest first",
    "-updated": "the last changed first",
    "updated": "the longest unchanged first",
    "-documentation": "the best documented first",
    "documentation": "the least documented first",
}
RANGES = {"created": "created", "updated": "changed", "parameters": "parameters"}


@dataclass(frozen=True, kw_only=True)
class Chip:
    """A chosen value, with the address that leaves it out."""

    label: str
    url_query: str


def count_words(listing: Listing) -> str:
    """ "1 model", "≈ 123,000 archived models"."""
    kind = "archived model" if listing.query.is_archived else "model"
    is_one = listing.count.is_exact and listing.count.value == 1
    return f"{listing.count.words} {kind}{'' if is_one else 's'}"


def list_sentence(listing: Listing) -> str:
    """What the model list shows, in words."""
    start = "".join(f"Nothing says “{word}”; shown: {near}. " for word, near in listing.replaced)
    said = query_words(listing.query)
    joined = f"{' ' if listing.query.q else ', '}{said}" if said else ""
    return f"{start}{count_words(listing)}{joined}, {order_words(listing.query)}."


def query_words(query: ModelQuery) -> str:
    """What a search asks for, in words; empty for everything."""
    parts = [f"with “{query.q}” in the text"] if query.q else []
    parts += [f"{_facet_words(name)} {' or '.join(values)}" for name, values in _chosen(query).items()]
    return ", ".join([*parts, *range_words(query)])


def order_words(query: ModelQuery) -> str:
    """The order in words."""
    order = query.order
    plain = f"by {SORTS[order.removeprefix('-')]}{', descending' if order.startswith('-') else ''}"
    return ORDERS.get(order, plain)


def range_words(query: ModelQuery) -> list[str]:
    """The ranges in words."""
    ranges = query.ranges
    said = []
    for name, word in RANGES.items():
        start, end = ranges.get(f"{name}_from"), ranges.get(f"{name}_to")
        ends = [f"from {_end(start)}" if start is not None else "", f"to {_end(end)}" if end is not None else ""]
        if any(ends):
            said.append(" ".join([word, *filter(None, ends)]))
    return said


def drop_words(name: str, query: ModelQuery) -> str:
    """What is left out by a search with one thing less."""
    if name == "q":
        return f"without “{query.q}”"
    if name == "ranges":
        return "without " + " and ".join(range_words(query))
    return f"without {_facet_words(name)} {' or '.join(_chosen(query)[name])}"


def _end(value: Any) -> str:
    return words.count(value) if isinstance(value, int) else str(value)


def _chosen(query: ModelQuery) -> dict[str, list[str]]:
    return {name: [facet_label(name, value) for value in query.chosen(name)] for name in query.chosen_facets}


def _facet_words(name: str) -> str:
    return {"size": "parameters", "family": "licence family", "relation": "made from a base by"}.get(name, name)


def range_fields(query: ModelQuery) -> list[tuple[str, str, str, str]]:
    """The fields of the ranges: name, title, and what they hold."""
    held = query.ranges
    return [
        (name, title, _field(held.get(f"{name}_from")), _field(held.get(f"{name}_to")))
        for name, title in (("created", "Created"), ("updated", "Updated"), ("parameters", "Parameters"))
    ]


def _field(value: Any) -> str:
    return "" if value is None else str(value)


def chips(query: ModelQuery) -> list[Chip]:
    """What is chosen, each with the address without it."""
    found = [
        Chip(label=f"{FACETS[facet]}: {facet_label(facet, value)}", url_query=query.toggled(facet, value).urlencode())
        for facet, value in query.choices
    ]
    for name in RANGES:
        names = (f"{name}_from", f"{name}_to")
        if set(names) & set(query.ranges):
            (said,) = range_words(query.changed(**_other_ranges(name)))
            without = query.changed(**dict.fromkeys(names))
            found.append(Chip(label=said[0].upper() + said[1:], url_query=without.urlencode()))
    return found


def _other_ranges(name: str) -> dict[str, None]:
    return dict.fromkeys(one for one in (*DATES, "parameters_from", "parameters_to") if not one.startswith(name))


def model_json(model: Model) -> dict[str, Any]:
    """A model as the list's twin gives it."""
    revision = model.current_revision
    return {
        "slug": model.slug,
        "title": model.title,
        "meaning": model.meaning,
        "author": model.author,
        "modality": model.modality,
        "task": model.task,
        "library": model.library,
        "architecture": model.architecture,
        "licence": model.licence,
        "licence_family": model.licence_family,
        "languages": model.languages,
        "formats": model.formats,
        "relation": model.relation,
        "documentation_points": model.documentation_points,
        "documentation_level": model.documentation_level,
        "safety": model.safety,
        "is_analysed": model.is_analysed,
        "origin": model.origin,
        "is_control": model.is_control,
        "downloads": model.downloads,
        "likes": model.likes,
        "trending": model.trending,
        "published_at": model.published_at,
        "updated_at": model.updated_at,
        "created_at": model.created_at,
        "archived_at": model.archived_at,
        "url": model.get_absolute_url(),
        "revision": revision.digest if revision else None,
        "parameters": model.parameters,
        "size_bytes": model.size_bytes,
        "error": revision.error_message if revision else "",
    }


def facet_json(facet: Facet) -> dict[str, Any]:
    """A facet for the list's twin; `is_exact` says of its counts whether they were counted one by one."""
    return {
        "name": facet.name,
        "is_exact": facet.is_exact,
        "values": [{"value": one.value, "count": one.count, "is_chosen": one.is_chosen} for one in facet.values],
    }


def listing_json(listing: Listing) -> dict[str, Any]:
    """The list's twin."""
    count = listing.count
    return {
        "sentence": list_sentence(listing),
        "count": count.value,
        "count_is_exact": count.is_exact,
        "count_interval": None if count.is_exact else [count.low, count.high],
        "counted_at": count.made_at,
        "replaced": dict(listing.replaced),
        "page": listing.query.page,
        "pages": listing.pages,
        "facets": [facet_json(facet) for facet in listing.facets],
        "models": [model_json(model) for model in listing.models],
    }
