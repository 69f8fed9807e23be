"""Tables in comma- or tab-separated files: encoding, delimiter and header are found, not asked for."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.kit import UserError
from workers.sources.datasets.columns import Column, described
from workers.sources.datasets.targets import dropped_rows, number_of
from workers.sources.protocols import Dropped

MAX_BYTES = 2**30
MAX_ROWS = 5_000_000
MAX_COLUMNS = 20_000
# Each cell is a text of its own, of some 57 bytes and its characters.
MAX_CELLS = 60_000_000
MAX_BAD_SHARE = 0.1
LOOKED_AT = 2_000
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}
_SNIFFED_CHARACTERS = 64 * 2**10


@dataclass(frozen=True, kw_only=True, eq=False)
class CsvTable:
    """A table of texts, wholly in memory.

    names    of the columns
    cells    by row
    lines    line of the file where each row ends
    dropped  rows whose number of cells is not that of the header
    reading  encoding, delimiter and header, in words
    """

    names: tuple[str, ...]
    cells: list[list[str]]
    lines: list[int]
    dropped: tuple[Dropped, ...]
    reading: str

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.cells)

    @property
    def row_names(self) -> tuple[str, ...]:
        """A name for each row that a person can look up."""
        return tuple(f"line {line}" for line in self.lines)

    def column(self, name: str, rows: Sequence[int] | None = None) -> list[Any]:
        """The texts of a column, of some rows if they are given. Raises UserError if there is no such column."""
        if name not in self.names:
            raise UserError(f"There is no column {name!r}. There are: {', '.join(self.names[:20])}.")
        at = self.names.index(name)
        return [line[at] for line in self.cells] if rows is None else [self.cells[row][at] for row in rows]

    def columns(self) -> list[Column]:
        """What every column holds, by its first rows."""
        head = self.cells[:LOOKED_AT]
        return [described(name, [line[at] for line in head]) for at, name in enumerate(self.names)]

    def class_names(self, name: str) -> tuple[str, ...]:
        """Names of classes that the file states for a column: a file of texts states none."""
        return ()


def _too_large(name: str) -> UserError:
    return UserError(f"{name} holds more than {MAX_BYTES // 2**30} GB: choose a part of it or use Parquet.")


def _bytes_of(path: Path) -> bytes:
    """The whole file, unpacked where it is gzip."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _too_large(path.name)
        if path.suffix.lower() == ".gz":
            with gzip.open(path) as handle:
                data = handle.read(MAX_BYTES + 1)
        else:
            data = path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path.name} cannot be read: it is cut off, damaged or not there.") from error
    if len(data) > MAX_BYTES:
        raise _too_large(path.name)
    return data


