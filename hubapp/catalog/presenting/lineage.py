"""What pages say of lineage: the tree that is drawn, the tables, the graph of all models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hubapp.catalog.lineage import Brief, Lineage, Relative
from hubapp.catalog.models import Model
from hubapp.charts.lineage import Kin

MOST_DRAWN, MOST_DRAWN_ANCESTORS = 100, 30


def kin_of(model: Model, lineage: Lineage) -> tuple[list[Kin], list[tuple[str, str, str]]]:
    """The part of a lineage that is drawn, and its links: the nearest ancestors, then the most downloaded descendants.

    With a descendant come the models on its way from the model itself, so that nothing hangs in the air.
    """
    own = Kin(name=model.slug, step=0, downloads=model.downloads, licence=model.licence)
    up = {one.name: one for one in lineage.ancestors[:MOST_DRAWN_ANCESTORS]}
    room = MOST_DRAWN - 1 - len(up)
    by_name = {one.name: one for one in lineage.descendants}
    chosen: dict[str, Relative] = {}
    for one in sorted(lineage.descendants, key=_downloads):
        way = _way(one, by_name, chosen)
        if len(chosen) + len(way) <= room:
            chosen |= way
        if len(chosen) >= room:
            break
    down = [one for one in chosen.values() if one.name not in up]
    kin = [own, *(_kin(one, -one.distance) for one in up.values()), *(_kin(one, one.distance) for one in down)]
    names = {one.name for one in kin}
    links = [(edge.base, edge.child, edge.relation) for edge in lineage.edges if {edge.base, edge.child} <= names]
    return kin, links


def _downloads(one: Relative) -> tuple[int, int, str]:
    return -((one.known.downloads or 0) if one.known else 0), one.distance, one.name


def _way(one: Relative, by_name: dict[str, Relative], chosen: dict[str, Relative]) -> dict[str, Relative]:
    """The descendant and what lies between it and the model, but for what is chosen already."""
    way: dict[str, Relative] = {}
    at: Relative | None = one
    while at is not None and at.name not in chosen and at.name not in way:
        way[at.name] = at
        at = by_name.get(at.via)
    return way


def _kin(one: Relative, step: int) -> Kin:
    known = one.known
    return Kin(
        name=one.name,
        step=step,
        relation=one.relation,
        downloads=known.downloads if known else None,
        licence=known.licence if known else "",
        is_known=known is not None,
    )


def drawn_sentence(lineage: Lineage, drawn: int) -> str:
    """What the tree shows and what it leaves out, in words."""
    rest = len(lineage.ancestors) + len(lineage.descendants) + 1 - drawn
    at_least = "at least " if lineage.is_cut else ""
    tail = f" The most downloaded are drawn, and {at_least}{rest:,} more are in the tables." if rest > 0 else ""
    return (
        "What this model was made from stands on the left, what was made from it on the right; the further, the more "
        f"steps.{tail}"
    )


def lineage_sentence(lineage: Lineage) -> str:
    """The family in numbers."""
    up, down = len(lineage.ancestors), len(lineage.descendants)
    more = "more than " if lineage.is_cut else ""
    ancestors = f"{up:,} ancestor{'' if up == 1 else 's'}"
    descendants = f"{more}{down:,} descendant{'' if down == 1 and not more else 's'}"
    return f"{ancestors}; {descendants}, {lineage.children:,} of them made directly from it."


def relative_json(one: Relative) -> dict[str, Any]:
    """A relative for a twin."""
    return {
        "model": one.name,
        "steps": one.distance,
        "relation": one.relation,
        "via": one.via,
        "is_known": one.known is not None,
        "licence": one.known.licence if one.known else None,
        "downloads": one.known.downloads if one.known else None,
        "parameters": one.known.parameters if one.known else None,
    }


def lineage_json(brief: Brief, lineage: Lineage, *, shown: Sequence[Relative], page: int, pages: int) -> dict[str, Any]:
    """A model's lineage for its twin: all ancestors, one page of descendants."""
    return {
        "sentence": lineage_sentence(lineage),
        "ancestors": [relative_json(one) for one in lineage.ancestors],
        "children": lineage.children,
        "descendants": {
            "count": len(lineage.descendants),
            "is_cut": lineage.is_cut,
            "page": page,
            "pages": pages,
            "models": [relative_json(one) for one in shown],
        },
        "newer_versions": [one.name for one in brief.successors],
    }
