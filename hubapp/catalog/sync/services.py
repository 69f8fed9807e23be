"""Syncing a source, whatever its kind: from the shell, from a job, from a schedule."""

from __future__ import annotations

import datetime as dt
import threading
from pathlib import Path

from django.db import connection

from hubapp.catalog.demo import demo_import
from hubapp.catalog.entries import SourceSyncSpec
from hubapp.catalog.models import RefusedRecord, Source, SyncRun
from hubapp.catalog.search import rollups
from hubapp.catalog.search.saving import saved_searches_notify
from hubapp.catalog.sync.batches import ahead, record_batches
from hubapp.catalog.sync.dumps import dump_check, dump_entries, dump_total
from hubapp.catalog.sync.folders import folder_take
from hubapp.catalog.sync.hub import hub_batches, hub_client
from hubapp.catalog.sync.runs import (
    Progress,
    batches_take,
    only_one,
    recorded,
    removed_note,
    run_open,
    run_sentence,
)
from workers.kit import Context, Outcome, Table, UserError

# What changed while the last sync ran, and clocks that differ.
OVERLAP = dt.timedelta(days=1)
MANY = 10_000  # changes after which the planner's statistics are wrong


def source_sync(
    source: Source, *, is_recent: bool = False, is_fresh: bool = False, on_progress: Progress | None = None
) -> SyncRun:
    """Bring the catalogue in line with the source and return the run with its report.

    A run that did not end is taken up where it stopped, unless `is_fresh`. `is_recent` asks a hub only for what changed
    since the last whole sync; what it deleted is then not noticed. Raises UserError; the run keeps its sentence.
    """
    with only_one(source):
        is_recent = is_recent and source.kind == Source.Kind.HUB
        run = run_open(source, is_recent=is_recent, is_fresh=is_fresh)
        with recorded(run):
            if source.kind == Source.Kind.HUB:
                _hub(run, source=source, is_recent=is_recent, on_progress=on_progress)
            elif source.kind == Source.Kind.DUMP:
                _dump(run, source=source, on_progress=on_progress)
            elif source.kind == Source.Kind.FOLDER:
                folder_take(run, source=source, on_progress=on_progress)
            else:
                _demo(run, on_progress=on_progress)
        if not is_recent:
            source.synced_at = run.started_at  # not of the attempt: what changed since then is asked for again
            source.save(update_fields=["synced_at"])
        if run.added or run.changed or run.removed:
            catalogue_settle(run.added + run.changed + run.removed)
    return run


def catalogue_settle(changes: int) -> None:
    """What follows a change of many models: statistics for the planner, roll-ups of the search, notices to people."""
    if changes > MANY:
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE catalog_model, catalog_record, catalog_baselink, catalog_paperlink")
    rollups.refresh()
    saved_searches_notify()


def _hub(run: SyncRun, *, source: Source, is_recent: bool, on_progress: Progress | None) -> None:
    until = str(run.cursor.get("until", ""))
    if is_recent and not run.cursor:
        if source.synced_at is None:
            raise UserError("There was no whole sync yet, so there is nothing to be recent since. Sync it whole first.")
        until = (source.synced_at - OVERLAP).astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    stop = threading.Event()

    def wait() -> None:
        if on_progress:
            on_progress(run.done, run.total or 0, "waiting for the hub")

    with hub_client(source, should_stop=stop.is_set) as client:
        batches = hub_batches(
            client,
            source=source,
            cursor=run.cursor,
            first=run.done,
            expected=None if until else source.models.filter(is_missing=False).count(),
            until=until,
        )
        batches_take(run, ahead(batches, stop=stop, on_wait=wait), source=source, on_progress=on_progress)
    if not until:
        removed_note(run, source=source)


def _dump(run: SyncRun, *, source: Source, on_progress: Progress | None) -> None:
    path = Path(source.location)
    dump_check(path)
    state = path.stat()
    identity = {"size": state.st_size, "modified_ns": state.st_mtime_ns}
    if run.cursor and {name: run.cursor.get(name) for name in identity} != identity:
        # Another file lies there now: what was seen of the old one proves nothing.
        run.sightings.all().delete()
        run.done, run.cursor = 0, {}
    first = int(run.cursor.get("record", 0))
    total = dump_total(path)
    entries = dump_entries(path, skip=first)
    batches = record_batches(entries, source=source, first=first, total=total, cursor=identity)
    batches_take(run, ahead(batches), source=source, on_progress=on_progress)
    removed_note(run, source=source)


def _demo(run: SyncRun, *, on_progress: Progress | None) -> None:
    report = demo_import(on_progress=on_progress)
    run.added, run.unchanged, run.refused = len(report.imported), len(report.unchanged), len(report.missing)
    run.examples = {"added": report.imported, "marked": {}}
    run.done = run.total = run.added + run.unchanged + run.refused
    run.save()
    RefusedRecord.objects.bulk_create(
        RefusedRecord(run=run, position=place, reason=sentence[:1000])
        for place, sentence in enumerate(report.missing, start=1)
    )


def source_sync_run(spec: SourceSyncSpec, context: Context) -> Outcome:
    """The job "source_sync": sync one source and keep the report."""
    source = Source.objects.filter(pk=spec.source).first()
    if source is None:
        raise UserError("This source was deleted. Add it again.", field="source")
    run = source_sync(source, is_recent=spec.recent, is_fresh=spec.fresh, on_progress=context.checkpoint)
    for refusal in run.refusals.all()[:100]:
        context.log(f"{refusal.name or refusal.position}: {refusal.reason}", level="warning")
    rows = [(name, change) for change in ("added", "changed", "removed") for name in run.examples.get(change, [])]
    rows += [(one.name, f"refused: {one.reason}") for one in run.refusals.all()[:100]]
    rows += [(name, f"cannot be read: {why}") for name, why in run.examples.get("marked", {}).items()]
    return Outcome(
        summary={"sentence": run_sentence(run), "source": source.title, "run": run.pk},
        tables={"report": Table(columns=("model", "change"), rows=rows)},
    )