def _text_of(data: bytes, *, name: str) -> tuple[str, str]:
    """The text and its encoding."""
    marks = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
    encoding = next((one for mark, one in marks if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        encoding = "cp1252"
        text = data.decode(encoding, errors="replace")
    if "\0" in text[:_SNIFFED_CHARACTERS]:
        raise UserError(f"{name} is no text, so it cannot be read as a table.")
    return text, "utf-8" if encoding == "utf-8-sig" else encoding


def _delimiter(text: str, *, name: str) -> str:
    if name.lower().removesuffix(".gz").endswith((".tsv", ".tab")):
        return "\t"
    sample = text[:_SNIFFED_CHARACTERS]
    if len(text) > len(sample):
        sample = sample[: sample.rfind("\n") + 1] or sample
    first = sample.split("\n", 1)[0]
    counts = {delimiter: first.count(delimiter) for delimiter in DELIMITERS.values()}
    try:
        sniffed = csv.Sniffer().sniff(sample, "".join(DELIMITERS.values())).delimiter
    except csv.Error:
        sniffed = ""
    # The Sniffer may choose a comma inside the texts; a delimiter stands in the first line, too.
    if sniffed and counts.get(sniffed):
        return sniffed
    return max(counts, key=lambda delimiter: counts[delimiter])


def _has_header(lines: Sequence[Sequence[str]]) -> bool:
    """Whether the first line names the columns: no cell is a number, empty but once, or repeated."""
    first = lines[0]
    if any(number_of(cell) == number_of(cell) for cell in first) or len(set(first)) != len(first):
        return False
    rest = lines[1:LOOKED_AT]
    if any(
        number_of(line[at]) == number_of(line[at]) for line in rest[:50] for at in range(min(len(line), len(first)))
    ):
        return True
    # All is text: a header's cells do not come again below it.
    return not any(line[at : at + 1] == [cell] for line in rest for at, cell in enumerate(first) if cell)


def read_csv(path: Path, *, has_header: bool | None = None, delimiter: str = "") -> CsvTable:
    """The table of one file, plain or gzip. `has_header` None and `delimiter` "": found by looking.

    Raises UserError for what is no table of texts, is above MAX_BYTES, MAX_ROWS or MAX_COLUMNS, and where more than
    MAX_BAD_SHARE of the rows have another number of cells than the first.
    """
    return csv_table(_bytes_of(path), name=path.name, has_header=has_header, delimiter=delimiter)


def csv_table(data: bytes, *, name: str, has_header: bool | None = None, delimiter: str = "") -> CsvTable:
    """As `read_csv`, of the bytes of a file called `name`; `delimiter` is a name in DELIMITERS."""
    text, encoding = _text_of(data, name=name)
    if delimiter and delimiter not in DELIMITERS:
        raise UserError(f"There is no delimiter {delimiter!r}: give {', '.join(DELIMITERS)}.", field="delimiter")
    chosen = DELIMITERS[delimiter] if delimiter else _delimiter(text, name=name)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=chosen)
    lines: list[list[str]] = []
    numbers: list[int] = []
    cells = 0
    try:
        for line in reader:
            if line and any(cell.strip() for cell in line):
                lines.append(line)
                numbers.append(reader.line_num)
                cells += len(line)
            if len(lines) > MAX_ROWS or cells > MAX_CELLS:
                most = f"{MAX_ROWS:,} rows" if len(lines) > MAX_ROWS else f"{MAX_CELLS:,} cells"
                raise UserError(f"{name} has more than {most}: choose a part of it or use Parquet.")
    except csv.Error as error:
        raise UserError(f"{name}, near line {reader.line_num}, cannot be read as a table ({error}).") from error
    if not lines:
        raise UserError(f"{name} has no rows.")
    if len(lines[0]) > MAX_COLUMNS:
        raise UserError(f"{name} has {len(lines[0]):,} columns; more than {MAX_COLUMNS:,} are not read.")
    is_headed = _has_header(lines) if has_header is None else has_header
    names = _distinct(lines[0]) if is_headed else tuple(f"column {at}" for at in range(1, len(lines[0]) + 1))
    start = int(is_headed)
    good = [at for at in range(start, len(lines)) if len(lines[at]) == len(names)]
    bad = [f"line {numbers[at]}" for at in range(start, len(lines)) if len(lines[at]) != len(names)]
    if len(bad) > MAX_BAD_SHARE * (len(lines) - start) or not good:
        raise UserError(
            f"{name}: {len(bad):,} of {len(lines) - start:,} rows do not have {len(names)} cells as the first has"
            f"{f' (first: {bad[0]})' if bad else ''}. Check the delimiter and the quotes."
        )
    shown = next(one for one, sign in DELIMITERS.items() if sign == chosen)
    return CsvTable(
        names=names,
        cells=[lines[at] for at in good],
        lines=[numbers[at] for at in good],
        dropped=dropped_rows("another number of cells than the header", bad),
        reading=f"{name}: {encoding}, delimiter {shown}, {'with' if is_headed else 'without'} header",
    )


def _distinct(header: Sequence[str]) -> tuple[str, ...]:
    """Names of columns, each different and without spaces around it."""
    names: list[str] = []
    for at, cell in enumerate(header, start=1):
        name = cell.strip() or (f"column {at}" if at > 1 else "")
        names.append(name if name not in names else f"{name} ({at})")
    return tuple(names)
