"""Hub records for tests: made ones, and the real ones where they lie beside the checkout."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

REAL = Path(__file__).resolve().parents[3] / "shared/data/hub/stalnaker_2024-07"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="The real hub records are not here.")

# Everything that a sync writes, without the numbers of rows and the moments of writing.
FINGERPRINT = """
SELECT m.slug, m.hub_id, m.sha, m.task, m.library, m.licence, m.tags, m.languages, m.formats, m.relation, m.parameters,
    m.downloads, m.likes, m.is_missing, m.is_restricted, m.published_at, m.updated_at, m.safety, m.facets::text,
    r.record::text, r.digest,
    (SELECT array_agg(b.base_name || ' ' || b.relation ORDER BY b.base_name) FROM catalog_baselink b
        WHERE b.child_id = m.id),
    (SELECT array_agg(p.arxiv_id ORDER BY p.arxiv_id) FROM catalog_paperlink l JOIN catalog_paper p ON p.id = l.paper_id
        WHERE l.model_id = m.id),
    (SELECT array_agg(y.downloads::text || ' ' || y.likes::text ORDER BY y.day) FROM catalog_popularity y
        WHERE y.model_id = m.id)
FROM catalog_model m LEFT JOIN catalog_record r ON r.model_id = m.id ORDER BY m.slug
"""


def record(name: str, **facts: Any) -> dict[str, Any]:
    """A record as a hub gives it."""
    digest = hashlib.sha1(name.encode()).hexdigest()
    return {
        "_id": digest[:24],
        "id": name,
        "modelId": name,
        "author": name.rpartition("/")[0],
        "sha": digest,
        "lastModified": "2024-05-02T10:00:00.000Z",
        "createdAt": "2024-05-01T10:00:00.000Z",
        "private": False,
        "gated": False,
        "downloads": 100,
        "likes": 3,
        "tags": ["transformers", "safetensors", "license:mit", "region:us"],
        "pipeline_tag": "text-classification",
        "library_name": "transformers",
        **facts,
    }


def write_lines(path: Path, lines: Iterable[Any]) -> Path:
    """An NDJSON file of values, or of bytes as they are; gzipped if its name says so."""
    body = b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    path.write_bytes(gzip.compress(body) if path.suffix == ".gz" else body)
    return path


def real_lines(name: str) -> list[dict[str, Any]]:
    """The real records of a file."""
    with gzip.open(REAL / name) as source:
        return [json.loads(line) for line in source]


def real_pages() -> list[list[dict[str, Any]]]:
    """The five list pages, as the Hub answered them."""
    paths = sorted((REAL / "list_pages_2024-07").glob("*.json.gz"))
    return [json.loads(gzip.decompress(path.read_bytes())) for path in paths]


def fingerprint() -> list[tuple[Any, ...]]:
    """The state of the catalogue."""
    with connection.cursor() as cursor:
        # Rows of this very transaction are not in the planner's statistics: it would join thousands one by one.
        cursor.execute("SET enable_nestloop = off")
        cursor.execute(FINGERPRINT)
        found = list(cursor.fetchall())
        cursor.execute("RESET enable_nestloop")
        return found
