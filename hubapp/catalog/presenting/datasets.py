"""What the pages of data sets say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hubapp.catalog.models import Dataset, DatasetRevision


def sample_sentence(revision: DatasetRevision) -> str:
    """How the rows were chosen, in words."""
    config = revision.config
    source_rows = revision.profile.get("source_rows", 0)
    of_all = f" of {source_rows:,}" if source_rows > revision.rows else ""
    if config.get("sample"):
        chosen = f"A fixed stratified sample of {revision.rows:,}{of_all} rows, seed {config.get('seed', 0)}"
    else:
        chosen = f"All {revision.rows:,} rows"
    size = config.get("image_size")
    return f"{chosen}{f', images scaled to {size} × {size} pixels' if size else ''}."


@dataclass(frozen=True, kw_only=True)
class ClassCount:
    """A class of a data set; `count` and `share` (of the largest) are None before the data set was profiled."""

    name: str
    count: int | None = None
    share: float | None = None


def class_counts(revision: DatasetRevision) -> list[ClassCount]:
    """The classes in label order with their rows, from the profile."""
    counts = revision.profile.get("counts")
    if not isinstance(counts, list) or len(counts) != len(revision.classes):
        return [ClassCount(name=name) for name in revision.classes]
    most = max(counts, default=1) or 1
    return [
        ClassCount(name=name, count=count, share=count / most)
        for name, count in zip(revision.classes, counts, strict=True)
    ]


def dataset_json(dataset: Dataset) -> dict[str, Any]:
    """A data set as the twins give it."""
    revision = dataset.current_revision
    return {
        "slug": dataset.slug,
        "title": dataset.title,
        "meaning": dataset.meaning,
        "modality": dataset.modality,
        "task": dataset.task,
        "licence": dataset.licence,
        "origin": dataset.origin,
        "created_at": dataset.created_at,
        "archived_at": dataset.archived_at,
        "url": dataset.get_absolute_url(),
        "revision": revision
        and {
            "digest": revision.digest,
            "source": revision.source,
            "config": revision.config,
            "rows": revision.rows,
            "classes": revision.classes,
            "sample": sample_sentence(revision),
            "profile": revision.profile,
        },
    }
