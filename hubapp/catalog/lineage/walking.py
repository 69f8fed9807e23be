"""Ancestors and descendants of one model: a fixed number of queries, whatever the graph looks like.

The walks are recursive queries with UNION, which visit each name once: self-loops and cycles end by themselves. A
subquery in LATERAL keeps PostgreSQL from scanning a whole table where a step has few rows.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.contrib.auth.models import AnonymousUser, User
from django.db import connection

from hubapp.catalog.models import BaseLink, Model
from hubapp.catalog.models.model import is_insider

Person = User | AnonymousUser | None

MOST_ANCESTORS, MOST_DESCENDANTS, MOST_SUCCESSORS = 500, 20_000, 50
MOST_COUNTED = 5_000  # children in the one line of a model's page

_ANCESTORS = """
WITH RECURSIVE walk(name) AS (
    SELECT %(name)s::text
    UNION
    SELECT step.name FROM walk CROSS JOIN LATERAL (
        SELECT l.base_name::text AS name FROM catalog_model m JOIN catalog_baselink l ON l.child_id = m.id
        LEFT JOIN catalog_model b ON b.slug = l.base_name
        WHERE m.slug = walk.name AND (%(sees_all)s OR NOT (m.is_restricted OR coalesce(b.is_restricted, false)))
        OFFSET 0) step
)
SELECT name FROM walk LIMIT %(most)s
"""
_DESCENDANTS = """
WITH RECURSIVE walk(name) AS (
    SELECT %(name)s::text
    UNION
    SELECT step.name FROM walk CROSS JOIN LATERAL (
        SELECT m.slug::text AS name FROM catalog_baselink l JOIN catalog_model m ON m.id = l.child_id
        WHERE l.base_name = walk.name AND (%(sees_all)s OR NOT m.is_restricted)
        OFFSET 0) step
)
SELECT name FROM walk LIMIT %(most)s
"""
_SUCCESSORS = """
WITH RECURSIVE successor(name, path) AS (
    SELECT m.new_version::text, ARRAY[m.slug::text] FROM catalog_model m
    WHERE m.id = %(id)s AND m.new_version NOT IN ('', m.slug)
    UNION ALL
    SELECT m.new_version::text, s.path || s.name FROM successor s JOIN catalog_model m ON m.slug = s.name
    WHERE m.new_version <> '' AND m.new_version <> ALL(s.path || s.name) AND cardinality(s.path) < %(most)s
    AND (%(sees_all)s OR NOT m.is_restricted)
)
SELECT s.name, m.title FROM successor s LEFT JOIN catalog_model m ON m.slug = s.name
WHERE %(sees_all)s OR NOT coalesce(m.is_restricted, false) ORDER BY cardinality(s.path)
"""
_EDGES = """
SELECT l.base_name, m.slug, l.relation FROM catalog_baselink l JOIN catalog_model m ON m.id = l.child_id
WHERE l.base_name = ANY(%(names)s) AND (%(sees_all)s OR NOT m.is_restricted) ORDER BY l.base_name, m.slug
"""
_KNOWN = """
SELECT slug, title, licence, licence_stated, downloads, parameters, archived_at IS NOT NULL FROM catalog_model
WHERE slug = ANY(%(names)s) AND (%(sees_all)s OR NOT is_restricted)
"""
_HIDDEN = """
SELECT DISTINCT l.base_name FROM catalog_model m JOIN catalog_baselink l ON l.child_id = m.id
JOIN catalog_model b ON b.slug = l.base_name AND b.is_restricted WHERE m.slug = ANY(%(names)s) AND NOT %(sees_all)s
"""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What lineage shows of a model that is in the catalogue."""

    title: str
    licence: str
    licence_stated: str
    downloads: int | None
    parameters: int | None
    is_archived: bool


class Edge(NamedTuple):
    """That `child` was made from `base`; `relation` is empty where it is not stated."""

    base: str
    child: str
    relation: str


@dataclass(frozen=True, kw_only=True)
class Relative:
    """A model up or down the line.

    distance  steps on the shortest way
    relation  of the link by which that way reached it
    via       the model at the near end of that link
    known     None where its name is all there is: it is not in the catalogue
    """

    name: str
    distance: int
    relation: str
    via: str
    known: Known | None


@dataclass(frozen=True, kw_only=True)
class Successor:
    """The newer model that a model names; title "" where it is not in the catalogue."""

    name: str
    title: str


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """All relatives of a model that a person may know of.

    ancestors, descendants  the nearest first, then the most downloaded
    edges                   between them, self-loops of the model included
    is_cut                  there are more descendants than were walked
    """

    name: str
    ancestors: tuple[Relative, ...]
    descendants: tuple[Relative, ...]
    edges: tuple[Edge, ...]
    is_cut: bool

    @property
    def children(self) -> int:
        """How many models were made directly from it, itself left out."""
        return len({edge.child for edge in self.edges if edge.base == self.name and edge.child != self.name})


