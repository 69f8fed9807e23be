"""The feature store: features by content key, written batch by batch, safe against killed and doubled workers.

Free of torch.

A key names what the features are of: model revision, data set revision, parameters and version. A finished key is a
folder that never changes; a key under way is a folder of its own writer, locked while the writer lives, so that a
worker that was killed leaves a folder that the next one takes over at the batch where it stopped.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from workers.kit import digest_of, file_digest

MANIFEST = "manifest.json"
FEATURES = "features.f32"
LOGITS = "logits.f32"
ROWS = "rows.npz"
LOCK = "lock"
LAYOUT = 2
PARTS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True, eq=False)
class RowFacts:
    """What the data set says of the rows; see `workers.sources.protocols.Dataset` for the fields."""

    labels: npt.NDArray[np.int64]
    row_ids: npt.NDArray[np.int64]
    classes: tuple[str, ...] = ()
    task: str = "classification"
    targets: npt.NDArray[Any] | None = None
    content_ids: npt.NDArray[np.int64] | None = None
    groups: npt.NDArray[np.int64] | None = None
    splits: tuple[str, ...] = ()

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays by name, those that there are; splits as places in `PARTS`."""
        found: dict[str, npt.NDArray[Any] | None] = {
            "labels": self.labels.astype("<i8"),
            "row_ids": self.row_ids.astype("<i8"),
            "targets": None if self.targets is None else np.asarray(self.targets),
            "content_ids": None if self.content_ids is None else self.content_ids.astype("<i8"),
            "groups": None if self.groups is None else self.groups.astype("<i8"),
            "splits": np.array([PARTS.index(part) for part in self.splits], dtype="<i8") if self.splits else None,
        }
        return {name: array for name, array in found.items() if array is not None}

    def digest(self) -> str:
        """A digest of all of it: what features of other rows, labels or groups do not share."""
        arrays = {name: [str(array.dtype), array.tolist()] for name, array in sorted(self.arrays().items())}
        return digest_of({"classes": list(self.classes), "task": self.task, "arrays": arrays})


@dataclass(frozen=True, kw_only=True, eq=False)
class Features(RowFacts):
    """Frozen features of one data set under one model, and what the data set says of the rows.

    x               (n, d) float32, or (n, t, d) of tokens; memory-mapped and read-only when it comes from the store
    logits          (n, s) float32 of the model's own classifier, memory-mapped; None where it has none
    source_classes  names of that classifier's classes; empty where the checkpoint does not say them
    row_ids         (n,) int64, index of the row in the source, the same for every model
    provenance      layer, pooling, preprocessing in words, precision, versions, device, timings
    """

    x: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32] | None = None
    source_classes: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StoredFeatures:
    """One finished key of the store, as lists and retention need it.

    tokens a row, 0 for one pooled vector; size_bytes on disk; created_at and used_at in seconds since 1970.
    """

    key: str
    rows: int
    dimensions: int
    tokens: int
    size_bytes: int
    created_at: float
    used_at: float
    provenance: dict[str, Any]


