"""A few rows of a data set to look at: small pictures, the beginnings of texts, names."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from workers.sources.datasets.image_rows import ImageRows
from workers.sources.protocols import Dataset

SAMPLE_ROWS = 12
SIDE = 64
TEXT_LENGTH = 240
NUMBERS = 6
NAME_LENGTH = 120


def sample_positions(dataset: Dataset, *, count: int = SAMPLE_ROWS) -> list[int]:
    """Positions of `count` rows: the first of as many classes as there are, else spread evenly."""
    if dataset.task == "classification":
        _, first = np.unique(dataset.labels, return_index=True)
        chosen = [int(row) for row in first[:count]]
    else:
        chosen = []
    spread = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).astype(np.int64)
    chosen += [int(row) for row in spread if int(row) not in chosen]
    return sorted(chosen[:count])


def shown_rows(dataset: Dataset, positions: Sequence[int]) -> list[dict[str, str]]:
    """These rows as plain values: name, label, split, and picture (a data: address of a PNG) or text."""
    return [_shown(dataset, position) for position in positions]


def row_name(dataset: Dataset, position: int) -> str:
    """The name of a row that a person can look up."""
    name = dataset.row_names[position] if dataset.row_names else f"row {int(dataset.row_ids[position])}"
    return name if len(name) <= NAME_LENGTH else f"…{name[-NAME_LENGTH:]}"


def _shown(dataset: Dataset, position: int) -> dict[str, str]:
    shown = {"name": row_name(dataset, position), "label": _label(dataset, position)}
    if dataset.splits and dataset.splits[position]:
        shown["split"] = dataset.splits[position]
    if dataset.modality == "image":
        shown["picture"] = picture_address(_pixels(dataset, position))
    else:
        shown["text"] = _text(dataset, dataset.items[position])
    return shown


def _label(dataset: Dataset, position: int) -> str:
    if dataset.targets is None:
        return dataset.classes[int(dataset.labels[position])]
    values = dataset.targets[position]
    if dataset.task == "multi-label":
        return ", ".join(name for name, is_given in zip(dataset.classes, values, strict=True) if is_given) or "none"
    return ", ".join(f"{float(value):.6g}" for value in values)


def _pixels(dataset: Dataset, position: int) -> Any:
    items = dataset.items
    return items.original(position) if isinstance(items, ImageRows) else np.asarray(items[position])


def _text(dataset: Dataset, item: Any) -> str:
    if dataset.modality == "text":
        text = " ".join(str(item).split())
        return text if len(text) <= TEXT_LENGTH else f"{text[:TEXT_LENGTH]} …"
    if dataset.modality == "audio":
        return f"{len(item) / max(dataset.rate, 1):.2f} s"
    values = np.asarray(item, dtype=np.float64).ravel()
    first = ", ".join(f"{value:.4g}" for value in values[:NUMBERS])
    return f"{first}, …" if len(values) > NUMBERS else first


def picture_address(pixels: Any) -> str:
    """A PNG of at most 64 × 64 pixels as a data: address; small pictures keep their pixels."""
    image = Image.fromarray(np.asarray(pixels, dtype=np.uint8))
    image.thumbnail((SIDE, SIDE))
    if image.mode not in {"L", "RGB"}:
        image = image.convert("RGB")
    kept = io.BytesIO()
    image.save(kept, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(kept.getvalue()).decode()}"
