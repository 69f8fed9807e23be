"""The cells of a table's columns as inputs of a data set."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from workers.kit import UserError
from workers.sources.datasets.assembling import Inputs, array_inputs, content_ids
from workers.sources.datasets.image_rows import Read, image_inputs
from workers.sources.datasets.pictures import UnreadableImage
from workers.sources.datasets.places import OpenFile
from workers.sources.datasets.recordings import recording_inputs
from workers.sources.datasets.targets import Ints, dropped_rows, number_of

MODALITIES = ("image", "text", "series", "audio", "table")
_BETWEEN_NUMBERS = re.compile(r"[\s,;|]+")

Cells = Mapping[str, Sequence[Any]]
"""Columns by name, each with the cells of the rows that are asked for."""


def _file_reader(cells: Sequence[Any], rows: Ints, *, open_file: OpenFile) -> Read:
    """Reads the files of the rows: bytes as they are, {"bytes", "path"} of the Hub, or paths."""
    at = {int(row): position for position, row in enumerate(rows)}

    def read(row: int) -> bytes:
        cell = cells[at[row]]
        if isinstance(cell, Mapping):
            cell = cell.get("bytes") or cell.get("path")
        if isinstance(cell, bytes):
            return cell
        if not isinstance(cell, str):
            raise UnreadableImage("without a file")
        return open_file(cell)

    return read


def _from_files(reader: Callable[..., Inputs]) -> Callable[..., Inputs]:
    def inputs(
        cells: Cells, rows: Ints, *, names: Sequence[str], open_file: OpenFile, config: Mapping[str, Any]
    ) -> Inputs:
        column = _only(cells, of="files")
        return reader(rows, read=_file_reader(column, rows, open_file=open_file), names=names, config=config)

    return inputs


def _only(cells: Cells, *, of: str) -> Sequence[Any]:
    if len(cells) != 1:
        raise UserError(f"One column is needed for {of}, but {len(cells)} are named.", field="inputs")
    return next(iter(cells.values()))


def text_inputs(
    cells: Cells, rows: Ints, *, names: Sequence[str], open_file: OpenFile, config: Mapping[str, Any]
) -> Inputs:
    """Texts; several columns are joined by a line break. Rows without any text are left out."""
    joined = [
        "\n".join(str(cell).strip() for cell in line if cell is not None and str(cell).strip())
        for line in zip(*cells.values(), strict=True)
    ]
    kept = np.array([bool(text) for text in joined], dtype=np.bool_)
    texts = [text for text in joined if text]
    return Inputs(
        items=texts,
        kept=kept,
        content_ids=content_ids(text.encode("utf-8", "surrogatepass") for text in texts),
        dropped=dropped_rows("empty texts", [names[row] for row in rows[~kept]]),
    )


def table_inputs(
    cells: Cells, rows: Ints, *, names: Sequence[str], open_file: OpenFile, config: Mapping[str, Any]
) -> Inputs:
    """One vector of numbers per row; what is missing or no number is NaN. Raises UserError for columns of words."""
    columns = []
    for name, values in cells.items():
        numbers = np.array([number_of(value) for value in values], dtype=np.float32)
        there = [value for value in values if value is not None and str(value).strip()]
        if len(there) and np.isnan(numbers).sum() - (len(values) - len(there)) > 0.5 * len(there):
            raise UserError(
                f"The column {name!r} holds words such as {str(there[0])[:40]!r}, not numbers: leave it out.",
                field="inputs",
            )
        columns.append(numbers)
    return array_inputs(np.stack(columns, axis=1))


def _series(cell: Any) -> np.ndarray[Any, np.dtype[np.float32]] | None:
    """A cell as (channels, length); None if it is no series."""
    if isinstance(cell, str):
        text = cell.strip()
        try:
            cell = json.loads(text) if text.startswith("[[") else _BETWEEN_NUMBERS.split(text.strip("[]() \t"))
        except (ValueError, RecursionError):
            return None
    if not isinstance(cell, (list, tuple)) or not cell:
        return None
    channels = cell if isinstance(cell[0], (list, tuple)) else [cell]
    if len({len(channel) for channel in channels}) != 1 or not channels[0]:
        return None
    values = np.array([[number_of(value) for value in channel] for channel in channels], dtype=np.float32)
    return None if np.isnan(values).all() else values


def series_inputs(
    cells: Cells, rows: Ints, *, names: Sequence[str], open_file: OpenFile, config: Mapping[str, Any]
) -> Inputs:
    """Series (n, channels, length) from one column of lists, or from one column for each point in time.

    Rows whose series have another length than most are left out.
    """
    if len(cells) > 1:
        found = table_inputs(cells, rows, names=names, open_file=open_file, config=config)
        return array_inputs(np.asarray(found.items)[:, None, :])
    parsed = [_series(cell) for cell in _only(cells, of="series")]
    shapes = [one.shape for one in parsed if one is not None]
    if not shapes:
        raise UserError("No row of the column holds a list of numbers: choose another column.", field="inputs")
    usual = max(sorted(set(shapes)), key=shapes.count)
    kept = np.array([one is not None and one.shape == usual for one in parsed], dtype=np.bool_)
    lost = [names[row] for row in rows[~kept]]
    items = np.stack([one for one in parsed if one is not None and one.shape == usual])
    found = array_inputs(items)
    return Inputs(
        items=items,
        kept=kept,
        content_ids=found.content_ids,
        dropped=dropped_rows(f"series that are not {usual[0]} × {usual[1]} numbers, as most are", lost),
    )


READERS: dict[str, Callable[..., Inputs]] = {
    "image": _from_files(image_inputs),
    "audio": _from_files(recording_inputs),
    "text": text_inputs,
    "series": series_inputs,
    "table": table_inputs,
}