def feature_key(model_revision: str, dataset_revision: str, params: Mapping[str, Any], version: str) -> str:
    """The content key of features: 64 hex digits that depend on every argument and on nothing else."""
    return digest_of(
        {
            "model": model_revision,
            "dataset": dataset_revision,
            "params": dict(params),
            "version": version,
            "layout": LAYOUT,
        }
    )


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace a JSON file in one step, on disk before this returns."""
    temporary = path.with_name(f"{path.name}.new")
    with temporary.open("w", encoding="utf-8") as handle:
        json.dump(value, handle, ensure_ascii=False, indent=1, sort_keys=True)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(path)
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError, UnicodeDecodeError):
        return None
    return value if isinstance(value, dict) else None


def _lock(folder: Path, *, is_new: bool) -> int | None:
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


class _WrongSize(Exception):
    """A file does not hold what its manifest says."""


def _mapped(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    if path.stat().st_size != math.prod(shape) * 4:
        raise _WrongSize
    return np.memmap(path, dtype="<f4", mode="r", shape=shape)


class FeatureWriter:
    """Writes the features of one key, batch by batch; made by `FeatureStore.writer`, used in a `with` block.

    rows_done says how many rows an earlier writer of the same content left behind: go on there; `notes` are JSON
    values that writers pass on to their successors. `append` adds rows, `commit` makes the key visible. Leaving the
    block without `commit` keeps the rows for the next writer.
    """

    def __init__(
        self, store: FeatureStore, *, key: str, folder: Path, lock: int, manifest: dict[str, Any], sync_seconds: float
    ) -> None:
        self._store, self._key, self._folder, self._lock = store, key, folder, lock
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
        if time.monotonic() - self._synced_at >= self._sync_seconds:
            self.sync()

    def sync(self) -> None:
        """Put the rows on disk, then let the manifest say so; this order is what makes a resumed file correct."""
        for handle in self._handles():
            handle.flush()
            os.fsync(handle.fileno())
        self._manifest |= {"rows_done": self.rows_done, "notes": self.notes}
        _write_json(self._folder / MANIFEST, self._manifest)
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
        _write_json(self._folder / MANIFEST, self._manifest)
        self._store.publish(self._key, self._folder)
        self.close()
        found = self._store.open(self._key)
        if found is None:
            raise RuntimeError(f"the features {self._key} were deleted while they were stored")
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
        os.close(self._lock)

    def __enter__(self) -> FeatureWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class FeatureStore:
    """Features by key below a folder that every worker of this hub sees.

    `done/<2 hex>/<key>/` holds finished features, `building/<key>.<writer>/` what is under way.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._done = self.root / "done"
        self._building = self.root / "building"

    def _folder(self, key: str) -> Path:
        if len(key) != 64 or not set(key) <= set("0123456789abcdef"):
            raise ValueError(f"not a feature key: {key!r}")
        return self._done / key[:2] / key

    def open(self, key: str) -> Features | None:
        """The finished features of that key, memory-mapped, or None. Marks the key as used now."""
        folder = self._folder(key)
        manifest = _read_json(folder / MANIFEST)
        if manifest is None:
            return None
        rows, shape, logits = int(manifest["rows"]), tuple(manifest["shape"]), int(manifest["logits"])
        try:
            x = _mapped(folder / FEATURES, (rows, *shape))
            kept = _mapped(folder / LOGITS, (rows, logits)) if logits else None
            with np.load(folder / ROWS, allow_pickle=False) as arrays:
                found = {name: np.asarray(arrays[name]) for name in arrays}
            os.utime(folder / MANIFEST)
        except (FileNotFoundError, _WrongSize):
            return None
        places = found.pop("splits", None)
        return Features(
            **found,
            x=x,
            logits=kept,
            source_classes=tuple(manifest["source_classes"]),
            classes=tuple(manifest["classes"]),
            task=manifest["task"],
            splits=() if places is None else tuple(PARTS[place] for place in places),
            provenance={**manifest["provenance"], "features_digest": manifest["features_digest"]},
        )

    def writer(
        self,
        key: str,
        *,
        shape: tuple[int, ...],
        rows: RowFacts,
        logits: int = 0,
        source_classes: tuple[str, ...] = (),
        sync_seconds: float = 2.0,
    ) -> FeatureWriter:
        """A writer for that key: it takes over what a dead writer of the same content left, else starts anew.

        `shape` is that of one row's features, (d,) or (t, d); `logits` how many logits a row has.

        Two writers of one key work in folders of their own; the first to commit wins and both then read the same
        features. Rows are on disk and promised to a successor at least every `sync_seconds`.
        """
        self._folder(key)
        content = {
            "key": key,
            "rows": len(rows.labels),
            "shape": list(shape),
            "logits": logits,
            "source_classes": list(source_classes),
            "classes": list(rows.classes),
            "task": rows.task,
            "rows_digest": rows.digest(),
            "layout": LAYOUT,
        }
        self._building.mkdir(parents=True, exist_ok=True)
        for folder in sorted(self._building.glob(f"{key}.*"), key=self._rows_done, reverse=True):
            lock = _lock(folder, is_new=False)
            if lock is None:
                continue
            manifest = _read_json(folder / MANIFEST)
            if manifest is not None and all(manifest.get(name) == value for name, value in content.items()):
                return FeatureWriter(
                    self, key=key, folder=folder, lock=lock, manifest=manifest, sync_seconds=sync_seconds
                )
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)
        # Made under a name that other writers do not look for, so that it is locked before any of them sees it.
        name = uuid.uuid4().hex
        made = self._building / f"new.{name}"
        made.mkdir(mode=0o755)
        lock = _lock(made, is_new=True)
        if lock is None:
            raise RuntimeError(f"the new folder {made.name} is not ours")
        np.savez(made / ROWS, **rows.arrays())  # type: ignore[arg-type]
        (made / FEATURES).touch()
        (made / LOGITS).touch()
        manifest = {**content, "rows_done": 0, "notes": {}}
        _write_json(made / MANIFEST, manifest)
        folder = made.rename(self._building / f"{key}.{name}")
        return FeatureWriter(self, key=key, folder=folder, lock=lock, manifest=manifest, sync_seconds=sync_seconds)

    def _rows_done(self, folder: Path) -> int:
        return int((_read_json(folder / MANIFEST) or {}).get("rows_done", 0))

    def publish(self, key: str, folder: Path) -> None:
        """Move a finished folder to its place in one step; if the key is there already, drop it. For writers."""
        target = self._folder(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        (folder / LOCK).unlink()
        try:
            folder.rename(target)
        except OSError:
            # A folder cannot be renamed onto one that has files: another writer was first, and its bytes mean the same.
            # Only where those are damaged do they make room.
            if self.open(key) is None:
                self.delete(key)
                folder.rename(target)
            else:
                shutil.rmtree(folder, ignore_errors=True)
        _sync_folder(target.parent)

    def delete(self, key: str) -> bool:
        """Remove the finished features of that key; True if there were any. Readers that have them open keep them."""
        folder = self._folder(key)
        self._building.mkdir(parents=True, exist_ok=True)
        away = self._building / f"deleted.{uuid.uuid4().hex}"
        try:
            folder.rename(away)
        except FileNotFoundError:
            return False
        shutil.rmtree(away, ignore_errors=True)
        return True

    def __iter__(self) -> Iterator[StoredFeatures]:
        """Every finished key, in the order of the keys."""
        for folder in sorted(self._done.glob("??/*")):
            manifest = _read_json(folder / MANIFEST)
            if manifest is None or "created_at" not in manifest or manifest.get("layout") != LAYOUT:
                continue
            try:
                size = sum(path.stat().st_size for path in folder.iterdir())
                used_at = (folder / MANIFEST).stat().st_mtime
            except FileNotFoundError:
                continue
            yield StoredFeatures(
                key=folder.name,
                rows=int(manifest["rows"]),
                dimensions=int(manifest["shape"][-1]),
                tokens=int(manifest["shape"][0]) if len(manifest["shape"]) > 1 else 0,
                size_bytes=size,
                created_at=float(manifest["created_at"]),
                used_at=used_at,
                provenance=manifest["provenance"],
            )

    def size_bytes(self) -> int:
        """Bytes of all finished features."""
        return sum(entry.size_bytes for entry in self)

    def sweep(self, *, older_than_seconds: float = 86400.0) -> int:
        """Remove what dead writers left and nobody took over for that long; returns how many folders went."""
        removed = 0
        for folder in list(self._building.glob("*.*")):
            try:
                is_old = time.time() - folder.stat().st_mtime >= older_than_seconds
            except FileNotFoundError:
                continue
            if not is_old:
                continue
            lock = None if folder.name.startswith("deleted.") else _lock(folder, is_new=False)
            if lock is None and (folder / LOCK).exists():
                continue
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
            if lock is not None:
                os.close(lock)
        return removed
