"""Images as lines of a comma-separated file, one column of which is the label."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.kit import DatasetRef, UserError
from workers.sources.datasets.sampling import config_number, sampled_dataset
from workers.sources.protocols import Dataset


def _table(path: Path, *, skip_lines: int) -> npt.NDArray[np.float64]:
    if not path.is_file():
        raise UserError(f"There is no file {path.name!r} at the data set's location.")
    try:
        return np.loadtxt(path, delimiter=",", skiprows=skip_lines, ndmin=2)
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"{path.name} cannot be read as comma-separated numbers: {error}") from error


def _label_column(value: Any, *, columns: int) -> int:
    names = {"first": 0, "last": columns - 1}
    column = names.get(value, value)
    if isinstance(column, bool) or not isinstance(column, int) or not 0 <= column < columns:
        raise UserError(
            f"There is no label column {value!r}: the file has {columns} columns. Give 'first', 'last' or a number "
            "from 0.",
            field="label_column",
        )
    return column


def open_dataset(ref: DatasetRef) -> Dataset:
    """The images (n, height, width) uint8 of one file, plain or gzip.

    config: label_column ("first", "last" or a number from 0; default "last"), shape ([height, width]; default square),
    skip_lines (default 0), sample, seed, class_names. Raises UserError for an unreadable file, an unknown label column,
    a shape that does not fit and grey values outside 0 … 255.
    """
    path = Path(ref.location)
    table = _table(path, skip_lines=config_number(ref.config, "skip_lines", 0))
    if not table.size:
        raise UserError(f"{path.name} has no rows.")
    column = _label_column(ref.config.get("label_column", "last"), columns=table.shape[1])
    pixels = np.delete(table, column, axis=1)
    side = math.isqrt(pixels.shape[1])
    height, width = ref.config.get("shape", (side, side))
    if height * width != pixels.shape[1]:
        raise UserError(
            f"{path.name} has {pixels.shape[1]} pixels per line, which is not {height} × {width}: give the right "
            "shape.",
            field="shape",
        )
    if not (pixels.min() >= 0 and pixels.max() <= 255):
        raise UserError(f"{path.name} holds values outside 0 … 255, so its columns are not grey values.")
    labels = table[:, column]
    if not np.array_equal(labels, np.rint(labels)):
        raise UserError(
            f"Column {column} of {path.name} holds fractions, so it cannot be the label: name another label column.",
            field="label_column",
        )
    return sampled_dataset(
        ref,
        modality="image",
        items=np.rint(pixels).astype(np.uint8).reshape(-1, height, width),
        label_values=[str(int(value)) for value in labels],
        provenance={"reading": f"grey values of {path.name}, label in column {column}"},
    )
