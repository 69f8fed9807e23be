"""Image classifiers by torchvision's definitions: MobileNetV2 and SqueezeNet 1.1."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
import torchvision
from torch import nn
from torch.nn.functional import pad
from torchvision.models.mobilenetv2 import MobileNetV2
from torchvision.models.squeezenet import SqueezeNet

from workers.kit import ModelRef, UserError
from workers.sources.encoders.forward import device_of
from workers.sources.encoders.images import Classifier, ImageEncoder
from workers.sources.encoders.weights import fill_strictly
from workers.sources.protocols import DEFAULT_READING, Reading

# Caffe's names (Iandola's release, kept by its TensorFlow ports) → position in torchvision's `features`.
CAFFE_MODULES = {
    "conv1": "features.0",
    "fire2": "features.3",
    "fire3": "features.4",
    "fire4": "features.6",
    "fire5": "features.7",
    "fire6": "features.9",
    "fire7": "features.10",
    "fire8": "features.11",
    "fire9": "features.12",
    "conv10": "classifier.1",
}
CAFFE_NAME = re.compile(
    r"(conv1|conv10|fire[2-9])(?:/(squeeze1x1|expand1x1|expand3x3))?[/.\[](0|1|weight|bias|kernel)\]?"
)
KINDS = {"0": "weight", "kernel": "weight", "1": "bias"}


def squeezenet_name(name: str) -> str | None:
    """torchvision's name of a SqueezeNet tensor that is named in Caffe's way; other names are left as they are."""
    if name.startswith(("features.", "classifier.")):
        return name
    match = CAFFE_NAME.fullmatch(name)
    if match is None:
        return None
    block, layer, kind = match.groups()
    inner = "squeeze" if layer == "squeeze1x1" else layer
    return ".".join(part for part in (CAFFE_MODULES[block], inner, KINDS.get(kind, kind)) if part)


def squeezenet_maps(module: SqueezeNet, *, padding: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """The feature maps after fire9, (n, 512, h, w).

    padding "valid": as torchvision, no padding in conv1 and pooling that keeps the ragged edge. "same": as the
    TensorFlow port, conv1 padded so that the side is halved upwards (the odd pixel below and to the right), pooling
    without padding.
    """
    features: nn.Module = module.features
    if padding == "valid":
        return features
    if padding != "same":
        raise UserError(f"The padding of SqueezeNet must be 'valid' or 'same', not {padding!r}.", field="padding")
    for layer in features.children():
        if isinstance(layer, nn.MaxPool2d):
            layer.ceil_mode = False

    def maps(x: torch.Tensor) -> torch.Tensor:
        pads: list[int] = []
        for side in (x.shape[3], x.shape[2]):
            total = max((-(-side // 2) - 1) * 2 + 3 - side, 0)
            pads += [total // 2, total - total // 2]
        result: torch.Tensor = features(pad(x, pads))
        return result

    return maps


def classifier_of(model: ModelRef) -> Classifier:
    """The filled network, taken apart; on the CPU.

    config: architecture ("mobilenet_v2" or "squeezenet1_1"), classes (default 1,000), padding (SqueezeNet: "valid" or
    "same"). Raises UserError for another architecture and for a checkpoint that does not match.
    """
    architecture = model.config.get("architecture")
    classes = int(model.config.get("classes", 1000))
    facts: dict[str, Any] = {"architecture": architecture, "versions": {"torchvision": torchvision.__version__}}
    if architecture == "mobilenet_v2":
        mobilenet = MobileNetV2(num_classes=classes)
        fill_strictly(mobilenet, model, architecture="mobilenet_v2")
        return Classifier(
            network=mobilenet.eval(),
            maps=mobilenet.features,
            logits=lambda maps: mobilenet.classifier(maps.mean(dim=(2, 3))),
            stages=_stages(mobilenet.features),
            dimensions=1280,
            classes=classes,
            facts={"layer": "last 1 × 1 convolution (features.18) after ReLU6", **facts},
        )
    if architecture == "squeezenet1_1":
        squeezenet = SqueezeNet("1_1", num_classes=classes)
        fill_strictly(squeezenet, model, architecture="squeezenet1_1", rename=squeezenet_name)
        padding = str(model.config.get("padding", "valid"))
        return Classifier(
            network=squeezenet.eval(),
            maps=squeezenet_maps(squeezenet, padding=padding),
            logits=lambda maps: squeezenet.classifier(maps).flatten(1),
            stages=_stages(squeezenet.features),
            dimensions=512,
            classes=classes,
            facts={"layer": "fire9 (features.12), before the classifying convolution", "padding": padding, **facts},
        )
    raise UserError(
        f"The torchvision loader knows mobilenet_v2 and squeezenet1_1, not {architecture!r}. Correct 'architecture' "
        f"in the configuration of {model.name}.",
        field="architecture",
    )


def _stages(features: nn.Sequential) -> dict[str, nn.Module]:
    return {f"features.{name}": module for name, module in features.named_children()}


def open_encoder(model: ModelRef, *, device: str, threads: int = 1, reading: Reading = DEFAULT_READING) -> ImageEncoder:
    """An encoder with the model's weights; see `classifier_of` and `Preprocessing.of` for its configuration."""
    target = device_of(device)
    return ImageEncoder(classifier_of(model), model=model, device=target, threads=threads, reading=reading)
