"""Bringing a batch of records into the catalogue: COPY into a staging table, then a few statements over the batch.

Models are known by the hub's `_id` first, by their name second. The source that brought a model owns it; a record of
another source only adds what is new.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db import connection

from hubapp.catalog.models import Source, SyncRun
from hubapp.catalog.sync import statements

EXAMPLES = 100


class Refusal(NamedTuple):
    """A record that was set aside: its place from 1, its name, why, and how it begins."""

    position: int
    name: str
    reason: str
    excerpt: str = ""


@dataclass(frozen=True, kw_only=True)
class StagedBatch:
    """Records that are ready to be staged.

    lines     a line of COPY a record, in the order of `rows.STAGED`; each name and each hub id once
    cursor    where the next batch starts
    done      records up to here, refused and doubled ones counted
    doubled   records whose name came before in the batch
    """

    lines: Sequence[str]
    refused: Sequence[Refusal] = ()
    cursor: dict[str, Any] = field(default_factory=dict)
    done: int
    total: int | None = None
    doubled: int = 0


@dataclass(kw_only=True)
class BatchResult:
    """What a batch did: names of new and of changed models, and how many were as before or refused."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: int = 0
    refused: list[Refusal] = field(default_factory=list)


def stage_create() -> None:
    """Make the staging table of this connection; it empties itself at each commit."""
    with connection.cursor() as cursor:
        cursor.execute(statements.CREATE)


def batch_upsert(batch: StagedBatch, *, run: SyncRun, source: Source, now: dt.datetime) -> BatchResult:
    """Bring the batch in; belongs in a transaction, with the run's progress. Doing it twice changes nothing more."""
    result = BatchResult(unchanged=batch.doubled)
    if not batch.lines:
        return result
    given: dict[str, Any] = {"source": source.pk, "run": run.pk, "now": now, "day": now.date()}
    with connection.cursor() as cursor:
        cursor.execute(statements.SETTINGS)
        cursor.execute(statements.EMPTY)
        with cursor.copy(statements.COPY) as copy:
            copy.write("".join(batch.lines))
        cursor.execute(statements.MATCH_BY_ID)
        cursor.execute(statements.MATCH_BY_NAME)
        cursor.execute(statements.DECIDE, given)
        cursor.execute(statements.COUNTS)
        counts: dict[str, int] = dict(cursor.fetchall())
        for statement in _needed(counts):
            cursor.execute(statement, given)
        cursor.execute(statements.NAMES)
        for name, action in cursor.fetchall():
            (result.changed if action == "change" else result.added).append(name)
        if counts.get("refuse"):
            cursor.execute(statements.REFUSED)
            result.refused = [Refusal(*row) for row in cursor.fetchall()]
    result.unchanged += counts.get("same", 0) + counts.get("count", 0)
    return result


def _needed(counts: dict[str, int]) -> list[str]:
    """The statements that a batch of these actions needs, in order."""
    needed = []
    has_new, has_changed = counts.get("replace") or counts.get("add"), counts.get("change")
    if counts.get("replace"):
        needed.append(statements.RETIRE)
    if has_new:
        needed.append(statements.INSERT)
    if has_changed:
        needed += [statements.UPDATE, statements.FORGET_LINKS]
    if has_changed or counts.get("count"):
        needed += [statements.COUNT, statements.RECORD_UPDATE]
    if has_new or has_changed:
        needed += [statements.RECORD_INSERT, statements.BASES, statements.PAPERS, statements.PAPER_LINKS]
    if has_new or has_changed or counts.get("count"):
        needed.append(statements.POPULARITY)
    return [*needed, statements.SIGHTINGS]


def removed_mark(*, run: SyncRun, source: Source, now: dt.datetime) -> tuple[int, list[str]]:
    """Archive the models of the source that the whole run did not see; returns how many, and the first names."""
    with connection.cursor() as cursor:
        cursor.execute(statements.HASH)
        cursor.execute(statements.REMOVED, {"run": run.pk, "source": source.pk, "now": now, "most": EXAMPLES})
        count, names = cursor.fetchone()
        cursor.execute("DELETE FROM catalog_sighting WHERE run_id = %s", [run.pk])
    return count, names or []
