"""What a model loader and a data set source have to give: plain protocols, no heavy import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Items = npt.NDArray[Any] | Sequence[str]
"""Inputs of one modality, by row.

image   uint8 (n, height, width) grey or (n, height, width, 3) RGB, as the source stores them, not yet scaled up
text    a sequence of n plain strings
series  float32 (n, channels, length); NaN where a value is missing
"""


class Encoder(Protocol):
    """A frozen model that turns inputs into one feature vector each; made by `LoaderEntry.load()`.

    The target of a loader is `open_encoder(model, *, device, threads)`.
    """

    def dimensions(self, items: Items) -> int:
        """Length of the feature vector of one of these inputs."""

    def encode(self, items: Items, *, image_size: int = 0) -> npt.NDArray[np.float32]:
        """Features (n, dimensions) of n inputs.

        `image_size` is the side in pixels that images are scaled to before they enter the model; 0 leaves them as they
        are. Other modalities ignore it. Raises UserError when the inputs do not suit the model.
        """

    def describe(self, *, image_size: int = 0) -> dict[str, Any]:
        """What to keep with the features, in words: layer, pooling, preprocessing, precision, device, versions."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A labelled data set in memory, after sampling; made by `DatasetSourceEntry.load()(ref)`.

    modality    "image", "text" or "series"
    items       inputs by row, see `Items`
    labels      (n,) int64, index into `classes`
    classes     class names in label order; every class has at least one row
    row_ids     (n,) int64, the row's index in the source before sampling, increasing
    splits      "train" or "test" by row where the source fixes one, else empty
    source_rows rows of the source before sampling
    provenance  how the rows were read and sampled, in words
    """

    modality: str
    items: Items
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    row_ids: npt.NDArray[np.int64]
    splits: tuple[str, ...] = ()
    source_rows: int = 0
    provenance: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)
