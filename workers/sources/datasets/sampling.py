"""From all rows of a source to the rows that a data set holds: checks, then a fixed stratified sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.kit import DatasetRef, UserError, generator_for
from workers.sources.protocols import Dataset, Items

ROWS_FOR_LEAVE_ONE_OUT = 2


def stratified_rows(labels: npt.NDArray[np.int64], *, size: int, seed: int) -> npt.NDArray[np.int64]:
    """Row numbers of a stratified sample, increasing; all rows if `size` is 0 or not smaller than their number.

    Every class gets its proportional share by largest remainder (ties to the lower class), but at least two rows where
    it has them, so that leaving one out leaves one. Within a class the rows are drawn without replacement by a
    generator of its own. Raises UserError if `size` is too small for two rows of every class.
    """
    counts = np.bincount(labels)
    if not size or size >= len(labels):
        return np.arange(len(labels), dtype=np.int64)
    floor = np.minimum(counts, ROWS_FOR_LEAVE_ONE_OUT)
    if size < floor.sum():
        raise UserError(
            f"A sample of {size} rows is too small for {len(counts)} classes: ask for {int(floor.sum())} or more.",
            field="sample",
        )
    quota = counts * (size / len(labels))
    take = np.maximum(np.floor(quota).astype(np.int64), floor)
    while take.sum() != size:
        if take.sum() < size:
            take[int(np.argmax(np.where(take < counts, quota - take, -np.inf)))] += 1
        else:
            take[int(np.argmax(np.where(take > floor, take - quota, -np.inf)))] -= 1
    chosen = [
        generator_for(seed, "sample", label).choice(np.flatnonzero(labels == label), size=int(number), replace=False)
        for label, number in enumerate(take)
    ]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def config_number(config: Mapping[str, Any], name: str, default: int, *, lowest: int = 0) -> int:
    """A whole number of a data set's configuration. Raises UserError if it is none or too small."""
    value = config.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
        raise UserError(
            f"The data set's {name!r} must be a whole number of at least {lowest}, not {value!r}.", field=name
        )
    return value


def in_label_order(values: Sequence[str]) -> tuple[str, ...]:
    """The distinct values, numbers by size and before words, words by alphabet."""

    def order(value: str) -> tuple[int, float, str]:
        try:
            return (0, float(value), value)
        except ValueError:
            return (1, 0.0, value)

    return tuple(sorted(set(values), key=order))


def sampled_dataset(
    ref: DatasetRef,
    *,
    modality: str,
    items: Items,
    label_values: Sequence[str],
    provenance: dict[str, Any],
    splits: Sequence[str] = (),
) -> Dataset:
    """The sampled data set of all the rows of a source.

    `label_values` are the labels as the source writes them; `config["class_names"]`, in label order, gives them
    readable names. Reads `config["sample"]` (0: all rows) and `config["seed"]`. Raises UserError for no rows, for one
    class only and for a sample that is too small.
    """
    if not label_values:
        raise UserError(f"The data set {ref.name!r} has no rows: check the files at its location.")
    values = in_label_order(label_values)
    if len(values) < 2:
        raise UserError(
            f"Every row of the data set {ref.name!r} has the label {values[0]!r}. At least two classes are needed "
            "to tell models apart: check which column or folder holds the labels."
        )
    names = values
    wanted = ref.config.get("class_names")
    if wanted is not None:
        if len(wanted) != len(values):
            raise UserError(
                f"The data set {ref.name!r} has {len(values)} classes, but {len(wanted)} class names are given.",
                field="class_names",
            )
        names = tuple(str(name) for name in wanted)
    number = {value: position for position, value in enumerate(values)}
    labels = np.array([number[value] for value in label_values], dtype=np.int64)
    size = config_number(ref.config, "sample", 0)
    seed = config_number(ref.config, "seed", 0)
    rows = stratified_rows(labels, size=size, seed=seed)
    chosen: Items = items[rows] if isinstance(items, np.ndarray) else [items[row] for row in rows]
    sampling = (
        f"{len(rows)} of {len(labels)} rows, stratified by class, without replacement, seed {seed}"
        if len(rows) < len(labels)
        else f"all {len(labels)} rows"
    )
    return Dataset(
        modality=modality,
        items=chosen,
        labels=labels[rows],
        classes=names,
        row_ids=rows,
        splits=tuple(splits[row] for row in rows) if splits else (),
        source_rows=len(labels),
        provenance={**provenance, "source": ref.source, "sampling": sampling},
    )
