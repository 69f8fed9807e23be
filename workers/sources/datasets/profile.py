"""The analysis "dataset_profile": what is in a data set, and what a person should know before trusting scores on it."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import numpy as np

from workers.kit import DATASET_SOURCES, Context, DatasetRef, NoParams, Outcome, Table, UserError
from workers.sources.datasets.checking import check_dataset, class_counts
from workers.sources.datasets.findings import Finding
from workers.sources.datasets.image_rows import ImageRows
from workers.sources.datasets.samples import sample_positions, shown_rows
from workers.sources.protocols import Dataset


def _shape_in_words(dataset: Dataset) -> str:
    items = dataset.items
    if dataset.modality == "text":
        words = [len(str(text).split()) for text in items]
        return f"{int(np.median(words))} words (median)"
    if dataset.modality == "audio":
        return f"{np.median([len(item) for item in items]) / dataset.rate:.2g} s of sound (median)"
    if isinstance(items, ImageRows):
        colour = "grey" if items.is_grey else "colour"
        if items.side:
            return f"images of {len(set(items.sizes))} sizes, {colour}"
        return f"{items.sizes[0][1]} × {items.sizes[0][0]} pixels, {colour}"
    shape = np.shape(items)
    if dataset.modality == "image":
        return f"{shape[2]} × {shape[1]} pixels, {'grey' if len(shape) == 3 else 'colour'}"
    if dataset.modality == "table":
        return f"{shape[1]} numbers"
    channels = f"{shape[1]} channels of " if shape[1] > 1 else ""
    return f"{channels}{shape[2]} values"


def _task_in_words(dataset: Dataset) -> str:
    if dataset.task == "regression":
        return "with a number to predict"
    if dataset.task == "multi-label":
        return f"with any of {len(dataset.classes)} labels"
    return f"in {len(dataset.classes)} classes"


def dataset_profile(ref: DatasetRef) -> dict[str, Any]:
    """`profile_of` the data set that the reference names. Raises UserError where the source cannot give it."""
    return profile_of(DATASET_SOURCES.get(ref.source).load()(ref))


def profile_of(dataset: Dataset) -> dict[str, Any]:
    """Rows, classes, counts and findings of a data set, as JSON values.

    Keys: rows, source_rows, modality, task, shape (in words), classes (names in label order), counts (rows per class,
    same order), splits (rows per split, empty if the source has none), duplicates, missing_values, warnings (sentences
    of the findings that are no notes), findings (level, kind, text, advice, rows, examples), facts (see
    `DatasetReport`), samples and examples (rows to look at: name, label, split, picture or text), targets (least and
    most of each number of a regression), is_acceptable, report (a sentence), sentence.
    """
    report = check_dataset(dataset)
    of_all = f" of {dataset.source_rows:,}" if dataset.source_rows > len(dataset) else ""
    shape = _shape_in_words(dataset)
    return {
        "rows": len(dataset),
        "source_rows": dataset.source_rows,
        "modality": dataset.modality,
        "task": dataset.task,
        "shape": shape,
        "classes": list(dataset.classes),
        "counts": [int(count) for count in class_counts(dataset)],
        "splits": {name: dataset.splits.count(name) for name in sorted(set(dataset.splits))},
        "duplicates": report.facts["duplicates"],
        "missing_values": report.facts["missing_values"],
        "warnings": [finding.text for finding in report.findings if finding.level != "note"],
        "findings": [_shown_finding(dataset, finding) for finding in report.findings],
        "samples": shown_rows(dataset, sample_positions(dataset)),
        "targets": _ranges(dataset),
        "facts": report.facts,
        "is_acceptable": report.is_acceptable,
        "report": report.sentence,
        "provenance": dataset.provenance,
        "sentence": f"{len(dataset):,}{of_all} rows {_task_in_words(dataset)}, {shape}.",
    }


def _shown_finding(dataset: Dataset, finding: Finding) -> dict[str, Any]:
    shown = {name: value for name, value in asdict(finding).items() if name != "at"}
    return {**shown, "examples": shown_rows(dataset, finding.at)}


def _ranges(dataset: Dataset) -> list[list[float]]:
    if dataset.task != "regression" or dataset.targets is None:
        return []
    return [[float(column.min()), float(column.max())] for column in np.asarray(dataset.targets).T]


def run(spec: NoParams, context: Context) -> Outcome:
    """The profile as an outcome: summary = `dataset_profile`, tables "classes" (class, rows, share) and "findings"."""
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
        tables={
            "classes": Table(columns=("class", "rows", "share"), rows=rows),
            "findings": Table(
                columns=("level", "finding", "what to do", "rows"),
                rows=[(one["level"], one["text"], one["advice"], one["rows"]) for one in profile["findings"]],
            ),
        },
        provenance={
            **profile["provenance"],
            "duplicates": "rows with the same SHA-256 of their content",
            "seconds": round(time.monotonic() - started, 3),
        },
    )
