"""What the pages of sources say."""

from __future__ import annotations

from typing import Any

from hubapp.catalog.models import Source


def source_json(source: Source, *, with_location: bool) -> dict[str, Any]:
    """A source as the twin gives it; its place on the server's disk for staff only."""
    return {
        "id": source.pk,
        "kind": source.kind,
        "title": source.title,
        **({"location": source.location} if with_location else {}),
        "models": getattr(source, "model_count", None),
        "synced_at": source.synced_at,
    }
