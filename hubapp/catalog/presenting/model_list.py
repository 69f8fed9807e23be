"""What the list of models says."""

from __future__ import annotations

from typing import Any

from hubapp.catalog.filters import FACETS, SORTS, ModelQuery
from hubapp.catalog.models import Model
from hubapp.catalog.selectors import Facet, facet_label


def list_sentence(query: ModelQuery, *, count: int) -> str:
    """What the model list shows, in words."""
    noun = f"{count:,} {'archived ' if query.is_archived else ''}model{'' if count == 1 else 's'}"
    parts = [f"with “{query.q}” in the text"] if query.q else []
    parts += [
        f"{facet} {' or '.join(facet_label(facet, value) for value in query.chosen(facet))}"
        for facet in FACETS
        if query.chosen(facet)
    ]
    order = SORTS[query.sort.removeprefix("-")].lower()
    direction = {"newest": "the newest first", "-newest": "the oldest first"}.get(
        query.sort, f"by {order}{', descending' if query.sort.startswith('-') else ''}"
    )
    return f"{' '.join([noun, *parts[:1]])}{''.join(f', {part}' for part in parts[1:])}, {direction}."


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
        "architecture": model.architecture,
        "licence": model.licence,
        "origin": model.origin,
        "is_control": model.is_control,
        "created_at": model.created_at,
        "archived_at": model.archived_at,
        "url": model.get_absolute_url(),
        "revision": revision.digest if revision else None,
        "parameters": revision.parameters if revision else None,
        "size_bytes": revision.size_bytes if revision else None,
        "error": revision.error_message if revision else "",
    }


def facet_json(facet: Facet) -> dict[str, Any]:
    """A facet for the list's twin."""
    return {
        "name": facet.name,
        "values": [{"value": one.value, "count": one.count, "is_chosen": one.is_chosen} for one in facet.values],
    }
