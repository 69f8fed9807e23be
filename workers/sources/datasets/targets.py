"""What a source writes as labels, read as classes, as several labels per row, or as numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.kit import UserError
from workers.sources.datasets.sampling import in_label_order
from workers.sources.protocols import Dropped

TASKS = ("classification", "multi-label", "regression")
EXAMPLES = 5
MAX_CLASSES = 20_000
MAX_LABEL_LENGTH = 200
MISSING_WORDS = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-"})
_YES, _NO = frozenset({"1", "1.0", "true", "yes", "t", "y"}), frozenset({"0", "0.0", "false", "no", "f", "n", ""})

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Targets:
    """The labels of the rows of a source, before sampling.

    task     see `workers.sources.protocols.Dataset`, as are labels, classes and values (there: targets)
    rows     row numbers in the source of the rows that have a label, increasing; the other fields count over these
    dropped  the rows that have none
    """

    task: str
    rows: Ints
    labels: Ints
    classes: tuple[str, ...] = ()
    values: npt.NDArray[Any] | None = None
    dropped: tuple[Dropped, ...] = ()


def dropped_rows(reason: str, names: Sequence[str]) -> tuple[Dropped, ...]:
    """One `Dropped` for these rows, or none for no rows."""
    return (Dropped(reason=reason, rows=len(names), examples=tuple(names[:EXAMPLES])),) if names else ()


def label_text(value: Any) -> str:
    """A label as text: whole numbers without a fraction, booleans as 0 and 1; "" where there is none."""
    if value is None:
        return ""
    if isinstance(value, (bool, np.bool_)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return "" if math.isnan(number) else str(int(number)) if number.is_integer() else repr(number)
    text = str(value).strip()
    return "" if text.lower() == "nan" else text


def number_of(value: Any) -> float:
    """A cell as a number; NaN where it is missing, infinite or not a number."""
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in MISSING_WORDS:
            return math.nan
        if text.count(",") == 1 and "." not in text:
            text = text.replace(",", ".")
        value = text
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def class_targets(values: Sequence[Any], *, names: Sequence[str], known: Sequence[str] = ()) -> Targets:
    """One class per row. `known` gives the names of whole-number labels, as a ClassLabel of the Hub does; -1 is none.

    Raises UserError for more than MAX_CLASSES classes and for a number that has no name in `known`.
    """
    texts = [label_text(value) for value in values]
    if known:
        texts = [_known_name(text, known) for text in texts]
    rows = np.array([row for row, text in enumerate(texts) if text], dtype=np.int64)
    kept = [texts[row] for row in rows]
    order = [name for name in dict.fromkeys(known) if name in set(kept)] if known else in_label_order(kept)
    if len(order) > MAX_CLASSES:
        raise UserError(
            f"The label has {len(order):,} different values, too many for classes: choose another label column, or "
            "the task 'regression' if it is a number.",
            field="label",
        )
    _refuse_long(order)
    number = {name: position for position, name in enumerate(order)}
    return Targets(
        task="classification",
        rows=rows,
        labels=np.array([number[text] for text in kept], dtype=np.int64),
        classes=tuple(order),
        dropped=dropped_rows("without a label", [names[row] for row, text in enumerate(texts) if not text]),
    )


def _refuse_long(classes: Sequence[str]) -> None:
    longest = max(classes, key=len, default="")
    if len(longest) > MAX_LABEL_LENGTH:
        raise UserError(
            f"A label is a text of {len(longest):,} characters ({longest[:40]!r} …), so it names no class: choose "
            "another label column.",
            field="label",
        )


def _known_name(text: str, known: Sequence[str]) -> str:
    try:
        number = int(text)
    except ValueError:
        return text
    if number == -1:
        return ""
    if not 0 <= number < len(known):
        raise UserError(
            f"A label is {number}, but the file names {len(known)} classes only: it is damaged or its names are cut.",
            field="label",
        )
    return known[number]


def label_set_targets(values: Sequence[Any], *, names: Sequence[str], known: Sequence[str] = ()) -> Targets:
    """Several labels per row from lists of labels; None is a row without an answer, an empty list one without labels.

    Raises UserError where nothing is labelled.
    """
    sets = [
        None
        if value is None
        else {
            text
            for text in (_known_name(label_text(one), known) if known else label_text(one) for one in value)
            if text
        }
        for value in values
    ]
    rows = np.array([row for row, labels in enumerate(sets) if labels is not None], dtype=np.int64)
    seen = {label for labels in sets if labels for label in labels}
    order = [name for name in dict.fromkeys(known) if name in seen] if known else in_label_order(sorted(seen))
    if not order:
        raise UserError("No row has a label: check which column holds the labels.", field="label")
    if len(order) > MAX_CLASSES:
        raise UserError(f"There are {len(order):,} different labels, too many to tell apart.", field="label")
    _refuse_long(order)
    number = {name: position for position, name in enumerate(order)}
    indicator = np.zeros((len(rows), len(order)), dtype=np.uint8)
    for position, row in enumerate(rows):
        indicator[position, [number[label] for label in sets[row] or ()]] = 1
    return Targets(
        task="multi-label",
        rows=rows,
        labels=np.zeros(len(rows), dtype=np.int64),
        classes=tuple(order),
        values=indicator,
        dropped=dropped_rows("without a label", [names[row] for row, one in enumerate(sets) if one is None]),
    )


def split_labels(values: Iterable[Any], *, delimiter: str) -> list[list[str] | None]:
    """Texts such as "cat;dog" as lists of labels; an empty text is a row without labels, None one without an answer."""
    return [
        None if value is None else [part.strip() for part in str(value).split(delimiter) if part.strip()]
        for value in values
    ]


def indicator_targets(columns: Mapping[str, Sequence[Any]], *, names: Sequence[str]) -> Targets:
    """Several labels per row from one column of yes and no for each label.

    Raises UserError for a cell that is neither.
    """
    for label, values in columns.items():
        for name, value in zip(names, values, strict=True):
            if label_text(value).lower() not in _YES | _NO:
                raise UserError(
                    f"The label column {label!r} should hold 0 and 1 only, but {name} has {str(value)[:40]!r}.",
                    field="label",
                )
    indicator = np.array(
        [[label_text(value).lower() in _YES for value in values] for values in columns.values()], dtype=np.uint8
    ).T
    if not indicator.any():
        raise UserError("No row has a label: check which columns hold the labels.", field="label")
    return Targets(
        task="multi-label",
        rows=np.arange(len(names), dtype=np.int64),
        labels=np.zeros(len(names), dtype=np.int64),
        classes=tuple(columns),
        values=np.ascontiguousarray(indicator),
    )


def number_targets(columns: Mapping[str, Sequence[Any]], *, names: Sequence[str]) -> Targets:
    """One or several numbers per row. Raises UserError where most cells are no numbers or all are equal."""
    table = np.array([[number_of(value) for value in values] for values in columns.values()], dtype=np.float64).T
    whole = ~np.isnan(table).any(axis=1)
    if whole.sum() * 2 < len(table) or not whole.any():
        raise UserError(
            f"Most values of {', '.join(map(repr, columns))} are missing or no numbers, so they cannot be the target "
            "of a regression: choose another column or the task 'classification'.",
            field="label",
        )
    if (table[whole].min(axis=0) == table[whole].max(axis=0)).any():
        raise UserError("The target has the same value in every row, so there is nothing to predict.", field="label")
    return Targets(
        task="regression",
        rows=np.flatnonzero(whole).astype(np.int64),
        labels=np.zeros(int(whole.sum()), dtype=np.int64),
        values=table[whole],
        dropped=dropped_rows("without a number as target", [names[int(row)] for row in np.flatnonzero(~whole)]),
    )
