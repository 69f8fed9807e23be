"""What features are: vectors of rows under one model, with what the data set says of the rows. Free of torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.kit import digest_of

PARTS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True, eq=False)
class RowFacts:
    """What the data set says of the rows; see `workers.sources.protocols.Dataset` for the fields."""

    labels: npt.NDArray[np.int64]
    row_ids: npt.NDArray[np.int64]
    classes: tuple[str, ...] = ()
    task: str = "classification"
    targets: npt.NDArray[Any] | None = None
    content_ids: npt.NDArray[np.int64] | None = None
    groups: npt.NDArray[np.int64] | None = None
    splits: tuple[str, ...] = ()

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays by name, those that there are; splits as places in `PARTS`."""
        found: dict[str, npt.NDArray[Any] | None] = {
            "labels": self.labels.astype("<i8"),
            "row_ids": self.row_ids.astype("<i8"),
            "targets": None if self.targets is None else np.asarray(self.targets),
            "content_ids": None if self.content_ids is None else self.content_ids.astype("<i8"),
            "groups": None if self.groups is None else self.groups.astype("<i8"),
            "splits": np.array([PARTS.index(part) for part in self.splits], dtype="<i8") if self.splits else None,
        }
        return {name: array for name, array in found.items() if array is not None}

    def digest(self) -> str:
        """A digest of all of it: what features of other rows, labels or groups do not share."""
        found = {
            name: [array.dtype.str, list(array.shape), hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()]
            for name, array in self.arrays().items()
        }
        return digest_of({"classes": list(self.classes), "task": self.task, "arrays": found})


@dataclass(frozen=True, kw_only=True, eq=False)
class Features(RowFacts):
    """Frozen features of one data set under one model, and what the data set says of the rows.

    x               (n, d) float32, or (n, t, d) of tokens; memory-mapped and read-only when it comes from the store
    logits          (n, s) float32 of the model's own classifier, memory-mapped; None where it has none
    source_classes  names of that classifier's classes; empty where the checkpoint does not say them
    row_ids         (n,) int64, index of the row in the source, the same for every model
    provenance      layer, pooling, preprocessing in words, precision, versions, device, timings
    """

    x: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32] | None = None
    source_classes: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
