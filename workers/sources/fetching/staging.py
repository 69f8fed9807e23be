"""Where files lie while they come in: a folder by their content, locked while somebody fills it, kept for the next one.

<room>/<key>/lock        held by whoever fills the folder
<room>/<key>/parts/…     files of which a part is there
<room>/<key>/whole/…     files that are whole and were checked, under their paths
<room>/<key>/placed      the folder that they were moved to, in case their move was not noted
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

LOCK, PARTS, WHOLE, PLACED = "lock", "parts", "whole", "placed"
WAIT_SECONDS = 0.2


class Staging:
    """The folder of one download, used in a `with` block, in which nobody else has it.

    room  folder of all downloads; key: names the files that are wanted, hex
    wait  called again and again while another process fills the folder; raises where it is not to be waited for
    """

    def __init__(self, room: Path, key: str, *, wait: Callable[[], object]) -> None:
        self.folder = room / key
        self._wait = wait
        self._lock = -1

    def __enter__(self) -> Self:
        while (lock := _locked(self.folder)) is None:
            self._wait()
            time.sleep(WAIT_SECONDS)
        self._lock = lock
        for name in (PARTS, WHOLE):
            (self.folder / name).mkdir(exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)

    @property
    def whole(self) -> Path:
        """The folder of the files that are whole, with their paths."""
        return self.folder / WHOLE

    @property
    def parts(self) -> Path:
        """The folder of files that are not whole yet."""
        return self.folder / PARTS

    @property
    def placed(self) -> str:
        """Where an earlier process moved the files before it was killed; "" where none did."""
        try:
            return (self.folder / PLACED).read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def note_placed(self, target: str) -> None:
        """Note where the files are about to be moved."""
        draft = self.folder / f"{PLACED}.new"
        draft.write_text(target, encoding="utf-8")
        draft.replace(self.folder / PLACED)

    def discard(self) -> None:
        """Delete all that came in; the lock is held until the block ends."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _locked(folder: Path) -> int | None:
    """An open file that locks the folder, which is made where it is not there; None while another process has it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return None  # it was discarded at this moment
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever had it may have discarded the folder between the two calls: then the lock is on a file that is gone.
        if path.stat().st_ino == os.fstat(handle).st_ino:
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(handle)
    return None


def discard(folder: Path) -> bool:
    """Delete what came in so far; False while a process fills it."""
    if not folder.is_dir():
        return True
    lock = _locked(folder)
    if lock is None:
        return False
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)
    return True


def sweep(room: Path, *, older_than_seconds: float) -> int:
    """Delete downloads that nobody went on with for that long, never one at work; returns how many."""
    oldest, removed = time.time() - older_than_seconds, 0
    for folder in list(room.glob("*")):
        try:
            is_old = max(path.stat().st_mtime for path in (folder, *folder.rglob("*"))) <= oldest
        except OSError:
            continue
        removed += is_old and discard(folder)
    return removed
