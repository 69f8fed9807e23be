"""What stands in the way of trusting scores on a data set: findings in words, each with what to do about it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.sources.datasets.findings import EXAMPLES, DatasetReport, Finding, first_names
from workers.sources.datasets.input_checks import images_found, recordings_found, texts_found, values_found
from workers.sources.datasets.telling_features import groups_found, telling_found
from workers.sources.protocols import Dataset

IMBALANCE_WORTH_A_WARNING = 5.0
FEW_ROWS = 20
BETA = 0.999


def effective_rows(counts: npt.NDArray[np.int64], *, beta: float = BETA) -> npt.NDArray[np.float64]:
    """Effective number of rows per class, (1 − β^n)/(1 − β). Source: Cui et al., CVPR 2019, proposition 1."""
    return (1 - beta ** counts.astype(np.float64)) / (1 - beta)


def row_digests(dataset: Dataset) -> list[bytes]:
    """SHA-256 of what a model would be given of each row."""
    return [hashlib.sha256(_bytes(item)).digest() for item in dataset.items]


def _bytes(item: Any) -> bytes:
    if isinstance(item, str):
        return item.encode("utf-8", "surrogatepass")
    array = np.ascontiguousarray(item)
    return repr(array.shape).encode() + array.tobytes()


def _answers(dataset: Dataset) -> list[bytes]:
    """What each row is labelled with, to tell whether two rows agree."""
    values = dataset.labels if dataset.targets is None else dataset.targets
    return [np.ascontiguousarray(value).tobytes() for value in values]


def check_dataset(dataset: Dataset) -> DatasetReport:
    """Everything that can be told from the data set itself; it is read once, images twice where they are not held."""
    digests = row_digests(dataset)
    facts: dict[str, Any] = {}
    found = [
        *_labels(dataset, facts),
        *_repeats(dataset, digests, facts),
        *_balance(dataset, facts),
        *values_found(dataset, facts),
        *_leaks(dataset, digests, facts),
        *_splits(dataset),
        *groups_found(dataset, facts),
        *telling_found(dataset, facts),
        *_dropped(dataset, facts),
        *texts_found(dataset, facts),
        *images_found(dataset, digests, facts),
        *recordings_found(dataset, facts),
    ]
    order = {"error": 0, "warning": 1, "note": 2}
    return DatasetReport(findings=tuple(sorted(found, key=lambda one: order[one.level])), facts=facts)


def class_counts(dataset: Dataset) -> npt.NDArray[np.int64]:
    """Rows of each class, or of each label of a multi-label task; empty for a regression."""
    if dataset.task == "regression":
        return np.zeros(0, dtype=np.int64)
    if dataset.targets is not None:
        return np.asarray(dataset.targets.sum(axis=0), dtype=np.int64)
    return np.bincount(dataset.labels, minlength=len(dataset.classes)).astype(np.int64)


def _labels(dataset: Dataset, facts: dict[str, Any]) -> Iterator[Finding]:
    rows = len(dataset)
    counts = class_counts(dataset)
    if dataset.task == "classification" and (counts > 0).sum() < 2:
        yield Finding(
            level="error",
            kind="one_class",
            text="All rows have the same label.",
            advice="Check which column or folder holds the labels: at least two classes are needed.",
        )
    alone = [name for name, count in zip(dataset.classes, counts, strict=True) if count == 1]
    if alone:
        only = np.flatnonzero(counts[dataset.labels] == 1)[:EXAMPLES] if dataset.task == "classification" else ()
        yield Finding(
            level="warning",
            kind="single_rows",
            text=f"{'Class' if len(alone) == 1 else 'Classes'} {first_names(alone)} with a single row: it cannot be in "
            "both training and test, so scores say nothing about it.",
            advice="Add rows to these classes, merge them with others or leave them out.",
            rows=len(alone),
            at=tuple(int(row) for row in only),
        )
    if dataset.task == "classification" and len(dataset.classes) > rows / 2:
        yield Finding(
            level="error" if len(dataset.classes) == rows else "warning",
            kind="many_classes",
            text=f"There are {len(dataset.classes):,} classes for {rows:,} rows.",
            advice="Check that the label is a class and not an identifier or a number; for a number choose regression.",
        )
    if rows < FEW_ROWS:
        yield Finding(
            level="note",
            kind="few_rows",
            text=f"There are {rows} rows only, so intervals will be wide.",
            advice=f"Add rows: {FEW_ROWS} and more for each class are a start.",
        )
    if dataset.task == "multi-label" and dataset.targets is not None:
        empty = int((dataset.targets.sum(axis=1) == 0).sum())
        if empty:
            yield Finding(
                level="note", kind="no_labels", text=f"{empty:,} of {rows:,} rows have none of the labels.", rows=empty
            )


def _repeats(dataset: Dataset, digests: Sequence[bytes], facts: dict[str, Any]) -> Iterator[Finding]:
    first: dict[bytes, tuple[int, bytes]] = {}
    repeats = conflicts = 0
    shown: list[int] = []
    for position, (digest, answer) in enumerate(zip(digests, _answers(dataset), strict=True)):
        if digest not in first:
            first[digest] = (position, answer)
            continue
        earlier, stated = first[digest]
        repeats += 1
        conflicts += stated != answer
        if len(shown) < EXAMPLES:
            shown += [one for one in (earlier, position) if one not in shown]
    facts.update(duplicates=repeats, conflicts=conflicts)
    if repeats:
        differing = f", {conflicts} of them under another label" if conflicts else ""
        yield Finding(
            level="warning",
            kind="duplicates",
            text=f"{repeats} of {len(dataset)} rows repeat the content of an earlier row{differing}: nearest-neighbour "
            "scores and test accuracies look better than they are.",
            advice="Keep one row of each"
            + (", and settle which label is right where they differ." if conflicts else "."),
            rows=repeats,
            at=tuple(shown),
        )


def _balance(dataset: Dataset, facts: dict[str, Any]) -> Iterator[Finding]:
    counts = class_counts(dataset)
    present = counts[counts > 0]
    if len(present) < 2:
        return
    imbalance = float(present.max() / present.min())
    facts["imbalance"] = round(imbalance, 3)
    facts["effective_rows"] = [round(float(value), 1) for value in effective_rows(counts)]
    if imbalance < IMBALANCE_WORTH_A_WARNING:
        return
    largest = dataset.classes[int(counts.argmax())]
    smallest = dataset.classes[int(np.where(counts > 0, counts, counts.max()).argmin())]
    if dataset.task == "multi-label":
        text = f"Label {largest} is given to {present.max()} rows, label {smallest} only to {present.min()}."
    else:
        text = (
            f"Class {largest} has {present.max()} rows, class {smallest} only {present.min()}: always naming the "
            f"largest class is right on {present.max() / len(dataset):.0%} of the rows."
        )
    yield Finding(
        level="warning",
        kind="imbalance",
        text=text,
        advice="Read scores beside that of the largest class, prefer balanced accuracy, or add rows to small classes.",
    )


def _leaks(dataset: Dataset, digests: Sequence[bytes], facts: dict[str, Any]) -> Iterator[Finding]:
    if not dataset.splits:
        return
    seen: dict[bytes, set[str]] = {}
    for digest, split in zip(digests, dataset.splits, strict=True):
        seen.setdefault(digest, set()).add(split)
    leaked = {
        other: sum(
            split == other and "train" in seen[digest] for digest, split in zip(digests, dataset.splits, strict=True)
        )
        for other in ("validation", "test")
    }
    facts["leaked"] = {name: count for name, count in leaked.items() if count}
    for name, count in facts["leaked"].items():
        total = dataset.splits.count(name)
        yield Finding(
            level="warning",
            kind="leakage",
            text=f"{count:,} of {total:,} {name} rows are in the training rows, too: accuracies on them are learnt by "
            "heart.",
            advice="Take these rows out of training.",
            rows=count,
            at=_leaked(dataset, digests, seen, name),
        )


def _leaked(dataset: Dataset, digests: Sequence[bytes], seen: dict[bytes, set[str]], name: str) -> tuple[int, ...]:
    rows = (
        row
        for row, (digest, split) in enumerate(zip(digests, dataset.splits, strict=True))
        if split == name and "train" in seen[digest]
    )
    return tuple(islice(rows, EXAMPLES))


def _splits(dataset: Dataset) -> Iterator[Finding]:
    if dataset.task != "classification" or "train" not in dataset.splits:
        return
    splits = np.array(dataset.splits)
    known = set(dataset.labels[splits == "train"].tolist())
    for other in ("validation", "test"):
        new = sorted(set(dataset.labels[splits == other].tolist()) - known)
        if new:
            yield Finding(
                level="warning",
                kind="unseen_classes",
                text=f"The {other} rows have classes that no training row has: "
                f"{first_names([dataset.classes[label] for label in new])}.",
                advice="Add training rows of these classes or leave them out.",
                rows=int(np.isin(dataset.labels[splits == other], new).sum()),
            )


def _dropped(dataset: Dataset, facts: dict[str, Any]) -> Iterator[Finding]:
    facts["dropped"] = {one.reason: one.rows for one in dataset.dropped}
    for one in dataset.dropped:
        is_other_file = one.reason.endswith("by their names")
        yield Finding(
            level="note" if is_other_file else "warning",
            kind="dropped",
            text=f"{one.rows:,} {'file' if is_other_file else 'row'}{'s' if one.rows > 1 else ''} left out, "
            f"{one.reason}: {', '.join(one.examples)}{' …' if one.rows > len(one.examples) else ''}.",
            advice="" if is_other_file else "Repair them, or take them out on purpose.",
            rows=one.rows,
        )
