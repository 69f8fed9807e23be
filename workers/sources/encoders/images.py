"""What image encoders share: exact preprocessing by configuration, then one pooled vector per image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.functional import interpolate

from workers.kit import ModelRef, UserError
from workers.sources.encoders.forward import Forward
from workers.sources.encoders.pooling import States, pooled, pooling_in_words
from workers.sources.protocols import Encoded, Items, Reading

PENULTIMATE = "penultimate"


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How pixels become a model's input: (value / scale - mean) / std, per channel in the model's channel order.

    mean, std      three numbers each, in the model's channel order
    channel_order  "RGB" or "BGR"
    scale          what the 0 … 255 values are divided by first: 255 or 1
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    channel_order: str
    scale: float

    @classmethod
    def of(cls, model: ModelRef) -> Preprocessing:
        """From config mean, std, channel_order (default "RGB") and scale (default 255); UserError if they are wrong."""
        mean, std = (cls._three_numbers(model, name) for name in ("mean", "std"))
        order = model.config.get("channel_order", "RGB")
        if order not in {"RGB", "BGR"}:
            raise UserError(
                f"The channel order of {model.name} must be RGB or BGR, not {order!r}.", field="channel_order"
            )
        scale = float(model.config.get("scale", 255))
        if scale <= 0 or min(std) <= 0:
            raise UserError(f"'scale' and 'std' of {model.name} must be positive.", field="scale")
        return cls(mean=mean, std=std, channel_order=order, scale=scale)

    @staticmethod
    def _three_numbers(model: ModelRef, name: str) -> tuple[float, ...]:
        value = model.config.get(name)
        if not isinstance(value, (list, tuple)) or len(value) != 3:
            raise UserError(
                f"The configuration of {model.name} needs {name!r}: three numbers, one per channel, as it was trained.",
                field=name,
            )
        return tuple(float(number) for number in value)

    def prepare(self, images: npt.NDArray[np.uint8], *, image_size: int, device: torch.device) -> torch.Tensor:
        """Input (n, 3, side, side) float32 of uint8 images (n, h, w) or (n, h, w, 3) RGB.

        Grey is repeated on three channels; other sizes are scaled by torch's bilinear interpolation with antialiasing
        (align_corners off), in float32 and without rounding.
        """
        pixels = torch.from_numpy(np.ascontiguousarray(images)).to(device)
        grey = pixels.ndim == 3
        if not grey and self.channel_order == "BGR":
            pixels = pixels.flip(3)
        x = (pixels.unsqueeze(1) if grey else pixels.permute(0, 3, 1, 2)).float()
        if image_size and tuple(x.shape[2:]) != (image_size, image_size):
            x = interpolate(x, size=(image_size, image_size), mode="bilinear", antialias=True, align_corners=False)
        # In place, and nothing is divided by one: at small sizes this is what costs beside the network.
        if self.scale != 1:
            x.div_(self.scale)
        mean = torch.tensor(self.mean, device=device).view(1, 3, 1, 1)
        x = x - mean if grey else x.sub_(mean)
        return x if set(self.std) == {1.0} else x.div_(torch.tensor(self.std, device=device).view(1, 3, 1, 1))

    def in_words(self, *, image_size: int) -> str:
        """The preprocessing as a sentence for the provenance."""
        size = (
            f"scaled to {image_size} × {image_size} (bilinear, antialiased, aspect not kept)"
            if image_size
            else "at their own size"
        )
        values = f"values / {self.scale:g}" if self.scale != 1 else "values 0 … 255"
        return (
            f"Images {size}, grey repeated on three channels, {self.channel_order}, {values} minus "
            f"({', '.join(f'{value:g}' for value in self.mean)}) over "
            f"({', '.join(f'{value:g}' for value in self.std)})."
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Classifier:
    """A convolutional classifier taken apart.

    network     the filled module, in eval mode
    maps        input (n, 3, h, w) -> the last feature maps (n, d, h, w)
    logits      those feature maps -> logits (n, classes)
    stages      modules whose outputs are feature maps too, by name, shallow to deep: the layers that can be read
    dimensions  d of the last feature maps
    classes     how many logits there are
    facts       layer, architecture and versions, for the provenance
    """

    network: nn.Module
    maps: Callable[[torch.Tensor], torch.Tensor]
    logits: Callable[[torch.Tensor], torch.Tensor]
    stages: dict[str, nn.Module]
    dimensions: int
    classes: int
    facts: dict[str, Any]


class ImageEncoder:
    """An `Encoder` of images: preprocessing, feature maps (n, d, h, w) of the layer that is read, pooled.

    The model's own pooling is the mean over all positions.
    """

    source_classes: tuple[str, ...] = ()
    is_any_size = False

    def __init__(
        self, parts: Classifier, *, model: ModelRef, device: torch.device, threads: int, reading: Reading
    ) -> None:
        # Channels last is two to three times as fast on a CPU, and what tensor cores want.
        parts.network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.layers = tuple(parts.stages)
        if reading.layer not in (PENULTIMATE, *self.layers):
            raise UserError(
                f"{model.name} has no layer {reading.layer!r}. Known: {', '.join((*self.layers, PENULTIMATE))}.",
                field="layer",
            )
        self.preprocessing = Preprocessing.of(model)
        self._parts, self._device, self._reading = parts, device, reading
        self._image_size = 0
        self._seen: torch.Tensor | None = None
        if reading.layer != PENULTIMATE:
            parts.stages[reading.layer].register_forward_hook(self._see)
        self._forward: Forward[npt.NDArray[np.uint8]] = Forward(
            self._pooled, device=device, threads=threads, precision=reading.precision
        )

    def _see(self, module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        self._seen = output

    def _pooled(self, images: npt.NDArray[np.uint8]) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.preprocessing.prepare(images, image_size=self._image_size, device=self._device)
        maps = self._parts.maps(x.contiguous(memory_format=torch.channels_last))
        logits = self._parts.logits(maps)
        read = maps if self._seen is None else self._seen
        # Half precision would lose digits in the sum over positions.
        return pooled(States(tokens=read.float()), pooling=self._reading.pooling, default="mean"), logits

    def shape(self, items: Items, *, image_size: int = 0) -> tuple[tuple[int, ...], int]:
        """(d,) and the number of logits; of another layer or of tokens by trying the first image."""
        if self._reading.layer == PENULTIMATE and self._reading.pooling != "tokens":
            return (self._parts.dimensions,), self._parts.classes
        return self.encode(items[:1], image_size=image_size).features.shape[1:], self._parts.classes

    def encode(self, items: Items, *, image_size: int = 0) -> Encoded:
        """Features and logits of uint8 images (n, h, w) or (n, h, w, 3). Raises UserError for anything else."""
        if (
            not isinstance(items, np.ndarray)
            or items.dtype != np.uint8
            or not (items.ndim == 3 or (items.ndim == 4 and items.shape[3] == 3))
        ):
            raise UserError(
                "This model reads grey or RGB images with values 0 … 255, the data set holds something else."
            )
        self._image_size = image_size
        return self._forward(items, count=len(items), take=lambda rows, start, stop: rows[start:stop])

    def describe(self, *, image_size: int = 0) -> dict[str, Any]:
        """Layer, pooling, preprocessing, precision, device and versions, in words."""
        facts = self._parts.facts
        return {
            **facts,
            "layer": facts["layer"] if self._reading.layer == PENULTIMATE else f"output of {self._reading.layer}",
            "pooling": pooling_in_words(self._reading.pooling, own="mean over all positions"),
            "preprocessing": self.preprocessing.in_words(image_size=image_size),
            "precision": self._forward.precision,
            "device": str(self._device),
            "versions": {"torch": torch.__version__, **facts.get("versions", {})},
        }
