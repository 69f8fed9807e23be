"""CSV and TSV files that lie in a zip, read without unpacking it."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from workers.kit import UserError
from workers.sources.datasets.class_folders import is_hidden
from workers.sources.datasets.csv_table import MAX_BYTES, CsvTable, csv_table
from workers.sources.formats.archive import member_bytes

ENDINGS = (".csv", ".tsv", ".tab")


def zip_tables(members: Mapping[str, zipfile.ZipInfo]) -> list[str]:
    """The paths of the tables, the outermost first."""
    found = [name for name in members if name.lower().endswith(ENDINGS) and not is_hidden(name)]
    return sorted(found, key=lambda name: (name.count("/"), name))


def zip_table(
    path: Path, members: Mapping[str, zipfile.ZipInfo], member: str, *, config: Mapping[str, Any]
) -> CsvTable:
    """The table of that path in the zip. config: has_header, delimiter.

    Raises UserError if there is none, it is too large, or as `read_csv` does.
    """
    info = members.get(member)
    if info is None:
        raise UserError(f"{path.name} holds no table {member!r}: pack a CSV or TSV file into it.", field="table")
    if info.file_size > MAX_BYTES:
        raise UserError(f"{member} holds more than {MAX_BYTES // 2**30} GB: choose a part of it or use Parquet.")
    return csv_table(
        bytes(member_bytes(path, info)),
        name=PurePosixPath(member).name,
        has_header=config.get("has_header"),
        delimiter=str(config.get("delimiter") or ""),
    )
