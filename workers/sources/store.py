"""The feature store: features by content key, written batch by batch, safe against killed and doubled workers.

Free of torch.

A key names what the features are of: model revision, data set revision, parameters and version. A finished key is a
folder that never changes; a key under way is a folder of its own writer, locked while the writer lives, so that a
worker that was killed leaves a folder that the next one takes over at the batch where it stopped.
"""

from __future__ import annotations

import math
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from workers.kit import digest_of
from workers.sources.feature_rows import PARTS, Features, RowFacts
from workers.sources.feature_writer import (
    FEATURES,
    LOCK,
    LOGITS,
    MANIFEST,
    PROGRESS,
    FeatureWriter,
    lock_of,
    read_json,
    recovered,
    sync_folder,
    write_json,
)

__all__ = ["FeatureStore", "FeatureWriter", "Features", "RowFacts", "StoredFeatures", "feature_key"]

ROWS = "rows.npz"
LAYOUT = 2


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


class _WrongSize(Exception):
    """A file does not hold what its manifest says."""


def _mapped(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    if path.stat().st_size != math.prod(shape) * 4:
        raise _WrongSize
    return np.memmap(path, dtype="<f4", mode="r", shape=shape)


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
        manifest = read_json(folder / MANIFEST)
        if manifest is None or manifest.get("layout") != LAYOUT:
            return None
        rows, shape, logits = int(manifest["rows"]), tuple(manifest["shape"]), int(manifest["logits"])
        try:
            x = _mapped(folder / FEATURES, (rows, *shape))
            kept = _mapped(folder / LOGITS, (rows, logits)) if logits else None
            with (folder / ROWS).open("rb") as handle, np.load(handle, allow_pickle=False) as arrays:
                found = {name: np.asarray(arrays[name]) for name in arrays}
            os.utime(folder / MANIFEST)
        except (OSError, ValueError, EOFError, BadZipFile, _WrongSize):
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
            lock = lock_of(folder, is_new=False)
            if lock is None:
                continue
            manifest = read_json(folder / MANIFEST)
            if manifest is not None and all(manifest.get(name) == value for name, value in content.items()):
                return FeatureWriter(
                    self.publish,
                    key=key,
                    folder=folder,
                    lock=lock,
                    manifest=recovered(folder, manifest),
                    sync_seconds=sync_seconds,
                )
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)
        # Made under a name that other writers do not look for, so that it is locked before any of them sees it.
        name = uuid.uuid4().hex
        made = self._building / f"new.{name}"
        made.mkdir(mode=0o755)
        lock = lock_of(made, is_new=True)
        if lock is None:
            raise RuntimeError(f"the new folder {made.name} is not ours")
        with (made / ROWS).open("wb") as handle:
            np.savez(handle, **rows.arrays())  # type: ignore[arg-type]
            handle.flush()
            os.fsync(handle.fileno())
        (made / FEATURES).touch()
        (made / LOGITS).touch()
        manifest = {**content, "rows_done": 0, "notes": {}}
        write_json(made / MANIFEST, manifest)
        folder = made.rename(self._building / f"{key}.{name}")
        return FeatureWriter(
            self.publish, key=key, folder=folder, lock=lock, manifest=manifest, sync_seconds=sync_seconds
        )

    def _rows_done(self, folder: Path) -> int:
        return int((read_json(folder / MANIFEST) or {}).get("rows_done", 0))

    def publish(self, key: str, folder: Path) -> Features:
        """Move a finished folder to its place in one step and return what is there now. For writers.

        If the key is there already the folder is dropped: another writer was first, and its features count.
        """
        target = self._folder(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        for name in (LOCK, PROGRESS):
            (folder / name).unlink(missing_ok=True)
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
        sync_folder(target.parent)
        found = self.open(key)
        if found is None:
            raise RuntimeError(f"the features {key} were deleted while they were stored")
        return found

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
            manifest = read_json(folder / MANIFEST)
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

    def shrink(self, *, budget_bytes: int, keeps: Callable[[StoredFeatures], bool]) -> list[StoredFeatures]:
        """Delete finished features, the longest unused first, until the rest fits the budget; returns what went.

        What `keeps` says yes to stays whatever the size; so does what was used since it was looked at.
        """
        entries = sorted(self, key=lambda entry: entry.used_at)
        excess = sum(entry.size_bytes for entry in entries) - budget_bytes
        gone = []
        for entry in entries:
            if excess <= 0:
                break
            if keeps(entry) or self._used_at(entry.key) > entry.used_at or not self.delete(entry.key):
                continue
            excess -= entry.size_bytes
            gone.append(entry)
        return gone

    def _used_at(self, key: str) -> float:
        try:
            return (self._folder(key) / MANIFEST).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def sweep(self, *, older_than_seconds: float = 86400.0) -> int:
        """Remove what dead writers left and nobody took over for that long, and what an older layout left behind.

        Returns how many folders went.
        """
        removed, oldest = 0, time.time() - older_than_seconds
        for folder in list(self._done.glob("??/*")):
            manifest = read_json(folder / MANIFEST)
            if manifest is not None and manifest.get("layout") != LAYOUT and self._used_at(folder.name) <= oldest:
                removed += self.delete(folder.name)
        for folder in list(self._building.glob("*.*")):
            try:
                is_old = folder.stat().st_mtime <= oldest
            except FileNotFoundError:
                continue
            if not is_old:
                continue
            lock = None if folder.name.startswith("deleted.") else lock_of(folder, is_new=False)
            if lock is None and (folder / LOCK).exists():
                continue
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
            if lock is not None:
                os.close(lock)
        return removed
