"""Tables in Parquet files: one, or a folder of shards as the Hub and the library "datasets" write them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workers.kit import UserError
from workers.sources.datasets.class_folders import is_hidden, split_of
from workers.sources.datasets.columns import Column, described
from workers.sources.protocols import Dropped

MAX_ROWS = 20_000_000
MAX_SHARDS = 10_000
MAX_COLUMN_BYTES = 4 * 2**30
MAX_UNFOLDED_BYTES = 4 * 2**30
LOOKED_AT = 500
LONG_LOOKED_AT = 5
MAX_HEAD_BYTES = 64 * 2**20
_SHARD = re.compile(r"(?P<split>[A-Za-z]+)(?:[-_.].*)?\.parquet", re.IGNORECASE)
_DAMAGED = (pa.ArrowException, OSError, ValueError, KeyError, NotImplementedError, UnicodeDecodeError)


@dataclass(frozen=True, kw_only=True)
class _Shard:
    path: Path
    label: str
    split: str
    rows: int


@dataclass(frozen=True, kw_only=True, eq=False)
class ParquetTable:
    """A table that lies in shards; columns are read when they are asked for.

    features  the Hub's description of the columns, from the schema's metadata; {} where there is none
    texts     paths of the columns, and of the parts of a column, that hold texts or bytes
    """

    names: tuple[str, ...]
    shards: tuple[_Shard, ...]
    features: dict[str, Any]
    reading: str
    texts: frozenset[str] = frozenset()
    dropped: tuple[Dropped, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows all shards have."""
        return sum(shard.rows for shard in self.shards)

    @property
    def row_names(self) -> tuple[str, ...]:
        """A name for each row that a person can look up."""
        if len(self.shards) == 1:
            return tuple(f"row {row}" for row in range(self.rows))
        return tuple(f"row {row} of {shard.label}" for shard in self.shards for row in range(shard.rows))

    @property
    def splits(self) -> tuple[str, ...]:
        """The split of each row, by the names of the shards; empty where they name none."""
        if not any(shard.split for shard in self.shards):
            return ()
        return tuple(shard.split for shard in self.shards for _ in range(shard.rows))

    def column(self, name: str, rows: Sequence[int] | None = None) -> list[Any]:
        """The values of a column, of some rows (increasing) if they are given.

        Read row group by row group, so that only the wanted rows stay in memory. Raises UserError if there is no such
        column, it is too large or its file is damaged.
        """
        if name not in self.names:
            raise UserError(f"There is no column {name!r}. There are: {', '.join(self.names[:20])}.")
        wanted = None if rows is None else np.asarray(rows, dtype=np.int64)
        values: list[Any] = []
        start = unfolded = 0
        for shard in self.shards:
            try:
                # Texts stay as codes of a dictionary, so that what they unfold to is known before it is in memory.
                with pq.ParquetFile(
                    shard.path, read_dictionary=[path for path in self.texts if path.split(".")[0] == name]
                ) as file:
                    for group in range(file.metadata.num_row_groups):
                        count = file.metadata.row_group(group).num_rows
                        inside = None if wanted is None else _inside(wanted, start, count)
                        start += count
                        if inside is not None and not len(inside):
                            continue
                        self._refuse_large(file, group, name, shard.label)
                        found = file.read_row_group(group, columns=[name]).column(0)
                        found = found if inside is None else found.take(pa.array(inside))
                        unfolded += _unfolded_bytes(found)
                        if unfolded > MAX_UNFOLDED_BYTES:
                            raise _too_much(shard.label, name)
                        values += found.to_pylist()
            except _DAMAGED as error:
                raise _damaged(shard.label) from error
        return values

    def _refuse_large(self, file: pq.ParquetFile, group: int, name: str, label: str) -> None:
        facts = file.metadata.row_group(group)
        size = sum(
            facts.column(at).total_uncompressed_size
            for at in range(facts.num_columns)
            if facts.column(at).path_in_schema.split(".")[0] == name
        )
        if size > MAX_COLUMN_BYTES:
            raise UserError(
                f"{label} holds {size:,} bytes of {name!r} in one row group, more than can be read at once: write it "
                "with smaller row groups."
            )

    def columns(self) -> list[Column]:
        """What every column holds, by its first rows and by what the Hub's description says."""
        head = next((shard for shard in self.shards if shard.rows), self.shards[0])
        try:
            with pq.ParquetFile(head.path, read_dictionary=sorted(self.texts)) as file:
                values = {name: _head(file, name) for name in self.names}
        except _DAMAGED as error:
            raise _damaged(head.label) from error
        return [
            described(
                name,
                values[name],
                is_class=bool(self.class_names(name))
                or (name not in self.texts and pa.types.is_dictionary(file.schema_arrow.field(name).type)),
                kind=self._kind(name),
            )
            for name in self.names
        ]

    def _kind(self, name: str) -> str:
        """The kind that the Hub's description states; "" where it states none."""
        feature = self.features.get(name)
        if not isinstance(feature, dict):
            return "labels" if self.class_names(name) else ""
        known = {"Image": "image", "Audio": "audio", "ClassLabel": "integer"}.get(str(feature.get("_type")), "")
        return known or ("labels" if self.class_names(name) else "")

    def class_names(self, name: str) -> tuple[str, ...]:
        """Names of the classes of a column of ClassLabel, or of lists of them; () where the file states none."""
        feature = self.features.get(name)
        while isinstance(feature, (list, dict)):
            if isinstance(feature, list):
                feature = feature[0] if feature else None
            elif feature.get("_type") == "ClassLabel":
                names = feature.get("names")
                is_plain = isinstance(names, list) and all(isinstance(one, str) for one in names)
                return tuple(names) if is_plain and names else ()
            else:
                feature = feature.get("feature")
        return ()


