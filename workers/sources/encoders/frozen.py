"""What the encoders of libraries share: a network taken apart, run batch by batch, pooled as the reading says."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from workers.kit import UserError
from workers.sources.encoders.forward import Forward, device_of
from workers.sources.encoders.library_calls import in_a_sentence
from workers.sources.encoders.pooling import States, pooled, pooling_in_words
from workers.sources.protocols import Encoded, Items, Reading

Rows = TypeVar("Rows")
PENULTIMATE = "penultimate"
_SHOWN_LAYERS = 12


@dataclass(frozen=True, kw_only=True, eq=False)
class Body:
    """A network as an encoder runs it.

    network         the filled module
    states          (inputs by name, layer) -> what it gives there; the layer is "penultimate" or one of `layers`
    layers          names of the layers that can be read, shallow to deep
    default         what the pooling "default" is where `States.own` is None: "cls" or "mean"
    own             the model's own pooling of the penultimate layer, in words
    source_classes  names of its classifier's classes, empty where unknown
    facts           architecture and versions, for the provenance
    """

    network: nn.Module
    states: Callable[[Mapping[str, torch.Tensor], str], States]
    layers: tuple[str, ...]
    default: str
    own: str
    source_classes: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


class FrozenEncoder(Generic[Rows]):
    """An `Encoder` around a `Body`; each modality says how its rows become tensors."""

    is_any_size = False

    def __init__(self, body: Body, *, name: str, device: str, threads: int, reading: Reading) -> None:
        self._device = device_of(device)
        if reading.layer not in (PENULTIMATE, *body.layers):
            shown = ", ".join(body.layers[:_SHOWN_LAYERS]) + (" …" if len(body.layers) > _SHOWN_LAYERS else "")
            raise UserError(f"{name} has no layer {reading.layer!r}. Known: {PENULTIMATE}, {shown}.", field="layer")
        body.network.to(self._device).eval()
        self.layers, self.source_classes = body.layers, body.source_classes
        self._body, self._name, self._reading, self._image_size = body, name, reading, 0
        self._forward: Forward[Rows] = Forward(
            self._computed, device=self._device, threads=threads, precision=reading.precision
        )

    @abstractmethod
    def _inputs(self, rows: Rows) -> dict[str, torch.Tensor]:
        """The network's inputs of some rows."""

    def _computed(self, rows: Rows) -> tuple[torch.Tensor, torch.Tensor | None]:
        inputs = {name: value.to(self._device) for name, value in self._inputs(rows).items()}
        with in_a_sentence(f"{self._name} cannot be run on these inputs"):
            states = self._body.states(inputs, self._reading.layer)
        return pooled(states, pooling=self._reading.pooling, default=self._body.default), states.logits

    def shape(self, items: Items, *, image_size: int = 0) -> tuple[tuple[int, ...], int]:
        """The shape of the first row's features and the number of logits, found by encoding it."""
        if not len(items):
            raise UserError("The data set holds no rows to read.")
        first = self.encode(items[:1], image_size=image_size)
        return first.features.shape[1:], 0 if first.logits is None else first.logits.shape[1]

    @abstractmethod
    def encode(self, items: Items, *, image_size: int = 0) -> Encoded:
        """Features and logits of n inputs; UserError where they do not suit the model."""

    @abstractmethod
    def _preprocessing(self, *, image_size: int) -> str:
        """The preprocessing in words."""

    def describe(self, *, image_size: int = 0) -> dict[str, Any]:
        """Layer, pooling, preprocessing, precision, device and versions, in words."""
        layer, body = self._reading.layer, self._body
        own = (
            body.own
            if layer == PENULTIMATE
            else {"cls": "class token, or mean where there is none"}.get(body.default, "mean over all positions")
        )
        return {
            **{name: value for name, value in body.facts.items() if name != "versions"},
            "layer": "input of the last classifying layer" if layer == PENULTIMATE else f"output of {layer}",
            "pooling": pooling_in_words(self._reading.pooling, own=own),
            "preprocessing": self._preprocessing(image_size=image_size),
            "precision": self._forward.precision,
            "device": str(self._device),
            "versions": {"torch": torch.__version__, **body.facts.get("versions", {})},
        }


def put_together(
    parts: Sequence[Encoded], groups: Sequence[npt.NDArray[np.int64]], *, least_tokens: int = 0
) -> Encoded:
    """What groups of rows became, in the order of the rows; `groups` holds their places.

    Features (n, t, d) get the longest t, at least `least_tokens`; what a row has not is zero.
    """
    count = sum(len(group) for group in groups)
    shape = parts[0].features.shape[1:]
    if len(shape) == 2:
        shape = (max(least_tokens, *(part.features.shape[1] for part in parts)), shape[1])
    features = np.zeros((count, *shape), dtype=np.float32)
    logits = None if parts[0].logits is None else np.empty((count, parts[0].logits.shape[1]), dtype=np.float32)
    for group, part in zip(groups, parts, strict=True):
        features[group, : part.features.shape[1]] = part.features
        if logits is not None:
            logits[group] = part.logits
    return Encoded(features=features, logits=logits)
