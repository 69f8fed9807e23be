"""How features get onto the disk: batch by batch, locked while their writer lives, and each step survives a kill."""

from __future__ import annotations

import fcntl
import json
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from workers.kit import file_digest
from workers.sources.feature_rows import Features

MANIFEST = "manifest.json"
FEATURES = "features.f32"
LOGITS = "logits.f32"
LOCK = "lock"
PROGRESS = "progress"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace a JSON file in one step, on disk before this returns."""
    temporary = path.with_name(f"{path.name}.new")
    with temporary.open("w", encoding="utf-8") as handle:
        json.dump(value, handle, ensure_ascii=False, indent=1, sort_keys=True)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Put a folder's entries on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None where there is no such file or something else in it."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError, UnicodeDecodeError):
        return None
    return value if isinstance(value, dict) else None


def lock_of(folder: Path, *, is_new: bool) -> int | None:
    """The lock of a writer's folder: an open file descriptor, or None if a living writer holds it or it is gone."""
    path = folder / LOCK
    flags = os.O_RDWR | (os.O_CREAT | os.O_EXCL if is_new else 0)
    try:
        handle = os.open(path, flags, 0o600)
    except (FileNotFoundError, FileExistsError, NotADirectoryError):
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The folder may have been finished and moved between open and lock: then the lock is on a file that is no more.
        if path.stat().st_ino == os.fstat(handle).st_ino:
            return handle
    except (BlockingIOError, FileNotFoundError, NotADirectoryError):
        pass
    os.close(handle)
    return None


def boot_id() -> str:
    """What this start of this machine is called; empty where the system does not say."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def recovered(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with the rows of a writer that was killed since it last synced.

    What a killed process had handed to the system is not lost while the machine runs; after a restart, or on another
    machine, only what was synced counts.
    """
    progress = read_json(folder / PROGRESS) or {}
    rows = int(progress.get("rows_done", 0))
    if not boot_id() or progress.get("boot_id") != boot_id() or rows <= int(manifest["rows_done"]):
        return dict(manifest)
    needed = {FEATURES: math.prod(manifest["shape"]), LOGITS: int(manifest["logits"])}
    if any((folder / name).stat().st_size < rows * numbers * 4 for name, numbers in needed.items()):
        return dict(manifest)
    return {**manifest, "rows_done": rows, "notes": progress["notes"]}


class FeatureWriter:
    """Writes the features of one key, batch by batch; made by `FeatureStore.writer`, used in a `with` block.

    rows_done says how many rows an earlier writer of the same content left behind: go on there; `notes` are JSON
    values that writers pass on to their successors. `append` adds rows, `commit` makes the key visible. Leaving the
    block without `commit` keeps the rows for the next writer.
    """

    def __init__(
        self,
        publish: Callable[[str, Path], Features],
        *,
        key: str,
        folder: Path,
        lock: int,
        manifest: dict[str, Any],
        sync_seconds: float,
    ) -> None:
        self._publish, self._key, self._folder, self._lock = publish, key, folder, lock
        self._manifest = manifest
        self._sync_seconds = sync_seconds
        self._synced_at = time.monotonic()
        self._is_open = True
        self.rows_done = int(manifest["rows_done"])
        self.notes: dict[str, Any] = dict(manifest["notes"])
        self._shape = tuple(int(size) for size in manifest["shape"])
        self._logits = int(manifest["logits"])
        self._handle = self._opened(FEATURES, math.prod(self._shape))
        self._logit_handle = self._opened(LOGITS, self._logits) if self._logits else None
        self._progress = os.open(folder / PROGRESS, os.O_WRONLY | os.O_CREAT, 0o644)
        self._boot_id, self._progress_bytes = boot_id(), os.fstat(self._progress).st_size

    def _opened(self, name: str, numbers: int) -> BinaryIO:
        """A file of that many float32 a row, at its end; what lies beyond the manifest's word may be half a batch."""
        handle = (self._folder / name).open("r+b")
        handle.truncate(self.rows_done * numbers * 4)
        handle.seek(0, os.SEEK_END)
        return handle

    def append(self, batch: npt.NDArray[np.float32], logits: npt.NDArray[np.float32] | None = None) -> None:
        """Add the features (n, d) or (n, t, d), and the logits (n, s), of the rows after those that are done.

        Raises ValueError on a wrong shape or too many rows.
        """
        if batch.shape[1:] != self._shape:
            raise ValueError(f"expected (n, {', '.join(map(str, self._shape))}) features, got {batch.shape}")
        if self.rows_done + len(batch) > self._manifest["rows"]:
            raise ValueError(f"{self.rows_done + len(batch)} rows where {self._manifest['rows']} were announced")
        if (0 if logits is None else logits.shape[1]) != self._logits:
            raise ValueError(f"expected {self._logits} logits a row, got {None if logits is None else logits.shape}")
        self._handle.write(np.ascontiguousarray(batch, dtype="<f4").tobytes())
        if self._logit_handle is not None:
            self._logit_handle.write(np.ascontiguousarray(logits, dtype="<f4").tobytes())
        self.rows_done += len(batch)
        for handle in self._handles():
            handle.flush()
        self._note_progress()
        if time.monotonic() - self._synced_at >= self._sync_seconds:
            self.sync()

    def _note_progress(self) -> None:
        """Let a successor on this machine know of rows that are written but not yet synced: one small write."""
        progress = {"boot_id": self._boot_id, "rows_done": self.rows_done, "notes": self.notes}
        text = json.dumps(progress).encode()
        os.pwrite(self._progress, text.ljust(self._progress_bytes), 0)
        self._progress_bytes = max(self._progress_bytes, len(text))

    def sync(self) -> None:
        """Put the rows on disk, then let the manifest say so; this order is what makes a resumed file correct."""
        for handle in self._handles():
            handle.flush()
            os.fsync(handle.fileno())
        self._manifest |= {"rows_done": self.rows_done, "notes": self.notes}
        write_json(self._folder / MANIFEST, self._manifest)
        self._synced_at = time.monotonic()

    def _handles(self) -> list[BinaryIO]:
        return [self._handle, *([self._logit_handle] if self._logit_handle is not None else [])]

    def commit(self, provenance: Mapping[str, Any]) -> Features:
        """Make the key visible and return its features, those of another writer if that one was first.

        Raises ValueError if rows are missing.
        """
        if self.rows_done != self._manifest["rows"]:
            raise ValueError(f"{self.rows_done} of {self._manifest['rows']} rows are written")
        self.sync()
        for handle in self._handles():
            handle.close()
        self._manifest |= {
            "provenance": dict(provenance),
            "created_at": time.time(),
            "features_digest": file_digest(self._folder / FEATURES),
        }
        write_json(self._folder / MANIFEST, self._manifest)
        found = self._publish(self._key, self._folder)
        self.close()
        return found

    def close(self) -> None:
        """Let go of the folder; rows that are not committed stay for the next writer."""
        if not self._is_open:
            return
        self._is_open = False
        if not self._handle.closed:
            if self._folder.exists():
                self.sync()
            for handle in self._handles():
                handle.close()
        os.close(self._progress)
        os.close(self._lock)

    def __enter__(self) -> FeatureWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
