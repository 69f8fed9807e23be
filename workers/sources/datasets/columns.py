"""What a column of a table holds, and which column is the input, which the label, which the split."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from workers.sources.datasets.class_folders import AUDIO_ENDINGS, IMAGE_ENDINGS, split_of
from workers.sources.datasets.targets import MISSING_WORDS, number_of

LABEL_NAMES = ("label", "labels", "class", "classes", "target", "targets", "y", "category", "sentiment", "species")
SPLIT_NAMES = frozenset({"split", "set", "subset", "partition"})
NUMBERS = frozenset({"integer", "number"})
# Kinds that are an input on their own, the most telling first.
SINGLE_INPUTS = ("image", "audio", "series", "text")
MODALITIES = {"image": "image", "audio": "audio", "series": "series", "text": "text", "word": "text"}
CLASSES_AT_MOST = 50
CLASSES_SHARE = 0.2
_LIST_OF_NUMBERS = re.compile(r"\s*[\[(]?\s*(-?\d+(\.\d*)?([eE][-+]?\d+)?[\s,;|]+){3,}-?\d.*", re.DOTALL)
_SIGNATURES = (
    ("image", b"\xff\xd8\xff"),
    ("image", b"\x89PNG\r\n"),
    ("image", b"GIF8"),
    ("image", b"BM"),
    ("image", b"II*\0"),
    ("image", b"MM\0*"),
    ("audio", b"fLaC"),
    ("audio", b"OggS"),
    ("audio", b"ID3"),
)


@dataclass(frozen=True, kw_only=True)
class Column:
    """What the first rows of a column show.

    kind      "image", "audio" (paths or bytes), "series" (lists of numbers), "text" (sentences), "word" (few words),
              "integer", "number", "labels" (lists of labels) or "other"
    is_class  the file itself says that these are classes
    distinct  different values among the rows that were looked at
    rows      rows that were looked at and are not missing
    """

    name: str
    kind: str
    is_class: bool = False
    distinct: int = 0
    rows: int = 0

    @property
    def is_like_classes(self) -> bool:
        """Whether few values come again and again."""
        few = self.distinct <= max(2, min(CLASSES_AT_MOST, self.rows * CLASSES_SHARE))
        return self.is_class or (self.kind in {"word", "integer"} and self.distinct >= 2 and few)


@dataclass(frozen=True, kw_only=True)
class Roles:
    """The columns of a table by what they are for, the likeliest first.

    inputs           the columns of the likeliest input
    label            the likeliest label; "" for none
    split            the column that names train and test; "" for none
    modality, task   of the likeliest choice
    other_inputs     further inputs that could be meant, each a tuple of columns
    other_labels     further labels that could be meant
    """

    inputs: tuple[str, ...] = ()
    label: str = ""
    split: str = ""
    modality: str = ""
    task: str = "classification"
    other_inputs: tuple[tuple[str, ...], ...] = ()
    other_labels: tuple[str, ...] = ()


def kind_of_bytes(data: bytes) -> str:
    """ "image", "audio" or "other", by the first bytes of a file."""
    for kind, start in _SIGNATURES:
        if data.startswith(start):
            return kind
    if data[:4] == b"RIFF" and data[8:12] in {b"WAVE", b"WEBP"}:
        return "audio" if data[8:12] == b"WAVE" else "image"
    return "other"


def _kind_of_texts(texts: Sequence[str]) -> str:
    endings = [PurePosixPath(text.replace("\\", "/")).suffix.lower() for text in texts]
    for kind, known in (("image", IMAGE_ENDINGS), ("audio", AUDIO_ENDINGS)):
        if all(ending in known for ending in endings):
            return kind
    if all(_LIST_OF_NUMBERS.fullmatch(text) for text in texts):
        return "series"
    numbers = [number_of(text) for text in texts]
    if not any(math.isnan(number) for number in numbers):
        return (
            "integer"
            if all(number.is_integer() and "." not in t for number, t in zip(numbers, texts, strict=True))
            else "number"
        )
    words = sum(len(text.split()) for text in texts) / len(texts)
    return "text" if words >= 3 else "word"


def kind_of_values(values: Sequence[Any]) -> str:
    """The kind of a column by its values, none of which is missing."""
    if not values:
        return "other"
    first = values[0]
    if isinstance(first, str):
        return _kind_of_texts([str(value) for value in values])
    if isinstance(first, bytes):
        return kind_of_bytes(first)
    if isinstance(first, Mapping):
        return _kind_of_struct(first)
    if isinstance(first, (list, tuple)):
        return _kind_of_lists([value for value in values if value])
    if isinstance(first, (bool, int)):
        return "integer"
    return "number" if isinstance(first, float) else "other"


def _kind_of_struct(value: Mapping[str, Any]) -> str:
    data, path = value.get("bytes"), value.get("path")
    if isinstance(data, bytes):
        return kind_of_bytes(data)
    return kind if isinstance(path, str) and (kind := _kind_of_texts([path])) in {"image", "audio"} else "other"


def _kind_of_lists(values: Sequence[Sequence[Any]]) -> str:
    if not values:
        return "other"
    first = values[0][0]
    if isinstance(first, (list, tuple)):
        return "series" if first and isinstance(first[0], (int, float)) else "other"
    return "labels" if isinstance(first, str) else "series" if isinstance(first, (int, float)) else "other"


def described(name: str, values: Sequence[Any], *, is_class: bool = False, kind: str = "") -> Column:
    """A column by its first values; texts that mean "missing" are left out."""
    there = [value for value in values if value is not None and not (isinstance(value, str) and is_missing(value))]
    found = kind or kind_of_values(there)
    simple = found in {"word", "integer", "number", "text"}
    return Column(
        name=name,
        kind=found,
        is_class=is_class,
        distinct=len(set(there)) if simple else 0,
        rows=len(there),
    )


def is_missing(text: str) -> bool:
    """Whether a cell says that there is no value."""
    return text.strip().lower() in MISSING_WORDS


def split_column(columns: Sequence[Column], read: Callable[[str], Sequence[Any]]) -> str:
    """The column that names the split of each row, "" for none; `read` gives all values of a column."""
    for one in columns:
        if one.kind == "word" and one.name.strip().lower() in SPLIT_NAMES:
            texts = {value for value in read(one.name) if isinstance(value, str) and value}
            if texts and all(split_of(text) for text in texts):
                return one.name
    return ""


def _label_rank(column: Column, *, position: int, count: int) -> tuple[int, ...]:
    """Smaller is likelier."""
    name = column.name.strip().lower()
    named = LABEL_NAMES.index(name) if name in LABEL_NAMES else len(LABEL_NAMES)
    if named == len(LABEL_NAMES) and any(part in LABEL_NAMES for part in re.split(r"[_\s.-]+", name)):
        named = len(LABEL_NAMES) - 1
    ends = 0 if position == count - 1 else 1 if position == 0 else 2
    return (not column.is_class, named, not column.is_like_classes, column.kind != "word", ends, position)


def _is_numbering(column: Column) -> bool:
    """Whether a column counts the rows, as an index does."""
    name = column.name.strip().lower()
    is_named = name in {"", "id", "index", "idx", "row", "unnamed: 0"} or name.endswith(("_id", " id"))
    return is_named and column.kind in {"integer", "word"} and column.distinct == column.rows


def roles_of(columns: Sequence[Column], *, split: str = "", label_names: Sequence[str] = ()) -> Roles:
    """Which column is what, judged by kinds, names and how many different values there are.

    `label_names` are known to be labels: the first is the label, none is an input.
    """
    known = [one for one in columns if one.name in label_names]
    usable = [
        one
        for one in columns
        if one not in known and one.name != split and not _is_numbering(one) and one.kind != "other"
    ]
    could_be = [
        (_label_rank(one, position=position, count=len(usable)), one)
        for position, one in enumerate(usable)
        if one.is_like_classes or one.kind in {"labels", "word", *NUMBERS}
    ]
    ranked = known or [one for _, one in sorted(could_be, key=lambda pair: pair[0])]
    # A number that nothing calls a label is one only where nothing better is there.
    label = known[0] if known else next((one for one in ranked if _can_be_label(one, ranked)), None)
    inputs = _inputs(usable, label=label)
    first = inputs[0] if inputs else ()
    kinds = {one.name: one.kind for one in usable}
    return Roles(
        inputs=first,
        label=label.name if label else "",
        split=split,
        modality=MODALITIES.get(kinds[first[0]], "table") if first else "",
        task=task_of(label) if label else "classification",
        other_inputs=tuple(inputs[1:]),
        other_labels=tuple(one.name for one in ranked if one is not label),
    )


def _can_be_label(column: Column, ranked: Sequence[Column]) -> bool:
    if column.is_like_classes or column.kind == "labels":
        return True
    is_named = any(part in LABEL_NAMES for part in re.split(r"[_\s.-]+", column.name.strip().lower()))
    return is_named or not any(one.is_like_classes or one.kind == "labels" for one in ranked)


def _inputs(usable: Sequence[Column], *, label: Column | None) -> list[tuple[str, ...]]:
    left = [one for one in usable if one is not label and one.kind != "labels"]
    found: list[tuple[str, ...]] = [(one.name,) for kind in SINGLE_INPUTS for one in left if one.kind == kind]
    numbers = tuple(one.name for one in left if one.kind in NUMBERS)
    words: list[tuple[str, ...]] = [(one.name,) for one in left if one.kind == "word"]
    return found + ([numbers] if numbers else []) + words


def task_of(column: Column) -> str:
    """The task that a label column asks for."""
    if column.kind == "labels":
        return "multi-label"
    is_number = column.kind == "number" or (column.kind == "integer" and not column.is_like_classes)
    return (
        "regression"
        if is_number and not column.is_class and column.distinct > CLASSES_AT_MOST / 5
        else "classification"
    )