@dataclass(frozen=True, kw_only=True)
class Brief:
    """Lineage in one line.

    ancestors    as in Lineage
    children     models made directly from it, counted up to MOST_COUNTED
    hidden       bases that models up the line name and this person may not know of: to leave out, never to show
    successors   what `new_version` leads to, step by step; the last is the newest
    """

    ancestors: tuple[Relative, ...]
    children: int
    hidden: frozenset[str]
    successors: tuple[Successor, ...]

    @property
    def hides_bases(self) -> bool:
        """Whether a model up the line names a base that this person may not know of."""
        return bool(self.hidden)

    @property
    def bases(self) -> list[Relative]:
        """What it was made from directly."""
        return [relative for relative in self.ancestors if relative.distance == 1]

    @property
    def newest(self) -> Successor | None:
        """The newest version, where there is a newer one."""
        return self.successors[-1] if self.successors else None


def lineage_of(name: str, user: Person, *, most: int = MOST_DESCENDANTS) -> Lineage:
    """Everything up and down the line of a model. Four queries."""
    up = _walk(_ANCESTORS, name, user, most=MOST_ANCESTORS)
    down = _walk(_DESCENDANTS, name, user, most=most + 1)
    kept = down[: most + 1]
    edges = _edges({*up, *kept}, user)
    known = _known({*up, *kept}, user)
    return Lineage(
        name=name,
        ancestors=_relatives(name, {*up}, edges, known, upward=True),
        descendants=_relatives(name, {*kept}, edges, known, upward=False),
        edges=tuple(edges),
        is_cut=len(down) > most + 1,
    )


def lineage_brief(model: Model, user: Person) -> Brief:
    """A model's lineage for the head of its page. Six queries, of which none grows with its descendants."""
    up = set(_walk(_ANCESTORS, model.slug, user, most=MOST_ANCESTORS))
    edges = _edges(up, user) if len(up) > 1 else []
    return Brief(
        ancestors=_relatives(model.slug, up, edges, _known(up, user) if len(up) > 1 else {}, upward=True),
        children=_children_count(model, user),
        hidden=frozenset(name for (name,) in _rows(_HIDDEN, up, user)),
        successors=_successors(model, user),
    )


def _walk(query: str, name: str, user: Person, *, most: int) -> list[str]:
    """The names that a walk reaches, its start among them, the nearest first."""
    with connection.cursor() as cursor:
        cursor.execute(query, {"name": name, "sees_all": is_insider(user), "most": most + 1})
        return [row[0] for row in cursor.fetchall()]


def _successors(model: Model, user: Person) -> tuple[Successor, ...]:
    if not model.new_version:
        return ()
    with connection.cursor() as cursor:
        cursor.execute(_SUCCESSORS, {"id": model.pk, "sees_all": is_insider(user), "most": MOST_SUCCESSORS})
        return tuple(Successor(name=name, title=title or "") for name, title in cursor.fetchall())


def _children_count(model: Model, user: Person) -> int:
    links = BaseLink.objects.filter(base_name=model.slug).exclude(child=model)
    if not is_insider(user):
        links = links.filter(child__is_restricted=False)
    return len(links.values_list("pk", flat=True)[: MOST_COUNTED + 1])


def _rows(query: str, names: Iterable[str], user: Person) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, {"names": list(names), "sees_all": is_insider(user)})
        return list(cursor.fetchall())


def _edges(names: set[str], user: Person) -> list[Edge]:
    """The links among these names, in order."""
    return [edge for row in _rows(_EDGES, names, user) if (edge := Edge(*row)).child in names]


def _known(names: set[str], user: Person) -> dict[str, Known]:
    return {
        slug: Known(
            title=title,
            licence=licence,
            licence_stated=stated,
            downloads=downloads,
            parameters=parameters,
            is_archived=is_archived,
        )
        for slug, title, licence, stated, downloads, parameters, is_archived in _rows(_KNOWN, names, user)
    }


def _relatives(
    start: str, names: set[str], edges: Sequence[Edge], known: Mapping[str, Known], *, upward: bool
) -> tuple[Relative, ...]:
    """The names other than the start, by distance and then by downloads."""
    steps: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for edge in edges:
        near, far = (edge.child, edge.base) if upward else (edge.base, edge.child)
        if far in names:
            steps[near].append((far, edge.relation))
    found: dict[str, Relative] = {}
    waiting = deque([(start, 0)])
    while waiting:
        name, distance = waiting.popleft()
        for far, relation in steps[name]:
            if far != start and far not in found:
                found[far] = Relative(
                    name=far, distance=distance + 1, relation=relation, via=name, known=known.get(far)
                )
                waiting.append((far, distance + 1))
    return tuple(sorted(found.values(), key=_order))


def _order(relative: Relative) -> tuple[int, int, str]:
    downloads = relative.known.downloads if relative.known else None
    return relative.distance, -(downloads or 0), relative.name
