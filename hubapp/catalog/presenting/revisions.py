"""What twins say of the differences of two revisions."""

from __future__ import annotations

from typing import Any

from hubapp.catalog.versions import Names, RevisionDiff

MOST_NAMES = 5_000  # of one kind


def diff_json(diff: RevisionDiff | None) -> dict[str, Any] | None:
    """The differences of two revisions for a model's twin."""
    if diff is None:
        return None
    return {
        "from": diff.before.digest,
        "to": diff.after.digest,
        "files": _names_json(diff.files),
        "tensors": _names_json(diff.tensors),
        "card": [{"kind": line.kind, "text": line.text} for line in diff.card],
        "note": diff.note,
    }


def _names_json(names: Names) -> dict[str, Any]:
    return {
        "added": names.added[:MOST_NAMES],
        "removed": names.removed[:MOST_NAMES],
        "changed": [{"name": one.name, "before": one.before, "after": one.after} for one in names.changed[:MOST_NAMES]],
        "unknown": names.unknown[:MOST_NAMES],
        "unchanged": names.unchanged,
    }
