"""Data sets in npz archives of numpy: features, series or images with their labels; nothing is unpickled."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.kit import DatasetRef, UserError
from workers.sources.datasets.assembling import array_inputs, assembled
from workers.sources.datasets.npz_members import array_names, array_pairs
from workers.sources.datasets.targets import Targets, class_targets, indicator_targets, label_text, number_targets
from workers.sources.protocols import Dataset

Array = npt.NDArray[Any]
_DAMAGED = (
    ValueError,
    TypeError,
    OSError,
    EOFError,
    KeyError,
    SyntaxError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    zlib.error,
    zipfile.BadZipFile,
)


def _arrays(path: Path, names: set[str]) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in names}
    except _DAMAGED as error:
        raise UserError(
            f"{path.name} holds Python objects, which are never read, or is damaged. Save plain arrays of numbers (and "
            "labels of numbers or texts) with numpy.savez."
        ) from error


def _items(array: Array, *, modality: str, name: str) -> tuple[str, Array, str]:
    """Modality, items and what was done to the array, in words."""
    if array.dtype.kind not in "biuf":
        raise UserError(f"The array {name!r} holds no numbers, so it cannot be the input.", field="inputs")
    looks = "image" if _is_image(array) else {2: "table", 3: "series"}.get(array.ndim, "")
    modality = modality or looks
    if modality == "image" and _is_image(array):
        return "image", *_pixels(array, name=name)
    if modality == "table" and array.ndim >= 2:
        return "table", array.reshape(len(array), -1).astype(np.float32), "numbers as they are"
    if modality == "series" and array.ndim in {2, 3}:
        return "series", array.reshape(len(array), -1, array.shape[-1]).astype(np.float32), "series as they are"
    raise UserError(
        f"The array {name!r} of shape {array.shape} is no {modality or 'table, series or images'}: give another "
        "modality.",
        field="modality",
    )


def _is_image(array: Array) -> bool:
    is_shape = array.ndim == 3 or (array.ndim == 4 and (array.shape[3] in {1, 3} or array.shape[1] in {1, 3}))
    return is_shape and (array.dtype == np.uint8 or (array.ndim == 4 and array.dtype.kind == "f"))


def _pixels(array: Array, *, name: str) -> tuple[Array, str]:
    how = "pixels as they are"
    if array.ndim == 4 and array.shape[3] not in {1, 3}:
        array, how = array.transpose(0, 2, 3, 1), "pixels, channels put last"
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[:, :, :, 0]
    if array.dtype != np.uint8:
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 255):
            raise UserError(
                f"The array {name!r} holds values outside 0 … 255, so they are no pixels.", field="modality"
            )
        scale = 255 if array.max() <= 1 else 1
        array, how = np.rint(array * scale), f"{how}{', 0 … 1 stretched to 0 … 255' if scale > 1 else ', rounded'}"
    return np.ascontiguousarray(array, dtype=np.uint8), how


def array_targets(labels: Array, *, task: str, names: list[str]) -> Targets:
    """Labels from an array: (n,) or (n, 1) classes or numbers, (n, C) of 0 and 1 several labels or one of C.

    `task` "" is found by looking: fractions mean regression, rows of 0 and 1 with one 1 each a classification.
    """
    table = labels.reshape(len(labels), -1) if labels.ndim != 1 else labels[:, None]
    is_number = table.dtype.kind in "biuf"
    is_indicator = table.shape[1] > 1 and is_number and bool(np.isin(table, (0, 1)).all())
    is_fraction = table.dtype.kind == "f" and not np.array_equal(np.rint(table), table, equal_nan=True)
    if not task:
        one_each = is_indicator and bool((table.sum(axis=1) == 1).all())
        several = table.shape[1] > 1 and not one_each
        task = (
            "multi-label" if is_indicator and several else "regression" if is_fraction or several else "classification"
        )
    columns = {str(at): table[:, at].tolist() for at in range(table.shape[1])}
    if task == "regression":
        return number_targets(columns, names=names)
    if task == "multi-label":
        return indicator_targets(columns, names=names)
    if task != "classification":
        raise UserError(
            f"There is no task {task!r}: give 'classification', 'multi-label' or 'regression'.", field="task"
        )
    if table.shape[1] > 1 and not is_indicator:
        raise UserError("The labels have several columns that are not 0 and 1: choose another task.", field="task")
    return class_targets((table.argmax(axis=1) if is_indicator else table[:, 0]).tolist(), names=names)


def _groups(path: Path, names: tuple[str, ...], name: str, *, rows: int) -> list[str]:
    if name not in names:
        raise UserError(f"There is no array {name!r}. There are: {', '.join(names[:20])}.", field="group_column")
    array = _arrays(path, {name})[name]
    if array.shape != (rows,):
        raise UserError(f"The array {name!r} does not hold one group for each row.", field="group_column")
    return [label_text(value) for value in array.tolist()]


def open_dataset(ref: DatasetRef) -> Dataset:
    """The arrays of an npz file: (n, d) a table, (n, channels, length) series, (n, height, width[, 3]) uint8 images.

    config: inputs and label (names of arrays; default x and y, features and labels, x_train and y_train … and the
    like), modality, task, group_column (an array with the group of each row), sample, seed, class_names. Raises
    UserError for Python objects, for arrays that do not fit together and for values that are no pixels.
    """
    path = Path(ref.location)
    if not ref.location or not path.is_file():
        raise UserError(f"The data set {ref.name!r} should lie in a file, but there is none at its location.")
    names = array_names(path)
    chosen = (ref.config.get("inputs"), ref.config.get("label"))
    pairs = [(str(chosen[0]), str(chosen[1]), "")] if all(chosen) else array_pairs(names)
    absent = [name for pair in pairs for name in pair[:2] if name not in names]
    if not pairs or absent:
        raise UserError(
            f"{path.name} needs an array of inputs and one of labels, for example x and y. It holds: "
            f"{', '.join(names[:20]) or 'no arrays'}.",
            field="inputs",
        )
    arrays = _arrays(path, {name for pair in pairs for name in pair[:2]})
    for first, second, _ in pairs:
        if arrays[first].ndim < 2 or arrays[second].ndim < 1 or len(arrays[first]) != len(arrays[second]):
            raise UserError(
                f"Arrays {first!r} {arrays[first].shape} and {second!r} {arrays[second].shape} do not fit together: "
                "both need one entry for each row.",
                field="inputs",
            )
    try:
        whole = np.concatenate([arrays[first] for first, _, _ in pairs])
        labels = np.concatenate([arrays[second] for _, second, _ in pairs])
    except (ValueError, TypeError) as error:
        raise UserError(f"The parts of {path.name} differ in shape, so they are not one data set.") from error
    modality, items, how = _items(whole, modality=str(ref.config.get("modality") or ""), name=pairs[0][0])
    rows = [f"row {row}" for row in range(len(items))]
    group = str(ref.config.get("group_column") or "")
    return assembled(
        ref,
        modality=modality,
        targets=array_targets(labels, task=str(ref.config.get("task") or ""), names=rows),
        inputs=lambda chosen_rows: array_inputs(items[chosen_rows]),
        source_rows=len(items),
        names=rows,
        splits=[split for first, _, split in pairs for _ in range(len(arrays[first]))],
        groups=_groups(path, names, group, rows=len(items)) if group else (),
        provenance={"reading": f"{path.name}: {', '.join(pair[0] for pair in pairs)}, {how}"},
    )
