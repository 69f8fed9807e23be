"""Reading a file of hub records one by one: NDJSON or a JSON list, plain or gzipped, or Parquet. Memory stays flat."""

from __future__ import annotations

import gzip
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow
import pyarrow.parquet as parquet

from workers.kit import UserError

MAX_RECORD_BYTES = 8 * 2**20
CHUNK_BYTES = 2**20
PARQUET_ROWS = 1000
_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"
_SPACE = b" \t\r\n"


@dataclass(frozen=True)
class Unreadable:
    """In the place of a record that is none: why, and how it begins."""

    reason: str
    excerpt: str


Entry = dict[str, Any] | Unreadable


def dump_check(path: Path) -> None:
    """Raise UserError unless the file is there and begins like a dump."""
    if not path.is_file():
        raise UserError(f"There is no file {str(path)!r} on the server. Check the path.", field="location")
    try:
        kind = _kind(path)
    except OSError as error:
        raise UserError(f"{path.name} cannot be read ({error.strerror or error}).", field="location") from error
    if kind == "other":
        raise UserError(
            f"{path.name} is no file of hub records: give NDJSON (one record a line), a JSON list or Parquet; plain or "
            "gzipped.",
            field="location",
        )


def dump_entries(path: Path, *, skip: int = 0) -> Iterator[Entry]:
    """The records of the file after the first `skip`, bad ones as `Unreadable`.

    Raises UserError where the rest of the file cannot be read: a damaged archive, a list that is no JSON.
    """
    kind = _kind(path)
    try:
        if kind == "parquet":
            yield from _parquet(path, skip)
        elif kind == "list":
            for position, entry in enumerate(_list(path)):
                if position >= skip:
                    yield entry
        else:
            for position, line in enumerate(_lines(path)):
                if position >= skip:
                    yield _parsed(line)
    except (OSError, EOFError, pyarrow.ArrowException) as error:
        reason = str(error) or type(error).__name__
        raise UserError(f"{path.name} is damaged and cannot be read to its end ({reason}). Fetch it again.") from error


def dump_total(path: Path) -> int:
    """How many records the file holds, bad ones counted."""
    try:
        if _kind(path) == "parquet":
            return int(parquet.read_metadata(path).num_rows)
        if _kind(path) == "list":
            return sum(1 for _ in _list(path))
        return sum(1 for _ in _lines(path))
    except (OSError, EOFError, pyarrow.ArrowException) as error:
        raise UserError(f"{path.name} is damaged ({error}). Fetch it again.") from error


def _opened(path: Path) -> IO[bytes]:
    with path.open("rb") as handle:
        is_gzip = handle.read(2) == _GZIP
    return io.BufferedReader(gzip.open(path), CHUNK_BYTES) if is_gzip else path.open("rb", buffering=CHUNK_BYTES)


def _kind(path: Path) -> str:
    with path.open("rb") as handle:
        if handle.read(4) == _PARQUET:
            return "parquet"
    with _opened(path) as source:
        try:
            head = source.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip(_SPACE)
        except (OSError, EOFError):
            return "other"
    if head.startswith(b"[") and not head[1:].lstrip(_SPACE)[:1].isdigit():
        return "list"
    return "lines" if head.startswith(b"{") or not head else "other"


def _lines(path: Path) -> Iterator[bytes]:
    """The lines that are not blank. A line above the limit comes cut, so that it is set aside and not kept."""
    with _opened(path) as source:
        is_first = True
        while line := source.readline(MAX_RECORD_BYTES + 1):
            rest = line
            while rest and not rest.endswith(b"\n") and len(rest) > MAX_RECORD_BYTES:
                rest = source.readline(MAX_RECORD_BYTES + 1)
            line = (line.removeprefix(b"\xef\xbb\xbf") if is_first else line).strip(_SPACE)
            is_first = False
            if line:
                yield line


def _parsed(line: bytes) -> Entry:
    if len(line) > MAX_RECORD_BYTES:
        return Unreadable(f"It is longer than {MAX_RECORD_BYTES:,} bytes.", _excerpt(line))
    try:
        value = json.loads(line, parse_constant=str)
    except RecursionError:
        return Unreadable("It is nested too deeply.", _excerpt(line))
    except ValueError as error:
        return Unreadable(f"It is no JSON ({str(error)[:120]}).", _excerpt(line))
    return value if isinstance(value, dict) else Unreadable("It is no JSON object.", _excerpt(line))


def _list(path: Path) -> Iterator[Entry]:
    """The elements of a JSON list, decoded as they arrive."""
    decoder = json.JSONDecoder(parse_constant=str)
    with _opened(path) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace") as source:
        buffer = source.read(CHUNK_BYTES).lstrip()[1:]
        is_whole = False
        while True:
            buffer = buffer.lstrip(" \t\r\n,")
            if buffer.startswith("]"):
                return
            try:
                value, end = decoder.raw_decode(buffer)
                # A number at the very end of what was read may go on.
                is_cut = not is_whole and end == len(buffer)
            except (ValueError, RecursionError) as error:
                if is_whole or len(buffer) > MAX_RECORD_BYTES or isinstance(error, RecursionError):
                    raise UserError(
                        f"{path.name} is no valid JSON list from the record that begins {_excerpt(buffer.encode())!r}. "
                        "Fetch it again, or save it with one record a line."
                    ) from error
                is_cut = True
            if is_cut:
                more = source.read(max(CHUNK_BYTES, len(buffer)))
                is_whole = not more
                buffer += more
                continue
            if isinstance(value, dict):
                yield value
            else:
                yield Unreadable("It is no JSON object.", _excerpt(buffer[:end].encode()))
            buffer = buffer[end:]


def _parquet(path: Path, skip: int) -> Iterator[Entry]:
    position = 0
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=PARQUET_ROWS):
            if position + batch.num_rows <= skip:
                position += batch.num_rows
                continue
            for row in batch.to_pylist():
                if position >= skip:
                    yield {str(name): _plain(value) for name, value in row.items() if value is not None}
                position += 1


def _plain(value: Any) -> Any:
    """A cell in JSON's own types; a text that is a JSON object or list (nested fields are often stored so) as that."""
    if isinstance(value, str) and value[:1] in {"{", "["}:
        try:
            return json.loads(value, parse_constant=str)
        except (ValueError, RecursionError):
            return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items() if one is not None}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value if isinstance(value, str | int | bool | None) else str(value)


def _excerpt(line: bytes) -> str:
    text = line[:300].decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
