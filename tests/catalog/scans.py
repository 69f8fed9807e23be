"""Folders for tests: synced as the site does it, with the report in plain values."""

from __future__ import annotations

from dataclasses import dataclass

from hubapp.catalog.models import Source
from hubapp.catalog.sync import run_sentence, source_sync


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What a sync of a folder did."""

    added: list[str]
    changed: list[str]
    unchanged: int
    removed: list[str]
    marked: dict[str, str]
    refused: dict[str, str]
    sentence: str


def scan(source: Source) -> Scan:
    """Sync the folder."""
    run = source_sync(source)
    run.refresh_from_db()
    assert run.status == run.Status.SUCCEEDED
    return Scan(
        **{kind: run.examples.get(kind, []) for kind in ("added", "changed", "removed")},
        unchanged=run.unchanged,
        marked=run.examples["marked"],
        refused={one.name: one.reason for one in run.refusals.all()},
        sentence=run_sentence(run),
    )
