"""Licence drift: models that state a licence which a base of theirs does not leave room for."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Any

from django.db import connection

from hubapp.catalog.licences import chain_verdict, licence_normalise

KINDS = {
    "no derivatives": "the base allows no changed versions to be shared",
    "non-commercial": "the base forbids commercial use, the derivative allows it",
    "same licence": "the base asks for the same licence, the derivative states another",
    "use restrictions": "the base restricts uses, the derivative does not",
    "more permissive": "the base sets conditions for commercial use, the derivative sets none",
}
"""Kinds of conflict in words, of the base and what was made of it."""
CHUNK = 20_000
_EDGES = """
SELECT l.child_id, b.licence, m.licence, l.relation
FROM catalog_baselink l JOIN catalog_model m ON m.id = l.child_id JOIN catalog_model b ON b.slug = l.base_name
WHERE b.id <> m.id AND m.archived_at IS NULL AND (%(sees_all)s OR NOT (m.is_restricted OR b.is_restricted))
"""


def drift_of(*, sees_all: bool) -> dict[str, Any]:
    """Derivatives whose base is in the catalogue, and how their licences stand to their bases'.

    derivatives  with a base here
    stated       of those, derivatives that state a licence and have a base here that states one
    unstated     of those, derivatives that state none though a base here does
    at_odds      of `stated`, derivatives that state more than a base leaves room for; `kinds` says how, and a
                 derivative with two bases may count under two kinds
    """
    derivatives: set[int] = set()
    stated: set[int] = set()
    unstated: set[int] = set()
    kinds: dict[str, set[int]] = {kind: set() for kind in KINDS}
    with connection.cursor() as cursor:
        cursor.execute(_EDGES, {"sees_all": sees_all})
        while rows := cursor.fetchmany(CHUNK):
            for child, base_licence, licence, relation in rows:
                derivatives.add(child)
                if base_licence:
                    (stated if licence else unstated).add(child)
                for kind in _conflicts(base_licence, licence, relation):
                    kinds[kind].add(child)
    counts = Counter({kind: len(children) for kind, children in kinds.items() if children})
    at_odds: set[int] = set().union(*kinds.values())
    return {
        "derivatives": len(derivatives),
        "stated": len(stated),
        "unstated": len(unstated),
        "at_odds": len(at_odds),
        "kinds": dict(counts.most_common()),
    }


@lru_cache(maxsize=50_000)
def _conflicts(base_licence: str, licence: str, relation: str) -> tuple[str, ...]:
    """The kinds of conflict between a base's licence and what was made of it; none where either is not stated."""
    if not base_licence or not licence:
        return ()
    chain = [("the base", licence_normalise(base_licence), relation)]
    verdict = chain_verdict(chain, licence_normalise(licence), "commercial")
    return tuple(conflict.kind for conflict in verdict.conflicts)
