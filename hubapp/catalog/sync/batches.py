"""Records in batches that are ready to be staged, prepared while the database is busy with the batch before."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from hubapp.catalog.models import Source
from hubapp.catalog.sync.dumps import Unreadable
from hubapp.catalog.sync.rows import staged_row
from hubapp.catalog.sync.upsert import Refusal, StagedBatch
from workers.sources.hub_records import name_of, record_kept

BATCH_RECORDS = 4000
EXCERPT_CHARS = 500


class BatchMaker:
    """Gathers records into a batch: checks each, makes its row, keeps the last of a doubled name."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.rows: dict[str, tuple[str, str]] = {}  # name → (hub id, line)
        self.ids: dict[str, str] = {}
        self.refused: list[Refusal] = []
        self.doubled = 0
        self.count = 0

    def add(self, entry: Any, *, position: int, is_checked: bool = False) -> None:
        """Take one record in, or set it aside; `is_checked` where `record_kept` has passed it already."""
        self.count += 1
        if isinstance(entry, Unreadable):
            self.refused.append(Refusal(position, "", entry.reason, entry.excerpt))
            return
        entry, problem = (entry, "") if is_checked else record_kept(entry)
        if problem:
            self.refuse(position, entry, f"It {problem}.")
            return
        try:
            name, hub_id, line = staged_row(entry, position=position, source=self.source)
            line.encode()
        except (ValueError, RecursionError) as error:
            self.refuse(position, entry, f"It cannot be stored ({str(error)[:100]}).")
            return
        earlier = self.ids.get(hub_id) if hub_id else None
        if name in self.rows or earlier is not None:
            self.doubled += 1
            self.rows.pop(earlier or name, None)
        if hub_id:
            self.ids[hub_id] = name
        self.rows[name] = (hub_id, line)

    def refuse(self, position: int, entry: Any, reason: str) -> None:
        """Set a record aside."""
        name = name_of(entry) if isinstance(entry, dict) else ""
        self.refused.append(Refusal(position, printable(name, 300), reason, printable(str(entry), EXCERPT_CHARS)))

    def batch(self, *, cursor: dict[str, Any], done: int, total: int | None) -> StagedBatch:
        """What was gathered; the maker is empty afterwards."""
        made = StagedBatch(
            lines=[line for _, line in self.rows.values()],
            refused=self.refused,
            cursor=cursor,
            done=done,
            total=total,
            doubled=self.doubled,
        )
        self.__init__(self.source)  # type: ignore[misc]
        return made


def printable(text: str, limit: int) -> str:
    """A stranger's text as it may be stored and shown: cut, without control characters and halves of characters."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text[:limit])


def record_batches(
    entries: Iterable[Any], *, source: Source, first: int, total: int | None, cursor: dict[str, Any]
) -> Iterator[StagedBatch]:
    """A stream of records in batches; `first` records came before. The cursor of a batch holds where it ends."""
    maker, done = BatchMaker(source), first
    for entry in entries:
        done += 1
        maker.add(entry, position=done)
        if maker.count >= BATCH_RECORDS:
            yield maker.batch(cursor={**cursor, "record": done}, done=done, total=total)
    if maker.count:
        yield maker.batch(cursor={**cursor, "record": done}, done=done, total=total)


_END = object()
WAIT_SECONDS = 2.0


def ahead(
    batches: Iterator[StagedBatch],
    *,
    depth: int = 2,
    stop: threading.Event | None = None,
    on_wait: Callable[[], None] = lambda: None,
) -> Iterator[StagedBatch]:
    """The same batches, made by a thread up to `depth` ahead; what it raises is raised here, in its place.

    stop     is set when the batches are not wanted any more, so that whoever makes them need not wait for a hub
    on_wait  is called every few seconds while the next batch is not there; what it raises ends the whole
    """
    made: queue.Queue[Any] = queue.Queue(maxsize=depth)
    is_over = stop or threading.Event()

    def put(item: Any) -> bool:
        while not is_over.is_set():
            try:
                made.put(item, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for batch in batches:
                if not put(batch):
                    return
        except BaseException as error:
            put(error)
        else:
            put(_END)

    thread = threading.Thread(target=work, name="sync-batches", daemon=True)
    thread.start()
    try:
        while True:
            try:
                item = made.get(timeout=WAIT_SECONDS)
            except queue.Empty:
                on_wait()
                continue
            if item is _END:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        is_over.set()
        thread.join(timeout=30)
