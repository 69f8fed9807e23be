"""What a model loader and a data set source have to give: plain protocols, no heavy import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from workers.kit import ModelRef

Items = npt.NDArray[Any] | Sequence[Any]
"""Inputs of one modality, by row.

image   uint8 (n, height, width) grey or (n, height, width, 3) RGB, as the source stores them, not yet scaled up; or a
        sequence whose slices are such arrays, where images differ in size or do not all fit into memory
text    a sequence of n plain strings
series  float32 (n, channels, length); NaN where a value is missing
audio   a sequence of n float32 vectors, mono, -1 … 1, at the data set's `rate`
table   float32 (n, columns); NaN where a value is missing
"""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a model is read.

    layer      "penultimate": what the last classifying layer reads; or one of `Encoder.layers`
    pooling    "default": the model's own (global mean of a CNN, class token or masked mean of a Transformer as its
               configuration says); "mean", "cls", "max"; "tokens": one vector for each patch, frame or token, unpooled
    precision  "auto" (half precision on a GPU, float32 on a CPU), "float32", "float16", "bfloat16"; what is stored is
               float32
    """

    layer: str = "penultimate"
    pooling: Literal["default", "mean", "cls", "max", "tokens"] = "default"
    precision: Literal["auto", "float32", "float16", "bfloat16"] = "auto"


DEFAULT_READING = Reading()


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoded:
    """What one batch became.

    features  (n, d) float32, or (n, t, d) of pooling "tokens"
    logits    (n, s) float32 of the model's own classifier before any softmax; None where it has none
    """

    features: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32] | None = None


class Encoder(Protocol):
    """A frozen model that turns inputs into features; made by `LoaderEntry.load()`, see `OpenEncoder`.

    layers          names that `Reading.layer` may have beside "penultimate", in the order of depth
    source_classes  names of the classes of the model's own classifier, in the order of its logits; empty where the
                    checkpoint does not say them
    is_any_size     whether it takes images as a list of pictures of several sizes and scales each by the model's rule
    """

    layers: tuple[str, ...]
    source_classes: tuple[str, ...]
    is_any_size: bool

    def shape(self, items: Items, *, image_size: int = 0) -> tuple[tuple[int, ...], int]:
        """Shape of one input's features, (d,) or (t, d), and the number of logits (0: none)."""

    def encode(self, items: Items, *, image_size: int = 0) -> Encoded:
        """Features and logits of n inputs.

        `image_size` is the side in pixels that images are scaled to before they enter the model; 0 leaves it to the
        model's own preprocessing. Other modalities ignore it. Raises UserError when the inputs do not suit the model.
        """

    def describe(self, *, image_size: int = 0) -> dict[str, Any]:
        """What to keep with the features, in words: layer, pooling, preprocessing, precision, device, versions."""


class TextTower(Protocol):
    """An encoder that puts texts into the space of its features as well: CLIP-like models, sentence encoders."""

    logit_scale: float

    def encode_texts(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Embeddings (n, d) of texts, comparable with `encode(...).features` by cosine."""


class OpenEncoder(Protocol):
    """The target of a loader."""

    def __call__(
        self, model: ModelRef, *, device: str, threads: int = 1, reading: Reading = DEFAULT_READING
    ) -> Encoder:
        """Open the model's files, read as `reading` says; UserError where the loader cannot do that."""


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """Rows of a source that are not in the data set.

    reason    why, as the end of a sentence ("without a label")
    rows      how many
    examples  names of the first of them
    """

    reason: str
    rows: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A labelled data set after sampling; made by `DatasetSourceEntry.load()(ref)`.

    modality     "image", "text", "series", "audio" or "table"
    items        inputs by row, see `Items`
    labels       (n,) int64, index into `classes`; zeros unless the task is "classification"
    classes      class names in label order; every class has at least one row. Of a multi-label task the names of the
                 columns of `targets`, of a regression empty
    row_ids      (n,) int64, the row's index in the source before sampling, increasing
    task         "classification", "multi-label" or "regression"
    targets      of "multi-label" (n, labels) uint8, 1 where the label is given; of "regression" (n, columns) float64;
                 else None
    splits       "train", "validation" or "test" by row where the source fixes one, else empty
    source_rows  rows of the source before sampling
    row_names    a name for each row that a person can look up (path, line), or empty
    content_ids  (n,) int64, the first 63 bits of the SHA-256 of each row's content as the source stores it: the same
                 wherever the row stands and whatever stands beside it. None where the source gives none
    groups       (n,) int64, the group of each row: patient, speaker, document; None where each row is its own
    dropped      rows that were left out, and why
    rate         samples per second of "audio", else 0
    provenance   how the rows were read and sampled, in words
    """

    modality: str
    items: Items
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    row_ids: npt.NDArray[np.int64]
    task: str = "classification"
    targets: npt.NDArray[Any] | None = None
    splits: tuple[str, ...] = ()
    source_rows: int = 0
    row_names: tuple[str, ...] = ()
    content_ids: npt.NDArray[np.int64] | None = None
    groups: npt.NDArray[np.int64] | None = None
    dropped: tuple[Dropped, ...] = ()
    rate: int = 0
    provenance: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)
