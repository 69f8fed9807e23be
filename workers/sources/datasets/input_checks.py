"""What can be found in the inputs of a data set, one sort of input after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from workers.sources.datasets.findings import EXAMPLES, Finding
from workers.sources.datasets.image_rows import ImageRows
from workers.sources.datasets.near_duplicates import copies_of, near_pairs
from workers.sources.protocols import Dataset

LENGTH_RATIO = 10.0


def values_found(dataset: Dataset, facts: dict[str, Any]) -> Iterator[Finding]:
    """Missing values, and columns that never change."""
    items = dataset.items
    facts["missing_values"] = 0
    if not isinstance(items, np.ndarray) or items.dtype.kind != "f":
        return
    missing = ~np.isfinite(items)
    facts["missing_values"] = int(missing.sum())
    if missing.any():
        yield Finding(
            level="warning",
            kind="missing_values",
            text=f"{_counted(int(missing.sum()), 'value is', 'values are')} missing.",
            advice="Fill them, or leave out the rows or columns that they stand in.",
            rows=int(missing.reshape(len(items), -1).any(axis=1).sum()),
            at=tuple(int(row) for row in np.flatnonzero(missing.reshape(len(items), -1).any(axis=1))[:EXAMPLES]),
        )
    if dataset.modality == "table" and len(items) > 1:
        constant = int(
            (
                np.nanmax(np.where(missing, -np.inf, items), axis=0)
                == np.nanmin(np.where(missing, np.inf, items), axis=0)
            ).sum()
        )
        if constant:
            yield Finding(
                level="note",
                kind="constant_columns",
                text=f"{constant} of {items.shape[1]} columns have one value in every row.",
                advice="Leave them out: they tell nothing apart.",
            )


def texts_found(dataset: Dataset, facts: dict[str, Any]) -> Iterator[Finding]:
    """Empty and very long texts."""
    if dataset.modality != "text":
        return
    words = np.array([len(str(text).split()) for text in dataset.items], dtype=np.int64)
    facts["lengths"] = {"shortest": int(words.min()), "median": float(np.median(words)), "longest": int(words.max())}
    empty = int((words == 0).sum())
    if empty:
        yield Finding(
            level="warning",
            kind="empty_texts",
            text=f"{_counted(empty, 'text is', 'texts are')} empty.",
            advice="Fill or remove them.",
            rows=empty,
            at=tuple(int(row) for row in np.flatnonzero(words == 0)[:EXAMPLES]),
        )
    if words.max() > LENGTH_RATIO * max(float(np.median(words)), 1):
        yield Finding(
            level="note",
            kind="long_texts",
            text=f"The longest text has {words.max():,} words, half of them have {np.median(words):.0f} or fewer; "
            "models read the first part of a long text only.",
        )


def images_found(dataset: Dataset, digests: Sequence[bytes], facts: dict[str, Any]) -> Iterator[Finding]:
    """Sizes, what was done to read them, and images that nearly repeat others."""
    if dataset.modality != "image":
        return
    if isinstance(dataset.items, ImageRows) and dataset.items.side:
        heights, widths = zip(*dataset.items.sizes, strict=True)
        sizes = len(set(dataset.items.sizes))
        facts["sizes"] = {
            "different": sizes,
            "width": [min(widths), max(widths)],
            "height": [min(heights), max(heights)],
        }
        yield Finding(
            level="note",
            kind="sizes",
            text=f"Images have {sizes:,} sizes, from {min(widths)} × {min(heights)} to {max(widths)} × {max(heights)} "
            f"pixels; models that do not scale by themselves are given {dataset.items.side} × {dataset.items.side}.",
        )
    for change, count in dict(dataset.provenance.get("changes", {})).items():
        yield Finding(
            level="note", kind="changed_images", text=f"{count:,} of {len(dataset):,} images: {change}.", rows=count
        )
    small = copies_of(dataset.items)
    pairs = near_pairs(small, contents=digests) if small is not None else []
    facts["near_duplicates"] = len(pairs)
    if pairs:
        yield Finding(
            level="note",
            kind="near_duplicates",
            text=f"{_counted(len({b for _, b in pairs}), 'image looks', 'images look')} nearly the same as an earlier "
            "one, for example "
            f"{_pair_in_words(dataset, pairs[0])}.",
            advice="Look at them: copies that were scaled or saved again make scores look better than they are.",
            rows=len({b for _, b in pairs}),
            at=_both(pairs),
        )
    crossing = [pair for pair in pairs if dataset.splits and len({dataset.splits[row] for row in pair}) > 1]
    if crossing:
        yield Finding(
            level="note",
            kind="near_leakage",
            text=f"{_counted(len(crossing), 'pair of such images lies', 'pairs of such images lie')} in different "
            "splits, for example "
            f"{_pair_in_words(dataset, crossing[0])}.",
            advice="Keep each group of copies in one split.",
            rows=len(crossing),
            at=_both(crossing),
        )


def _counted(count: int, one: str, several: str) -> str:
    return f"{count:,} {one if count == 1 else several}"


def _both(pairs: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(row for pair in pairs[:3] for row in pair))


def _pair_in_words(dataset: Dataset, pair: tuple[int, int]) -> str:
    names = [dataset.row_names[row] if dataset.row_names else f"row {dataset.row_ids[row]}" for row in pair]
    return f"{names[1]} and {names[0]}"


def recordings_found(dataset: Dataset, facts: dict[str, Any]) -> Iterator[Finding]:
    """Silence and unequal lengths."""
    if dataset.modality != "audio":
        return
    seconds = np.array([len(item) for item in dataset.items]) / max(dataset.rate, 1)
    facts["lengths"] = {
        "shortest": float(seconds.min()),
        "median": float(np.median(seconds)),
        "longest": float(seconds.max()),
    }
    silent = sum(not np.any(item) for item in dataset.items)
    if silent:
        yield Finding(
            level="warning",
            kind="silence",
            text=f"{_counted(silent, 'recording is', 'recordings are')} silent.",
            advice="Remove them or record them anew.",
            rows=silent,
            at=tuple(at for at, item in enumerate(dataset.items) if not np.any(item))[:EXAMPLES],
        )
    if seconds.max() > seconds.min():
        yield Finding(
            level="note",
            kind="lengths",
            text=f"Recordings last from {seconds.min():.2g} to {seconds.max():.2g} s, half of them up to "
            f"{np.median(seconds):.2g} s.",
        )
