"""A matrix of similarities that people gave to items, brought as CSV or npz, kept by its content. Free of torch.

The file is a stranger's: it is read under caps, nothing is unpickled, and what is wrong is said in one sentence.
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
import uuid
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.kit import UserError, digest_of

Floats = npt.NDArray[np.float64]
FOLDER = "similarities"
FEWEST, MOST_ITEMS = 4, 2_000
MOST_BYTES = 64 * 2**20
LONGEST_NAME = 200
_SYMMETRIC = 1e-6  # of the largest entry
"""How far two mirrored entries may lie apart, as rounding in a text file makes them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Judgements:
    """Similarities of n items.

    names   of the items: classes of a data set, or row ids of it
    matrix  (n, n) symmetric, finite; the diagonal is not read
    """

    names: tuple[str, ...]
    matrix: Floats

    @property
    def digest(self) -> str:
        """Of the names and of the entries above the diagonal."""
        above = self.matrix[np.triu_indices(len(self.names), 1)]
        return digest_of({"names": list(self.names), "similarities": above.astype("<f8").tobytes().hex()})


def read_judgements(content: bytes, *, filename: str) -> Judgements:
    """The matrix of an uploaded file: CSV with the names in the first row and the first column, or npz.

    An npz holds `similarities` (n, n) and `names` (n,). Raises UserError, which says what is wrong and what to do.
    """
    if len(content) > MOST_BYTES:
        raise UserError(f"The file is larger than {MOST_BYTES // 2**20} MB: bring at most {MOST_ITEMS:,} items.")
    names, matrix = _from_npz(content) if filename.lower().endswith(".npz") else _from_csv(content)
    return _checked(names, matrix)


def _from_csv(content: bytes) -> tuple[list[str], Floats]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError("The file is not text in UTF-8: save the matrix as CSV, or as npz.") from None
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if any(line)]
    except csv.Error as error:
        raise UserError(f"The file is not CSV: {error}.") from None
    if len(lines) < 2:
        raise UserError("The file holds no matrix: write the names in the first row and in the first column.")
    if len(lines) - 1 > MOST_ITEMS:
        raise UserError(f"The matrix has {len(lines) - 1:,} rows; at most {MOST_ITEMS:,} items are read.")
    columns = [name.strip() for name in lines[0][1:]]
    names = [line[0].strip() for line in lines[1:]]
    if columns != names:
        raise UserError(
            "The names in the first row are not those of the first column, in the same order: write both alike."
        )
    matrix = np.empty((len(names), len(names)))
    for place, line in enumerate(lines[1:]):
        if len(line) != len(names) + 1:
            raise UserError(f"Row {place + 1} ({names[place][:40]}) has {len(line) - 1} numbers, not {len(names)}.")
        for column, cell in enumerate(line[1:]):
            try:
                matrix[place, column] = float(cell) if cell.strip() or place != column else 0.0
            except ValueError:
                raise UserError(
                    f"Row {place + 1}, column {column + 1} holds {cell[:40]!r}, which is no number."
                ) from None
    return names, matrix


def _from_npz(content: bytes) -> tuple[list[str], Floats]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > 2 * MOST_BYTES:
                raise UserError(f"The npz unfolds to more than {2 * MOST_BYTES // 2**20} MB.")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            held: dict[str, Any] = {name: np.asarray(arrays[name]) for name in arrays.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        raise UserError("The file is not an npz of plain arrays: save it with numpy.savez.") from None
    if "similarities" not in held or "names" not in held:
        raise UserError('The npz needs two arrays, "similarities" (n × n) and "names" (n).')
    matrix, names = held["similarities"], held["names"]
    if matrix.dtype.kind not in "fiub" or names.ndim != 1 or names.dtype.kind not in "Uiu":
        raise UserError('"similarities" must hold numbers, "names" texts or row numbers.')
    return [str(name).strip() for name in names.tolist()], matrix.astype(np.float64)


def _checked(names: list[str], matrix: Floats) -> Judgements:
    count = len(names)
    if matrix.ndim != 2 or matrix.shape != (count, count):
        raise UserError(f"The matrix is {' × '.join(map(str, matrix.shape))}, but there are {count} names.")
    if not FEWEST <= count <= MOST_ITEMS:
        raise UserError(f"The matrix has {count:,} items; bring {FEWEST} to {MOST_ITEMS:,}.")
    if any(not name or len(name) > LONGEST_NAME for name in names):
        raise UserError(f"Every item needs a name of at most {LONGEST_NAME} characters.")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UserError(f"The name {name[:60]!r} appears twice: each item is there once.")
        seen.add(name)
    matrix = matrix.copy()
    np.fill_diagonal(matrix, 0.0)
    if not np.isfinite(matrix).all():
        place = np.argwhere(~np.isfinite(matrix))[0]
        raise UserError(
            f"The similarity of {names[place[0]][:60]!r} and {names[place[1]][:60]!r} is missing or not finite: leave "
            "out one of the two items."
        )
    apart = np.abs(matrix - matrix.T)
    if apart.max() > _SYMMETRIC * max(1e-300, float(np.abs(matrix).max())):
        one, two = np.unravel_index(int(apart.argmax()), apart.shape)
        raise UserError(
            f"The matrix is not symmetric: {names[one][:60]!r} and {names[two][:60]!r} have {matrix[one, two]:g} one "
            f"way and {matrix[two, one]:g} the other. Bring their mean."
        )
    if math.isclose(np.ptp(matrix[np.triu_indices(count, 1)]), 0.0, abs_tol=0.0):
        raise UserError("All similarities are equal, so nothing can be correlated with them.")
    return Judgements(names=tuple(names), matrix=(matrix + matrix.T) / 2)


class JudgementStore:
    """The matrices below a folder that site and workers share (`Context.store_dir`): `similarities/<digest>.npz`."""

    def __init__(self, root: Path) -> None:
        self._folder = Path(root) / FOLDER

    def put(self, judgements: Judgements) -> str:
        """Keep a matrix, once; returns its digest."""
        digest = judgements.digest
        target = self._folder / f"{digest}.npz"
        if target.is_file():
            return digest
        self._folder.mkdir(parents=True, exist_ok=True)
        written = target.with_name(f"{digest}.{uuid.uuid4().hex}.new")
        try:
            with written.open("wb") as handle:
                np.savez_compressed(handle, similarities=judgements.matrix, names=np.array(judgements.names))
                handle.flush()
                os.fsync(handle.fileno())
            written.replace(target)
        finally:
            written.unlink(missing_ok=True)
        return digest

    def get(self, digest: str) -> Judgements:
        """The matrix of that digest; raises UserError where it is not there."""
        path = self._folder / f"{digest}.npz"
        if not re.fullmatch(r"[0-9a-f]{64}", digest) or not path.is_file():
            raise UserError("There is no such similarity matrix here: bring it again.", field="matrix")
        with np.load(path, allow_pickle=False) as arrays:
            return Judgements(names=tuple(arrays["names"].tolist()), matrix=np.asarray(arrays["similarities"]))
