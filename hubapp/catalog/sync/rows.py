"""One record as a row for the staging table, in the text form of COPY."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from hubapp.catalog import facts
from hubapp.catalog.models import Source
from workers.sources.safety import record_safety

# Columns of the staging table that are columns of catalog_model too, with their types.
MODEL_COLUMNS: dict[str, str] = {
    "slug": "text",
    "author": "text",
    "hub_id": "text",
    "sha": "text",
    "task": "text",
    "modality": "text",
    "library": "text",
    "architecture": "text",
    "licence": "text",
    "licence_family": "text",
    "licence_stated": "text",
    "languages": "text[]",
    "formats": "text[]",
    "tags": "text[]",
    "dataset_names": "text[]",
    "relation": "text",
    "new_version": "text",
    "parameters": "bigint",
    "size_bytes": "bigint",
    "gated": "text",
    "is_private": "boolean",
    "is_restricted": "boolean",
    "published_at": "timestamptz",
    "updated_at": "timestamptz",
    "safety": "text",
    "documentation_level": "text",
}
COUNTERS = {"downloads": "bigint", "likes": "integer", "trending": "double precision"}
# What a hub changes without a change of the model: no part of the digest that tells changed records.
PASSING: tuple[str, ...] = (
    "downloads",
    "downloadsAllTime",
    "likes",
    "trendingScore",
    "spaces",
    "inference",
    "inferenceStatus",
)
PASSING += ("inferenceProviderMapping", "childrenModelCount")
OTHER_COLUMNS = {
    "position": "bigint",
    "title": "text",
    "record": "jsonb",
    "digest": "text",
    "base_names": "text[]",
    "base_relations": "text[]",
    "papers": "text[]",
}
STAGED = {**OTHER_COLUMNS, **MODEL_COLUMNS, **COUNTERS}
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
MOST_LIKES = 2**31 - 1
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False).encode


def staged_row(record: Mapping[str, Any], *, position: int, source: Source) -> tuple[str, str, str]:
    """The row of a checked record, as (name, hub id, line for COPY). Raises ValueError for numbers JSON lacks."""
    name = facts.text_of(record.get("id") or record.get("modelId"), 200)
    tags = facts.texts_of(record.get("tags"), most=facts.MAX_TAGS, limit=facts.MAX_TAG_CHARS)
    stated_card = record.get("cardData")
    card: Mapping[str, Any] = stated_card if isinstance(stated_card, dict) else {}
    names = facts.file_names(record)
    library = facts.library_of(record, tags)
    bases = facts.bases_of(record, card, tags, library)
    licence, family, stated = facts.licence_of(card, tags)
    task = facts.text_of(record.get("pipeline_tag") or card.get("pipeline_tag"), 60)
    stable = _encode({key: value for key, value in record.items() if key not in PASSING})
    passing = _encode({key: value for key, value in record.items() if key in PASSING})
    hub_id = facts.text_of(record.get("_id"), 24)
    hub_id = hub_id if facts.HUB_ID.fullmatch(hub_id) else ""
    sha = facts.text_of(record.get("sha"), 40)
    gated = _gated(record.get("gated"))
    is_private = record.get("private") is True
    published_at = facts.moment_of(record.get("createdAt"))
    values: tuple[Any, ...] = (
        position,
        name,
        f"{stable[:-1]}{',' if len(stable) > 2 and len(passing) > 2 else ''}{passing[1:]}",
        hashlib.blake2b(stable.encode("utf-8", "replace"), digest_size=16).hexdigest(),
        [base.name for base in bases],
        [base.relation for base in bases],
        facts.papers_of(tags),
        name,
        facts.text_of(record.get("author"), 200) or name.rpartition("/")[0],
        hub_id,
        sha if facts.SHA.fullmatch(sha) else "",
        task,
        facts.modality_of(task),
        library,
        facts.architecture_of(record),
        licence,
        family,
        stated,
        facts.languages_of(card, tags),
        facts.formats_of(names, tags),
        tags,
        facts.datasets_of(card, tags),
        bases[0].relation if bases else "",
        facts.text_of(card.get("new_version"), 200),
        facts.parameters_of(record),
        facts.size_of(record),
        gated,
        is_private,
        is_private or (bool(gated) and not source.shows_gated),
        published_at,
        facts.moment_of(record.get("lastModified")) or published_at,
        record_safety(names) if names is not None else "",
        "none" if names is not None and "README.md" not in names else "not-read",
        facts.count_of(record.get("downloads")),
        min(likes, MOST_LIKES) if (likes := facts.count_of(record.get("likes"))) is not None else None,
        facts.number_of(record.get("trendingScore")),
    )
    return name, hub_id, "\t".join(map(copy_text, values)) + "\n"


def _gated(value: object) -> str:
    return "auto" if value is True else value[:10] if isinstance(value, str) and value.isalpha() else ""


def copy_text(value: Any) -> str:
    """A value as a field of COPY's text form."""
    if value is None:
        return "\\N"
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, list):
        return _array(value).translate(_ESCAPES)
    return str(value)


def _array(values: Sequence[str]) -> str:
    if not values:
        return "{}"
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return '{"' + '","'.join(quoted) + '"}'
