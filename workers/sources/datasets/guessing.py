"""What an uploaded file or folder is, and how to read it: by names and first bytes, without decoding images.

Free of torch and of Pillow, so that the site can ask.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from workers.kit import UserError
from workers.sources.datasets.class_folders import IMAGE_ENDINGS, ClassFolders, class_folders, is_hidden
from workers.sources.datasets.columns import Roles, kind_of_bytes, roles_of, split_column
from workers.sources.datasets.csv_table import CsvTable, read_csv
from workers.sources.datasets.npz_members import array_names, array_pairs
from workers.sources.datasets.parquet_table import ParquetTable, read_parquet
from workers.sources.datasets.walking import files_below
from workers.sources.datasets.zip_members import zip_members

TABLE_ENDINGS = (".csv", ".tsv", ".tab", ".csv.gz", ".tsv.gz")
READABLE = (
    "a folder or a zip with one folder of images for each class, a CSV, TSV or Parquet table, a folder of Parquet "
    "files, an npz archive of numpy, a folder with one folder of .txt files for each class, IDX files or .ts series"
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
    other_inputs   further inputs that could be meant, each a tuple of columns or arrays
    other_labels   further labels that could be meant
    """

    source: str
    config: dict[str, Any] = field(default_factory=dict)
    sentence: str
    modality: str = ""
    task: str = "classification"
    location: str = ""
    other_inputs: tuple[tuple[str, ...], ...] = ()
    other_labels: tuple[str, ...] = ()


def guess_source(path: Path) -> Guess:
    """What an uploaded file or folder is. Raises UserError, with what can be read, for anything else."""
    if path.is_dir() and not path.is_symlink():
        return _folder(path)
    if not path.is_file() or path.is_symlink():
        raise UserError(f"There is no file {path.name!r}: upload it again.")
    low = path.name.lower()
    if low.endswith(TABLE_ENDINGS):
        return _csv(path)
    if low.endswith((".parquet", ".pq")):
        return _table(read_parquet(path), source="parquet")
    if low.endswith(".npz"):
        return _npz(path)
    with path.open("rb") as handle:
        start = handle.read(16)
    if start.startswith(b"PK\x03\x04"):
        return _zip(path)
    if start.startswith(b"PAR1"):
        return _table(read_parquet(path), source="parquet")
    if kind_of_bytes(start) != "other":
        raise UserError(f"{path.name} is a single {kind_of_bytes(start)} file. Hubscope reads {READABLE}.")
    raise UserError(f"{path.name} is of a kind that is not known. Hubscope reads {READABLE}.")


def _zip(path: Path) -> Guess:
    names = [name for name in zip_members(path) if not is_hidden(name)]
    if names and all(name.endswith(".npy") for name in names):
        return _npz(path)
    if not any(PurePosixPath(name).suffix.lower() in IMAGE_ENDINGS for name in names):
        raise UserError(f"{path.name} holds no images. Unpack it and upload what is in it: Hubscope reads {READABLE}.")
    return _images(class_folders(names, label=path.name), source="image_zip", what="A zip")


def _images(found: ClassFolders, *, source: str, what: str) -> Guess:
    classes = sorted(set(found.classes))
    splits = [split for split in ("train", "validation", "test") if split in found.splits]
    parts = f", split into {' and '.join(splits)}" if splits else ""
    return Guess(
        source=source,
        sentence=f"{what} of {len(found.paths):,} images in {len(classes):,} classes ({_shown(classes)}){parts}.",
        modality="image",
    )


def _folder(path: Path) -> Guess:
    names = [name for name in files_below(path) if not is_hidden(name)]
    if not names:
        raise UserError(f"The folder {path.name!r} is empty. Hubscope reads {READABLE}.")
    endings = [PurePosixPath(name).suffix.lower() for name in names]
    if any(_IDX.fullmatch(PurePosixPath(name).name) for name in names if "/" not in name):
        return Guess(source="idx_images", sentence="Images in IDX files, the format of MNIST.", modality="image")
    if any(name.endswith("_TRAIN.ts") for name in names if "/" not in name):
        return Guess(source="ts_series", sentence="Series of the UCR archive in .ts files.", modality="series")
    if ".parquet" in endings:
        return _table(read_parquet(path), source="parquet")
    tables = [name for name in names if name.lower().endswith(TABLE_ENDINGS)]
    has_images = any(ending in IMAGE_ENDINGS for ending in endings)
    if has_images and not tables:
        return _images(class_folders(names, label=f"The folder {path.name!r}"), source="image_folder", what="A folder")
    for table in tables:
        guess = _csv(path / table)
        if guess.modality in {"image", "audio"} or not has_images:
            return Guess(**{**guess.__dict__, "location": table})
    if has_images:
        return _images(class_folders(names, label=f"The folder {path.name!r}"), source="image_folder", what="A folder")
    if len(names) == 1:
        guess = guess_source(path / names[0])
        return Guess(**{**guess.__dict__, "location": names[0]})
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


def _csv(path: Path) -> Guess:
    return _table(read_csv(path), source="csv")


def _table(table: CsvTable | ParquetTable, *, source: str) -> Guess:
    columns = table.columns()
    split = split_column(columns, table.column)
    roles = roles_of(columns, split=split)
    if not roles.label or not roles.inputs:
        raise UserError(
            f"{table.reading.split(':')[0]} is a table of {table.rows:,} rows, but no column looks like "
            f"{'a label' if not roles.label else 'an input'}. Its columns: {_shown(table.names)}."
        )
    config: dict[str, Any] = {
        "inputs": list(roles.inputs),
        "label": roles.label,
        "modality": roles.modality,
        "task": roles.task,
    }
    if split:
        config["split_column"] = split
    return Guess(
        source=source,
        config=config,
        sentence=_sentence(table, roles, split),
        modality=roles.modality,
        task=roles.task,
        other_inputs=roles.other_inputs,
        other_labels=roles.other_labels,
    )


def _sentence(table: CsvTable | ParquetTable, roles: Roles, split: str) -> str:
    what = {"image": "images", "audio": "recordings", "text": "texts", "series": "series"}.get(
        roles.modality, "numbers"
    )
    asks = {
        "classification": "says the class",
        "multi-label": "lists the labels",
        "regression": "is the number to predict",
    }[roles.task]
    parts = f", column {split!r} the split" if split else ""
    join = "s" if len(roles.inputs) > 1 else ""
    return (
        f"A table of {table.rows:,} rows: {what} in column{join} {_shown(roles.inputs)}; column {roles.label!r} "
        f"{asks}{parts}."
    )


def _npz(path: Path) -> Guess:
    names = array_names(path)
    pairs = array_pairs(names)
    if not pairs:
        raise UserError(
            f"{path.name} needs an array of inputs and one of labels, for example x and y. It holds: "
            f"{_shown(names) or 'no arrays'}."
        )
    chosen = {name for pair in pairs for name in pair[:2]}
    others = tuple(name for name in names if name not in chosen)
    config = {} if len(pairs) > 1 or pairs[0][2] else {"inputs": pairs[0][0], "label": pairs[0][1]}
    return Guess(
        source="npz",
        config=config,
        sentence=f"Arrays of numpy: inputs in {' and '.join(pair[0] for pair in pairs)}, labels in "
        f"{' and '.join(pair[1] for pair in pairs)}.",
        other_inputs=tuple((name,) for name in others),
        other_labels=others,
    )


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
