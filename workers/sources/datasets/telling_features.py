"""Inputs that give the label away, and groups that lie in several splits: scores on them are too good to be true."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.sources.datasets.findings import Finding, first_names
from workers.sources.protocols import Dataset

LEAST_ROWS = 20
LEAST_ROWS_A_VALUE = 5
CORRELATION = 0.9999
MOST_CLASSES_IN_TEXTS = 50
SHARE_OF_TEXTS = 0.9
TEXTS_LOOKED_AT = 5_000


def telling_found(dataset: Dataset, facts: dict[str, Any]) -> Iterator[Finding]:
    """Columns of a table that say the label, and texts that hold the name of their class."""
    if len(dataset) < LEAST_ROWS:
        return
    if dataset.modality == "table" and isinstance(dataset.items, np.ndarray):
        columns = _telling_columns(np.asarray(dataset.items, dtype=np.float64), dataset)
        facts["telling_columns"] = columns
        if columns:
            names = [str(name) for name in dataset.provenance.get("columns", ())]
            shown = [names[at] if at < len(names) else f"number {at + 1}" for at in columns]
            yield Finding(
                level="warning",
                kind="telling_columns",
                text=f"{'Column' if len(columns) == 1 else 'Columns'} {first_names(shown)} alone "
                f"{'says' if len(columns) == 1 else 'say'} the label of every row: scores may measure only that.",
                advice="Leave the column out of the inputs if it was made from the label.",
            )
    if dataset.modality == "text" and dataset.task == "classification":
        share = _share_named(dataset)
        if share >= SHARE_OF_TEXTS:
            yield Finding(
                level="warning",
                kind="telling_texts",
                text=f"{share:.0%} of the texts hold the name of their own class and of no other: the label can be "
                "read off.",
                advice="Take the label out of the texts if it was written into them.",
            )


def _telling_columns(values: npt.NDArray[np.float64], dataset: Dataset) -> list[int]:
    if dataset.task == "classification":
        return [at for at in range(values.shape[1]) if _says_class(values[:, at], dataset.labels)]
    if dataset.task == "regression" and dataset.targets is not None:
        targets = np.asarray(dataset.targets, dtype=np.float64)
        return [
            at
            for at in range(values.shape[1])
            if any(_is_same(values[:, at], targets[:, column]) for column in range(targets.shape[1]))
        ]
    return []


def _says_class(column: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> bool:
    """Whether few values, each of which comes again and again, name one class each."""
    if not np.isfinite(column).all():
        return False
    distinct, codes, counts = np.unique(column, return_inverse=True, return_counts=True)
    if len(distinct) < 2 or len(distinct) * LEAST_ROWS_A_VALUE > len(column) or counts.min() < 2:
        return False
    low = np.full(len(distinct), labels.max() + 1)
    high = np.full(len(distinct), -1)
    np.minimum.at(low, codes, labels)
    np.maximum.at(high, codes, labels)
    return bool((low == high).all()) and len(np.unique(low)) > 1


def _is_same(column: npt.NDArray[np.float64], target: npt.NDArray[np.float64]) -> bool:
    """Whether a column is the target, but for scale and shift."""
    there = np.isfinite(column) & np.isfinite(target)
    a, b = column[there], target[there]
    if there.sum() < LEAST_ROWS or not a.std() or not b.std():
        return False
    return bool(abs(np.corrcoef(a, b)[0, 1]) >= CORRELATION)


def _share_named(dataset: Dataset) -> float:
    names = [name.strip().lower() for name in dataset.classes]
    if len(names) > MOST_CLASSES_IN_TEXTS or any(len(name) < 3 for name in names):
        return 0.0
    patterns = [re.compile(rf"(?<!\w){re.escape(name)}(?!\w)") for name in names]
    rows = np.unique(np.linspace(0, len(dataset) - 1, TEXTS_LOOKED_AT).astype(np.int64))
    own = sum(_only_own(str(dataset.items[row]).lower(), patterns, int(dataset.labels[row])) for row in rows)
    return own / len(rows)


def _only_own(text: str, patterns: list[re.Pattern[str]], label: int) -> bool:
    return all((pattern.search(text) is not None) == (at == label) for at, pattern in enumerate(patterns))


def groups_found(dataset: Dataset, facts: dict[str, Any]) -> Iterator[Finding]:
    """Groups that lie in training rows and in others, and groups of which there are too few."""
    if dataset.groups is None:
        return
    found = np.unique(dataset.groups)
    facts["groups"] = len(found)
    if len(found) == 1:
        yield Finding(
            level="warning",
            kind="one_group",
            text="All rows belong to one group, so rows cannot be split by it.",
            advice="Choose another column for the groups, or none.",
        )
    if "train" not in dataset.splits:
        return
    splits = np.array(dataset.splits)
    crossing = np.isin(dataset.groups, dataset.groups[splits == "train"]) & (splits != "train") & (splits != "")
    if crossing.any():
        several = np.unique(dataset.groups[crossing])
        yield Finding(
            level="warning",
            kind="group_leakage",
            text=f"{len(several):,} of {len(found):,} groups lie in training and in other rows: accuracies on "
            f"{int(crossing.sum()):,} rows rest on a group that was seen.",
            advice="Keep each group in one split.",
            rows=int(crossing.sum()),
            at=tuple(int(row) for row in np.flatnonzero(crossing)[:5]),
        )
