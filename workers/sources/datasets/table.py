"""Data sets in tables: CSV and TSV files, Parquet files, and the folders of Parquet shards that the Hub serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from workers.kit import DatasetRef, UserError
from workers.sources.datasets.assembling import Inputs, assembled
from workers.sources.datasets.cells import READERS
from workers.sources.datasets.class_folders import split_of
from workers.sources.datasets.columns import MODALITIES, Column, roles_of, split_column, task_of
from workers.sources.datasets.csv_table import CsvTable, read_csv
from workers.sources.datasets.parquet_table import ParquetTable, read_parquet
from workers.sources.datasets.places import OpenFile, in_folder, in_zip
from workers.sources.datasets.targets import (
    TASKS,
    Ints,
    Targets,
    class_targets,
    indicator_targets,
    label_set_targets,
    label_text,
    number_targets,
    split_labels,
)
from workers.sources.datasets.zip_members import zip_members
from workers.sources.datasets.zip_tables import zip_table, zip_tables
from workers.sources.protocols import Dataset

AnyTable = CsvTable | ParquetTable


def open_csv(ref: DatasetRef) -> Dataset:
    """The rows of a CSV or TSV file, plain or gzip; encoding, delimiter and header are found.

    config: inputs (a column or several), label (a column, or several of 0 and 1 for "multi-label"), modality ("image",
    "text", "series", "audio", "table"), task ("classification", "multi-label", "regression"), label_delimiter (several
    labels in one cell, divided by it), split_column, group_column, has_header, delimiter, sample, seed, class_names;
    image_size, fit, rate as their readers say. What is not given is guessed from the columns. Files that cells name lie
    below the table's folder. Raises UserError for a table that cannot be read and for columns that do not suit.
    """
    path = Path(ref.location)
    if not ref.location or not path.is_file():
        raise UserError(f"The data set {ref.name!r} should lie in a file, but there is none at its location.")
    table = read_csv(path, has_header=ref.config.get("has_header"), delimiter=str(ref.config.get("delimiter") or ""))
    return _opened(ref, table, open_file=in_folder(path.parent))


def open_csv_zip(ref: DatasetRef) -> Dataset:
    """The rows of a CSV or TSV file in a zip, beside the files that its cells name; nothing is unpacked to disk.

    config: table (the path of the CSV file in the zip; needed only where there are several), and that of `open_csv`.
    """
    path = Path(ref.location)
    if not ref.location or not path.is_file():
        raise UserError(f"The data set {ref.name!r} should lie in a zip file, but there is none at its location.")
    members = zip_members(path)
    member = str(ref.config.get("table") or "") or next(iter(zip_tables(members)), "")
    table = zip_table(path, members, member, config=ref.config)
    return _opened(ref, table, open_file=in_zip(path, members, below=str(PurePosixPath(member).parent)))


def open_parquet(ref: DatasetRef) -> Dataset:
    """The rows of a Parquet file or of a folder of shards, with the configuration of `open_csv`.

    Shards named train, validation or test give the split, a ClassLabel of the Hub the names of the classes.
    """
    path = Path(ref.location)
    if not ref.location or not path.exists():
        raise UserError(f"The data set {ref.name!r} should lie in Parquet files, but there are none at its location.")
    return _opened(ref, read_parquet(path), open_file=in_folder(path if path.is_dir() else path.parent))


def _names(value: Any, *, field: str) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names) or not names:
        raise UserError(f"{field!r} must name a column, or a list of columns.", field=field)
    return tuple(names)


def _targets(table: AnyTable, config: Mapping[str, Any], *, label: tuple[str, ...], task: str) -> Targets:
    names = table.row_names
    columns = {name: table.column(name) for name in label}
    if task == "regression":
        return number_targets(columns, names=names)
    if len(label) > 1:
        if task != "multi-label":
            raise UserError("Several label columns need the task 'multi-label' or 'regression'.", field="task")
        return indicator_targets(columns, names=names)
    values, known = columns[label[0]], table.class_names(label[0])
    if task == "classification":
        if any(isinstance(value, (list, dict)) for value in values):
            raise UserError(f"The column {label[0]!r} holds lists: choose the task 'multi-label'.", field="task")
        return class_targets(values, names=names, known=known)
    delimiter = config.get("label_delimiter")
    if delimiter:
        values = split_labels(values, delimiter=str(delimiter))
    elif any(value is not None and not isinstance(value, (list, tuple)) for value in values):
        raise UserError(
            f"The column {label[0]!r} holds single values: give 'label_delimiter', or several label columns.",
            field="label_delimiter",
        )
    return label_set_targets(values, names=names, known=known)


def _splits(table: AnyTable, column: str) -> Sequence[str]:
    if column:
        return [split_of(str(value)) for value in table.column(column)]
    return table.splits if isinstance(table, ParquetTable) else ()


def _groups(table: AnyTable, column: str) -> Sequence[str]:
    return [label_text(value) for value in table.column(column)] if column else ()


def _opened(ref: DatasetRef, table: AnyTable, *, open_file: OpenFile) -> Dataset:
    config = ref.config
    columns = table.columns()
    split = str(config["split_column"] or "") if "split_column" in config else split_column(columns, table.column)
    label = _names(config["label"], field="label") if config.get("label") else ()
    inputs = _names(config["inputs"], field="inputs") if config.get("inputs") else ()
    group = str(config.get("group_column") or "")
    left = [one for one in columns if one.name not in inputs and one.name != group]
    roles = roles_of(left, split=split, label_names=label)
    label = label or ((roles.label,) if roles.label else ())
    inputs = inputs or roles.inputs
    if not label or not inputs:
        missing = "label" if not label else "inputs"
        raise UserError(
            f"It is not clear which column of {table.reading.split(':')[0]} is the {missing.removesuffix('s')}: name "
            f"it. There are: {', '.join(table.names[:20])}.",
            field=missing,
        )
    if set(label) & set(inputs):
        raise UserError(f"The column {label[0]!r} cannot be both label and input.", field="inputs")
    modality, task = _modality_and_task(columns, config, label=label, inputs=inputs)

    def read(rows: Ints) -> Inputs:
        cells = {name: table.column(name, [int(row) for row in rows]) for name in inputs}
        return READERS[modality](cells, rows, names=table.row_names, open_file=open_file, config=config)

    return assembled(
        ref,
        modality=modality,
        targets=_targets(table, config, label=label, task=task),
        inputs=read,
        source_rows=table.rows,
        names=table.row_names,
        splits=_splits(table, split),
        groups=_groups(table, group),
        dropped=table.dropped,
        provenance={"reading": f"{table.reading}; {modality} from {_shown(inputs)}, label from {_shown(label)}"}
        | ({"columns": list(inputs)} if modality == "table" else {})
        | ({"groups": f"by column {group!r}"} if group else {}),
    )


def _modality_and_task(
    columns: Sequence[Column], config: Mapping[str, Any], *, label: tuple[str, ...], inputs: tuple[str, ...]
) -> tuple[str, str]:
    """Those that are given, else those that the chosen columns ask for."""
    named = {one.name: one for one in columns}
    absent = [name for name in (*label, *inputs) if name not in named]
    if absent:
        raise UserError(f"There is no column {absent[0]!r}. There are: {', '.join(list(named)[:20])}.", field="inputs")
    is_several = len(label) > 1 or bool(config.get("label_delimiter"))
    of_inputs = "table" if len(inputs) > 1 else MODALITIES.get(named[inputs[0]].kind, "table")
    modality = config.get("modality") or of_inputs
    task = config.get("task") or ("multi-label" if is_several else task_of(named[label[0]]))
    if modality not in READERS:
        raise UserError(f"There is no modality {modality!r}: give {', '.join(READERS)}.", field="modality")
    if task not in TASKS:
        raise UserError(f"There is no task {task!r}: give {', '.join(TASKS)}.", field="task")
    return modality, task


def _shown(columns: Sequence[str]) -> str:
    return ", ".join(columns) if len(columns) <= 3 else f"{len(columns)} columns"
