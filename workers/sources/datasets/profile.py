"""The analysis "dataset_profile": what is in a data set, and what a person should know before trusting scores on it."""

from __future__ import annotations

import hashlib
import time
from typing import Any

import numpy as np

from workers.kit import DATASET_SOURCES, Context, DatasetRef, NoParams, Outcome, Table, UserError
from workers.sources.protocols import Dataset

IMBALANCE_WORTH_A_WARNING = 5.0


def _shape_in_words(dataset: Dataset) -> str:
    items = dataset.items
    if not isinstance(items, np.ndarray):
        words = [len(text.split()) for text in items]
        return f"{int(np.median(words))} words (median)"
    if dataset.modality == "image":
        return f"{items.shape[2]} × {items.shape[1]} pixels, {'grey' if items.ndim == 3 else 'colour'}"
    channels = f"{items.shape[1]} channels of " if items.shape[1] > 1 else ""
    return f"{channels}{items.shape[2]} values"


def _duplicates(dataset: Dataset) -> tuple[int, int]:
    """Rows that repeat an earlier row's content, and how many of them do so under another label."""
    first: dict[bytes, int] = {}
    repeats = conflicts = 0
    for item, label in zip(dataset.items, dataset.labels, strict=True):
        data = item.encode() if isinstance(item, str) else np.ascontiguousarray(item).tobytes()
        digest = hashlib.sha256(data).digest()
        if digest in first:
            repeats += 1
            conflicts += first[digest] != label
        else:
            first[digest] = int(label)
    return repeats, conflicts


def dataset_profile(ref: DatasetRef) -> dict[str, Any]:
    """Rows, classes, counts and warnings of a data set, as JSON values.

    Keys: rows, source_rows, modality, shape (in words), classes (names in label order), counts (rows per class, same
    order), splits (rows per split, empty if the source has none), duplicates, missing_values, warnings (sentences),
    sentence. Raises UserError where the source cannot give the data set.
    """
    dataset: Dataset = DATASET_SOURCES.get(ref.source).load()(ref)
    counts = np.bincount(dataset.labels, minlength=len(dataset.classes))
    warnings = []
    alone = [name for name, count in zip(dataset.classes, counts, strict=True) if count == 1]
    if alone:
        warnings.append(
            f"{'Class' if len(alone) == 1 else 'Classes'} {', '.join(alone)} with a single row: it cannot be in both "
            "training and test, so scores say nothing about it."
        )
    repeats, conflicts = _duplicates(dataset)
    if repeats:
        differing = f", {conflicts} of them under another label" if conflicts else ""
        warnings.append(
            f"{repeats} of {len(dataset)} rows repeat the content of an earlier row{differing}: nearest-neighbour "
            "scores and test accuracies look better than they are."
        )
    imbalance = counts.max() / counts.min()
    if imbalance >= IMBALANCE_WORTH_A_WARNING:
        largest, smallest = dataset.classes[int(counts.argmax())], dataset.classes[int(counts.argmin())]
        warnings.append(
            f"Class {largest} has {counts.max()} rows, class {smallest} only {counts.min()}: always naming the "
            f"largest class is right on {counts.max() / len(dataset):.0%} of the rows."
        )
    is_float = isinstance(dataset.items, np.ndarray) and dataset.items.dtype.kind == "f"
    missing = int(np.isnan(dataset.items).sum()) if is_float else 0
    if missing:
        warnings.append(f"{missing} values are missing.")
    of_all = f" of {dataset.source_rows:,}" if dataset.source_rows > len(dataset) else ""
    return {
        "rows": len(dataset),
        "source_rows": dataset.source_rows,
        "modality": dataset.modality,
        "shape": _shape_in_words(dataset),
        "classes": list(dataset.classes),
        "counts": [int(count) for count in counts],
        "splits": {name: dataset.splits.count(name) for name in sorted(set(dataset.splits))},
        "duplicates": repeats,
        "missing_values": missing,
        "warnings": warnings,
        "provenance": dataset.provenance,
        "sentence": f"{len(dataset):,}{of_all} rows in {len(dataset.classes)} classes, {_shape_in_words(dataset)}.",
    }


def run(spec: NoParams, context: Context) -> Outcome:
    """The profile as an outcome: summary = `dataset_profile`, table "classes" (class, rows, share)."""
    if context.dataset is None:
        raise UserError("Choose a data set to profile.", field="dataset")
    started = time.monotonic()
    context.checkpoint(0, 1, f"reading {context.dataset.name}")
    profile = dataset_profile(context.dataset)
    for warning in profile["warnings"]:
        context.log(warning, level="warning")
    context.checkpoint(1, 1, "done")
    rows = [
        (name, count, count / profile["rows"])
        for name, count in zip(profile["classes"], profile["counts"], strict=True)
    ]
    return Outcome(
        summary=profile,
        tables={"classes": Table(columns=("class", "rows", "share"), rows=rows)},
        provenance={
            **profile["provenance"],
            "duplicates": "rows with the same SHA-256 of their content",
            "seconds": round(time.monotonic() - started, 3),
        },
    )
