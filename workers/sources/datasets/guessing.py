"""What an uploaded file or folder is, and how to read it: by names and first bytes, without decoding images.

Free of torch and of Pillow, so that the site can ask.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from workers.kit import UserError
from workers.sources.datasets.class_folders import AUDIO_ENDINGS, IMAGE_ENDINGS, TEXT_ENDINGS, class_folders, is_hidden
from workers.sources.datasets.columns import Column, Roles, kind_of_bytes, roles_of, split_column, task_of
from workers.sources.datasets.csv_table import CsvTable, read_csv
from workers.sources.datasets.npz_members import array_names, array_pairs
from workers.sources.datasets.parquet_table import ParquetTable, read_parquet
from workers.sources.datasets.walking import files_below
from workers.sources.datasets.zip_members import zip_members
from workers.sources.datasets.zip_tables import zip_table, zip_tables

TABLE_ENDINGS = (".csv", ".tsv", ".tab", ".csv.gz", ".tsv.gz")
READABLE = (
    "a folder or a zip with one folder of images, recordings or .txt files for each class, a zip with a CSV table and "
    "the files that it names, a CSV, TSV or Parquet table, a folder of Parquet files, an npz archive of numpy, "
    "IDX files or .ts series"
)
_IDX = re.compile(r"(train|t10k)-(images-idx3|labels-idx1)-ubyte(\.gz)?")


@dataclass(frozen=True, kw_only=True)
class Guess:
    """How to read what was uploaded.

    source         name in DATASET_SOURCES
    config         what the source needs, ready for `DatasetRef.config`
    sentence       what it is, in words
    modality       "image", "text", "series", "audio" or "table"; "" where only reading it tells
    task           "classification", "multi-label" or "regression"
    location       what the source is pointed at, a path below the upload; "" for the upload itself
    columns        of a table, or the arrays of an npz archive: what inputs, label, split and groups can be chosen from
    other_inputs   further inputs that could be meant, each a tuple of columns or arrays
    other_labels   further labels that could be meant
    problem        what a person has to say before it can be read, in a sentence; "" where nothing is missing
    """

    source: str
    config: dict[str, Any] = field(default_factory=dict)
    sentence: str
    modality: str = ""
    task: str = "classification"
    location: str = ""
    columns: tuple[Column, ...] = ()
    other_inputs: tuple[tuple[str, ...], ...] = ()
    other_labels: tuple[str, ...] = ()
    problem: str = ""


def guess_source(path: Path, *, given: Mapping[str, Any] | None = None) -> Guess:
    """What an uploaded file or folder is. Raises UserError, with what can be read, for anything else.

    `given` is what a person said of it, with the keys of a table's configuration: it goes before every guess.
    """
    found = looked_at(path, given=given)
    if found.problem:
        raise UserError(found.problem)
    return found


def looked_at(path: Path, *, given: Mapping[str, Any] | None = None) -> Guess:
    """As `guess_source`; a table whose label or input is not clear is given back with its columns and the problem."""
    said = {name: value for name, value in (given or {}).items() if value not in (None, "", [], ())}
    if path.is_dir() and not path.is_symlink():
        return _folder(path, said)
    if not path.is_file() or path.is_symlink():
        raise UserError(f"There is no file {path.name!r}: upload it again.")
    low = path.name.lower()
    if low.endswith(TABLE_ENDINGS):
        return _csv(path, said)
    if low.endswith((".parquet", ".pq")):
        return _table(read_parquet(path), said, source="parquet")
    if low.endswith(".npz"):
        return _npz(path, said)
    with path.open("rb") as handle:
        start = handle.read(16)
    if start.startswith(b"PK\x03\x04"):
        return _zip(path, said)
    if start.startswith(b"PAR1"):
        return _table(read_parquet(path), said, source="parquet")
    if kind_of_bytes(start) != "other":
        raise UserError(f"{path.name} is a single {kind_of_bytes(start)} file. Hubscope reads {READABLE}.")
    if low.endswith(".txt"):
        return _csv(path, said)
    raise UserError(f"{path.name} is of a kind that is not known. Hubscope reads {READABLE}.")


def _endings(names: Sequence[str]) -> set[str]:
    return {PurePosixPath(name).suffix.lower() for name in names}


def _zip(path: Path, said: Mapping[str, Any]) -> Guess:
    members = zip_members(path)
    names = [name for name in members if not is_hidden(name)]
    if names and all(name.endswith(".npy") for name in names):
        return _npz(path, said)
    has_files = _endings(names) & (IMAGE_ENDINGS | AUDIO_ENDINGS)
    for member in zip_tables(members):
        guess = _table(zip_table(path, members, member, config=said), said, source="csv_zip")
        if guess.modality in {"image", "audio"} or not has_files or said.get("label"):
            return replace(guess, config={"table": member, **guess.config})
    if not has_files and any(PurePosixPath(name).suffix.lower() in TEXT_ENDINGS and "/" in name for name in names):
        return _by_class(names, label=path.name, where="zip", what="A zip")
    if not has_files:
        raise UserError(
            f"{path.name} holds no images, recordings, texts or table. Unpack it and upload what is in it: "
            f"Hubscope reads {READABLE}."
        )
    return _by_class(names, label=path.name, where="zip", what="A zip")


def _by_class(names: Sequence[str], *, label: str, where: str, what: str) -> Guess:
    """Files in class folders; the kind of which there are more."""
    endings = [PurePosixPath(name).suffix.lower() for name in names]
    sounds, pictures = (sum(one in known for one in endings) for known in (AUDIO_ENDINGS, IMAGE_ENDINGS))
    kind = "audio" if sounds > pictures else "image" if pictures else "text"
    things = {"audio": "recordings", "image": "images", "text": "texts"}[kind]
    found = class_folders(names, label=label, kind=kind)
    classes = sorted(set(found.classes))
    splits = [split for split in ("train", "validation", "test") if split in found.splits]
    parts = f", split into {' and '.join(splits)}" if splits else ""
    return Guess(
        source=f"{kind}_{where}",
        sentence=f"{what} of {len(found.paths):,} {things} in {len(classes):,} classes ({_shown(classes)}){parts}.",
        modality=kind,
    )


def _folder(path: Path, said: Mapping[str, Any]) -> Guess:
    names = [name for name in files_below(path) if not is_hidden(name)]
    label = f"The folder {path.name!r}"
    if not names:
        raise UserError(f"{label} is empty. Hubscope reads {READABLE}.")
    outer = [name for name in names if "/" not in name]
    if any(_IDX.fullmatch(name) for name in outer):
        return Guess(source="idx_images", sentence="Images in IDX files, the format of MNIST.", modality="image")
    if any(name.endswith("_TRAIN.ts") for name in outer):
        return Guess(source="ts_series", sentence="Series of the UCR archive in .ts files.", modality="series")
    if ".parquet" in _endings(names):
        return _table(read_parquet(path), said, source="parquet")
    has_files = _endings(names) & (IMAGE_ENDINGS | AUDIO_ENDINGS)
    for table in sorted(
        (name for name in names if name.lower().endswith(TABLE_ENDINGS)), key=lambda one: (one.count("/"), one)
    ):
        guess = _csv(path / table, said)
        if guess.modality in {"image", "audio"} or not has_files or said.get("label"):
            return replace(guess, location=table)
    if has_files:
        return _by_class(names, label=label, where="folder", what="A folder")
    if len(names) == 1:
        return replace(looked_at(path / names[0], given=said), location=names[0])
    texts = [name for name in names if name.endswith(".txt") and name.count("/") == 1]
    if texts:
        classes = sorted({name.split("/")[0] for name in texts})
        return Guess(
            source="text_folder",
            config={"class_from": "folder"},
            sentence=f"A folder of {len(texts):,} texts in {len(classes):,} classes ({_shown(classes)}).",
            modality="text",
        )
    raise UserError(f"What the folder {path.name!r} holds is not known. Hubscope reads {READABLE}.")


def _csv(path: Path, said: Mapping[str, Any]) -> Guess:
    table = read_csv(path, has_header=said.get("has_header"), delimiter=str(said.get("delimiter") or ""))
    return _table(table, said, source="csv")


def _names(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(str(one) for one in value or ())


def _table(table: CsvTable | ParquetTable, said: Mapping[str, Any], *, source: str) -> Guess:
    columns = table.columns()
    split = str(said.get("split_column", "")) or split_column(columns, table.column)
    group = str(said.get("group_column", ""))
    label, inputs = _names(said.get("label")), _names(said.get("inputs"))
    absent = [name for name in (*label, *inputs, *filter(None, (split, group))) if name not in table.names]
    if absent:
        raise UserError(f"There is no column {absent[0]!r}. There are: {_shown(table.names)}.", field="label")
    left = [one for one in columns if one.name != group and one.name not in inputs]
    roles = roles_of(left, split=split, label_names=label)
    label = label or ((roles.label,) if roles.label else ())
    if inputs:
        chosen = roles_of([one for one in columns if one.name in (*inputs, *label)], split="", label_names=label)
        modality = "table" if len(inputs) > 1 else chosen.modality or "table"
        roles = replace(roles, inputs=inputs, modality=modality, other_inputs=())
    task = str(said.get("task") or _task(columns, label, said))
    roles = replace(roles, modality=str(said.get("modality") or roles.modality), task=task)
    config: dict[str, Any] = {
        "inputs": list(roles.inputs),
        "label": label[0] if len(label) == 1 else list(label),
        "modality": roles.modality,
        "task": task,
        **({"split_column": split} if split else {}),
        **{
            name: said[name]
            for name in ("group_column", "delimiter", "has_header", "label_delimiter")
            if said.get(name) not in (None, "")
        },
    }
    missing = "a label" if not label else "an input" if not roles.inputs else ""
    return Guess(
        source=source,
        config=config,
        sentence=_sentence(table, roles, label, split),
        modality=roles.modality,
        task=task,
        columns=tuple(columns),
        other_inputs=roles.other_inputs,
        other_labels=roles.other_labels,
        problem=f"{table.reading.split(':')[0]} is a table of {table.rows:,} rows, but no column looks like {missing}. "
        f"Its columns: {_shown(table.names)}."
        if missing
        else "",
    )


def _task(columns: Sequence[Column], label: tuple[str, ...], said: Mapping[str, Any]) -> str:
    if len(label) > 1 or said.get("label_delimiter"):
        return "multi-label"
    return next((task_of(one) for one in columns if one.name in label), "classification")


def _sentence(table: CsvTable | ParquetTable, roles: Roles, label: tuple[str, ...], split: str) -> str:
    what = {"image": "images", "audio": "recordings", "text": "texts", "series": "series"}.get(
        roles.modality, "numbers"
    )
    asks = {
        "classification": "says the class",
        "multi-label": "lists the labels",
        "regression": "is the number to predict",
    }.get(roles.task, "is the label")
    parts = f", column {split!r} the split" if split else ""
    if not label or not roles.inputs:
        return f"A table of {table.rows:,} rows with {len(table.names):,} columns{parts}."
    join = "s" if len(roles.inputs) > 1 else ""
    named = f"column {label[0]!r} {asks}" if len(label) == 1 else f"columns {_shown(label)} are the labels"
    return f"A table of {table.rows:,} rows: {what} in column{join} {_shown(roles.inputs)}; {named}{parts}."


def _npz(path: Path, said: Mapping[str, Any]) -> Guess:
    names = array_names(path)
    pairs = array_pairs(names)
    inputs, label = _names(said.get("inputs")), _names(said.get("label"))
    if inputs and label:
        pairs = [(inputs[0], label[0], "")]
    chosen = {name for pair in pairs for name in pair[:2]}
    others = tuple(name for name in names if name not in chosen)
    is_split = len(pairs) > 1 or bool(pairs and pairs[0][2])
    config: dict[str, Any] = {} if is_split or not pairs else {"inputs": pairs[0][0], "label": pairs[0][1]}
    config |= {name: said[name] for name in ("modality", "task", "group_column") if said.get(name)}
    return Guess(
        source="npz",
        config=config,
        sentence=f"Arrays of numpy: inputs in {' and '.join(pair[0] for pair in pairs)}, labels in "
        f"{' and '.join(pair[1] for pair in pairs)}."
        if pairs
        else f"Arrays of numpy: {_shown(names)}.",
        columns=tuple(Column(name=name, kind="array") for name in names),
        other_inputs=tuple((name,) for name in others),
        other_labels=others,
        problem=""
        if pairs
        else f"{path.name} needs an array of inputs and one of labels, for example x and y. It holds: "
        f"{_shown(names) or 'no arrays'}.",
    )


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return ", ".join(name[:60] for name in names[:5]) + more