def _too_much(label: str, name: str) -> UserError:
    return UserError(
        f"The column {name!r} of {label} would unfold to more than {MAX_UNFOLDED_BYTES // 2**30} GB: choose a part of "
        "the rows."
    )


def _unfolded_bytes(column: pa.ChunkedArray) -> int:
    """Bytes of a column once every value stands for itself."""
    total = 0
    for chunk in column.chunks:
        if pa.types.is_struct(chunk.type):
            parts = (pa.chunked_array([chunk.field(at)]) for at in range(chunk.type.num_fields))
            total += sum(_unfolded_bytes(part) for part in parts)
        elif pa.types.is_dictionary(chunk.type) and _is_text(chunk.type.value_type):
            lengths = pc.binary_length(chunk.dictionary)
            total += int(pc.sum(lengths.take(chunk.indices).cast(pa.int64())).as_py() or 0)
        else:
            total += int(chunk.nbytes)
    return total


def _head(file: pq.ParquetFile, name: str) -> list[Any]:
    """The first values of a column, fewer where they are long; group by group, as pyarrow needs it for nested ones."""
    found: list[Any] = []
    for group in range(file.metadata.num_row_groups):
        batches = file.iter_batches(batch_size=LOOKED_AT - len(found), row_groups=[group], columns=[name])
        if (batch := next(batches, None)) is None:
            continue
        column = batch.column(0)
        if _unfolded_bytes(pa.chunked_array([column])) > MAX_HEAD_BYTES:
            return found or list(column.slice(0, LONG_LOOKED_AT).to_pylist())
        found += column.to_pylist()
        if len(found) >= LOOKED_AT:
            break
    return found


def _texts_of(field: pa.Field) -> list[str]:
    if pa.types.is_struct(field.type):
        return [f"{field.name}.{part.name}" for part in field.type if _is_text(part.type)]
    return [field.name] if _is_text(field.type) else []


def _is_text(kind: pa.DataType) -> bool:
    checks = (pa.types.is_string, pa.types.is_binary, pa.types.is_large_string, pa.types.is_large_binary)
    return any(check(kind) for check in checks)


def _inside(wanted: np.ndarray[Any, np.dtype[np.int64]], start: int, count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return wanted[(wanted >= start) & (wanted < start + count)] - start


def _damaged(label: str) -> UserError:
    return UserError(f"{label} is no whole Parquet file: it is cut off or damaged. Upload it again.")


def _files(location: Path) -> list[tuple[Path, str]]:
    if location.is_file():
        return [(location, location.name)]
    found = sorted(
        (path, path.relative_to(location).as_posix())
        for path in location.rglob("*.parquet")
        if path.is_file() and not path.is_symlink() and not is_hidden(path.relative_to(location).as_posix())
    )
    if not found:
        raise UserError(f"The folder {location.name!r} holds no Parquet files: check what was chosen.")
    if len(found) > MAX_SHARDS:
        raise UserError(f"The folder {location.name!r} holds more than {MAX_SHARDS:,} Parquet files.")
    order = {"train": 0, "validation": 1, "": 2, "test": 3}
    return sorted(found, key=lambda one: (order[_split(one[1])], one[1]))


def _split(label: str) -> str:
    match = _SHARD.fullmatch(label.rsplit("/", 1)[-1])
    named = split_of(match["split"]) if match else ""
    return named or next((split for part in label.split("/")[:-1] if (split := split_of(part))), "")


def _features(schema: pa.Schema) -> dict[str, Any]:
    """The Hub's description of the columns; {} where there is none or it is damaged."""
    try:
        stated = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = stated["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return features if isinstance(features, dict) else {}


def read_parquet(location: Path) -> ParquetTable:
    """The table of a file, or of the shards of a folder: train before validation before test, then by name.

    Only footers are read. Raises UserError for damaged files, for shards of different columns and above MAX_ROWS.
    """
    shards: list[_Shard] = []
    schema: pa.Schema | None = None
    for path, label in _files(location):
        try:
            with pq.ParquetFile(path) as file:
                found, rows = file.schema_arrow, file.metadata.num_rows
        except _DAMAGED as error:
            raise _damaged(label) from error
        if schema is not None and found.names != schema.names:
            raise UserError(
                f"{label} has other columns than {shards[0].label}, so they are not parts of one table: choose the "
                "files of one configuration."
            )
        schema = found if schema is None else schema
        shards.append(_Shard(path=path, label=label, split=_split(label), rows=rows))
    total = sum(shard.rows for shard in shards)
    if schema is None or not total:
        raise UserError(f"{location.name} has no rows.")
    if total > MAX_ROWS:
        raise UserError(f"{location.name} has {total:,} rows; more than {MAX_ROWS:,} are not read.")
    if len(set(schema.names)) != len(schema.names):
        raise UserError(f"{location.name} has two columns of one name: rename one of them.")
    features = _features(schema)
    of = f"{len(shards)} Parquet files" if len(shards) > 1 else shards[0].label
    return ParquetTable(
        names=tuple(schema.names),
        shards=tuple(shards),
        features=features,
        texts=frozenset(path for field in schema for path in _texts_of(field)),
        reading=f"{of}{', columns as the Hub describes them' if features else ''}",
    )
