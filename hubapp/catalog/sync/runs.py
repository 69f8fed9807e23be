"""A run over a source: one at a time, its progress in its row, taken up again where a killed one stopped."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction
from django.utils import timezone

from hubapp.catalog.models import RefusedRecord, Source, SyncRun
from hubapp.catalog.sync.upsert import (
    EXAMPLES,
    BatchResult,
    Refusal,
    StagedBatch,
    batch_upsert,
    removed_mark,
    stage_create,
)
from workers.kit import Cancelled, UserError
from workers.sources.http import RequestError

logger = logging.getLogger(__name__)

LOCK_ROOM = 4_907  # the first number of the advisory lock; the second is the source's
RESUMABLE = dt.timedelta(days=3)  # a hub's cursor grows stale
TRIES = 3  # of a batch, when another sync brings the same names at the same moment
MOST_REFUSALS = 10_000
STUCK = ("refused", "bad-answer", "not-found")  # to ask for the same page again would not help
Progress = Callable[[int, int, str], None]


@contextmanager
def only_one(source: Source) -> Iterator[None]:
    """Hold the source's lock, which goes with the connection; raises UserError while another process holds it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [LOCK_ROOM, source.pk])
        (is_held,) = cursor.fetchone()
    if not is_held:
        raise UserError(
            f"{source.title} is being synced already. Wait until that has ended; its page shows how far it is."
        )
    try:
        yield
    finally:
        # With a lost connection the lock went too.
        with suppress(DatabaseError), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [LOCK_ROOM, source.pk])


def run_open(source: Source, *, is_recent: bool = False, is_fresh: bool = False) -> SyncRun:
    """The run to work on: the last one where it did not end, is of the same extent and can be taken up, else a new one.

    Call it under the source's lock: a run that still says "running" was then left by a process that died.
    """
    last = source.runs.first()
    if last is not None and last.status != SyncRun.Status.SUCCEEDED:
        is_young = timezone.now() - last.started_at < RESUMABLE
        is_alike = bool(last.cursor.get("until")) == is_recent
        if last.cursor and is_young and is_alike and not is_fresh:
            last.status, last.error_message, last.finished_at = SyncRun.Status.RUNNING, "", None
            last.save(update_fields=["status", "error_message", "finished_at"])
            return last
        if last.status == SyncRun.Status.RUNNING:
            _end(last, SyncRun.Status.FAILED, "The process that ran it died.")
        last.sightings.all().delete()
    return SyncRun.objects.create(source=source)


def _end(run: SyncRun, status: SyncRun.Status, sentence: str = "") -> None:
    run.status, run.error_message, run.finished_at = status, sentence[:1000], timezone.now()
    run.save(
        update_fields=["status", "error_message", "finished_at", "cursor", "total", "removed", "examples", "seconds"]
    )
    if status == SyncRun.Status.SUCCEEDED:
        run.sightings.all().delete()


@contextmanager
def recorded(run: SyncRun) -> Iterator[None]:
    """Let the run's row say how the work inside ended; an error passes on."""
    start = time.monotonic()
    before, done = run.seconds, run.done
    try:
        yield
    except Cancelled:
        run.seconds = before + time.monotonic() - start
        _end(run, SyncRun.Status.FAILED, "It was stopped. The next sync goes on from there.")
        raise
    except UserError as error:
        run.seconds = before + time.monotonic() - start
        if isinstance(error, RequestError) and error.kind in STUCK and run.done == done:
            run.cursor = {}  # the hub does not know the page any more: the next sync starts from the beginning
        _end(run, SyncRun.Status.FAILED, error.message)
        raise
    except Exception:
        run.seconds = before + time.monotonic() - start
        _end(run, SyncRun.Status.FAILED, "It ended by an error of Hubscope's own; the log has it.")
        raise
    run.seconds = before + time.monotonic() - start
    run.cursor = {}
    _end(run, SyncRun.Status.SUCCEEDED)


def batches_take(
    run: SyncRun, batches: Iterable[StagedBatch], *, source: Source, on_progress: Progress | None = None
) -> None:
    """Bring the batches in, each with the run's progress in one transaction: a kill loses no batch and doubles none."""
    stage_create()
    for batch in batches:
        result = _taken(run, batch, source=source)
        if on_progress:
            note = f"{run.added:,} added, {run.changed:,} changed, {run.unchanged:,} unchanged, {run.refused:,} refused"
            on_progress(run.done, run.total or 0, note)
        logger.debug("%s: %s added, %s changed", source, len(result.added), len(result.changed))


def _taken(run: SyncRun, batch: StagedBatch, *, source: Source) -> BatchResult:
    for attempt in range(TRIES):
        try:
            with transaction.atomic():
                result = batch_upsert(batch, run=run, source=source, now=timezone.now())
                progress_note(run, result, refused=[*batch.refused, *result.refused])
                run.done, run.cursor, run.total = batch.done, batch.cursor, batch.total
                run.save()
        except (IntegrityError, OperationalError):
            # Another sync was first with a name, or they waited for each other; nothing of the batch was kept.
            if attempt == TRIES - 1 or not connection.is_usable():
                raise
            run.refresh_from_db()
            continue
        return result
    raise AssertionError("not reached")


def progress_note(run: SyncRun, result: BatchResult, *, refused: list[Refusal]) -> None:
    """Add a batch to the run's counts and first names; does not save the run."""
    run.added += len(result.added)
    run.changed += len(result.changed)
    run.unchanged += result.unchanged
    run.refused += len(refused)
    for kind in ("added", "changed"):
        names: list[str] = run.examples.setdefault(kind, [])
        names += getattr(result, kind)[: EXAMPLES - len(names)]
    room = max(0, MOST_REFUSALS - (run.refused - len(refused)))
    RefusedRecord.objects.bulk_create(
        RefusedRecord(
            run=run, position=one.position, name=one.name[:300], reason=one.reason[:1000], excerpt=one.excerpt
        )
        for one in refused[:room]
    )


def removed_note(run: SyncRun, *, source: Source) -> None:
    """Archive what the whole run did not see, and note it. A source that lists nothing at all is not believed."""
    if not run.done and source.models.filter(is_missing=False).exists():
        raise UserError(
            f"{source.title} lists no model at all, so nothing was changed. Check its address and its token; if it is "
            "really empty, delete the source."
        )
    with transaction.atomic():
        run.removed, names = removed_mark(run=run, source=source, now=timezone.now())
        run.examples["removed"] = names
        run.save(update_fields=["removed", "examples"])


def run_report(run: SyncRun) -> dict[str, Any]:
    """The report as `manage.py sync --json` prints it."""
    return {
        "added": run.added,
        "changed": run.changed,
        "unchanged": run.unchanged,
        "removed": run.removed,
        "refused": run.refused,
        "seconds": round(run.seconds, 3),
    }


def run_sentence(run: SyncRun) -> str:
    """The report in one sentence."""
    counts = [(getattr(run, word), word) for word in ("added", "changed", "unchanged", "removed", "refused")]
    parts = [f"{count:,} {word}" for count, word in counts if count]
    marked = len(run.examples.get("marked", {}))
    return f"{', '.join(parts) or 'No model found'}{f'; {marked} cannot be read' if marked else ''}."
