"""Finished cells of few-shot grids, kept while and after a grid runs, so that a killed worker repeats none of them.

A cell is one fit scored on the test rows. Its key names everything that its numbers follow from, so the same cell is
found by a later grid with more shots, heads or metrics. A cell is one small npz file, written beside its place, synced
and renamed, so that readers see all of it or nothing; what is damaged is computed again. Free of torch.
"""

from __future__ import annotations

import hashlib
import io
import os
import time
import uuid
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.kit import digest_of

FOLDER = "cells"
LAYOUT = 1
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold: files then depend on their content alone
DAY_SECONDS = 86_400.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Cell:
    """What one fit left behind.

    logits     (N, C) float32 on the test rows, each row centred
    choice     what was chosen on the validation rows, in words
    converged  False if the optimiser stopped before its tolerance
    """

    logits: NDArray[np.float32]
    choice: str = ""
    converged: bool = True


def rows_digest(*arrays: NDArray[Any]) -> str:
    """SHA-256 over shapes, kinds and bytes of these arrays, 64 hex digits."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype.str}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def cell_key(
    *, features: str, rows: str, head: str, head_version: str, params: Mapping[str, Any], texts: str, version: str
) -> str:
    """The name of one cell: 64 hex digits that depend on every argument and on nothing else.

    features  digest of the feature matrix, which holds model, layer, pooling and preprocessing
    rows      digest of the row ids and labels of the training, validation and test rows
    params    what the head was made with, its seed included
    texts     digest of the class texts, "" where the head reads none
    version   the analysis' version
    """
    return digest_of(
        {
            "features": features,
            "rows": rows,
            "head": head,
            "head_version": head_version,
            "params": dict(params),
            "texts": texts,
            "version": version,
            "layout": LAYOUT,
        }
    )


def write_npz(target: Path | io.BytesIO, arrays: Mapping[str, NDArray[Any]]) -> None:
    """An npz whose bytes follow from its arrays alone: fixed times, given order; what does not shrink is stored."""
    with zipfile.ZipFile(target, "w") as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=EPOCH)
            entry.compress_type = zipfile.ZIP_STORED if array.dtype.kind == "f" else zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as handle:
                np.lib.format.write_array(handle, np.asanyarray(array), allow_pickle=False)


class CellStore:
    """The cells below a folder that all workers share (`Context.store_dir`): `cells/<2 hex>/<key>.npz`."""

    def __init__(self, root: Path) -> None:
        self._folder = Path(root) / FOLDER

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.npz"

    def get(self, key: str) -> Cell | None:
        """The cell of that key, marked as used now; None if there is none or if it is damaged."""
        path = self._path(key)
        try:
            with path.open("rb") as handle, np.load(handle, allow_pickle=False) as arrays:
                cell = Cell(
                    logits=np.asarray(arrays["logits"], dtype=np.float32),
                    choice=str(arrays["choice"]),
                    converged=bool(arrays["converged"]),
                )
            os.utime(path)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return cell

    def put(self, key: str, cell: Cell) -> None:
        """Keep the cell: on disk when this returns; that of another worker at the same cell is replaced."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        write_npz(
            content,
            {
                "logits": cell.logits,
                "choice": np.array(cell.choice, dtype=np.str_),
                "converged": np.array(cell.converged),
            },
        )
        written = path.with_name(f"{path.name}.{uuid.uuid4().hex}.new")
        try:
            with written.open("wb") as handle:
                handle.write(content.getbuffer())
                handle.flush()
                os.fsync(handle.fileno())
            written.replace(path)
        finally:
            written.unlink(missing_ok=True)


def sweep_cells(store_dir: Path, older_than: float = 30 * DAY_SECONDS) -> int:
    """Remove the cells, and what dead writers left, that nobody used for that many seconds; returns how many went."""
    removed = 0
    oldest = time.time() - older_than
    for path in (Path(store_dir) / FOLDER).glob("??/*"):
        try:
            if path.stat().st_mtime <= oldest:
                path.unlink()
                removed += 1
        except FileNotFoundError:
            continue
    return removed
