"""EfficientNet-Lite by the definition of the package efficientnet-lite-pytorch (Tan and Le 2019, arXiv:1905.11946)."""

from __future__ import annotations

from importlib.metadata import version
from typing import cast

import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import nn

from workers.kit import ModelRef, UserError
from workers.sources.encoders.forward import device_of
from workers.sources.encoders.images import Classifier, ImageEncoder
from workers.sources.encoders.weights import fill_strictly
from workers.sources.protocols import DEFAULT_READING, Reading

NAMES = {f"efficientnet_lite{size}": f"efficientnet-lite{size}" for size in range(5)}
DIMENSIONS = 1280


def network_of(model: ModelRef) -> nn.Module:
    """The filled network on the CPU, in evaluation mode.

    config: architecture ("efficientnet_lite0" … "efficientnet_lite4"), classes (default 1,000). TensorFlow's "same"
    padding is computed from the size that comes in, not from the size it was trained at. Raises UserError for another
    architecture and for a checkpoint that does not match.
    """
    architecture = str(model.config.get("architecture"))
    if architecture not in NAMES:
        raise UserError(
            f"The EfficientNet-Lite loader knows {', '.join(NAMES)}, not {architecture!r}. Correct 'architecture' "
            f"in the configuration of {model.name}.",
            field="architecture",
        )
    network = cast(
        nn.Module,
        EfficientNet.from_name(
            NAMES[architecture], image_size=None, num_classes=int(model.config.get("classes", 1000))
        ),
    )
    fill_strictly(network, model, architecture=architecture)
    return network.eval()


def classifier_of(model: ModelRef) -> Classifier:
    """The filled network, taken apart; on the CPU. Its configuration is that of `network_of`."""
    network = network_of(model)

    def maps(x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = network.extract_features(x)  # type: ignore[operator]
        return found

    def logits(found: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = network._fc(found.mean(dim=(2, 3)))  # type: ignore[operator]
        return scores

    blocks = cast(nn.ModuleList, network._blocks)
    return Classifier(
        network=network,
        maps=maps,
        logits=logits,
        stages={f"_blocks.{number}": block for number, block in enumerate(blocks)},
        dimensions=DIMENSIONS,
        classes=int(model.config.get("classes", 1000)),
        facts={
            "layer": "last 1 × 1 convolution (_conv_head) after ReLU6",
            "architecture": model.config["architecture"],
            "padding": "same as in TensorFlow, by the size that comes in",
            "versions": {"efficientnet-lite-pytorch": version("efficientnet-lite-pytorch")},
        },
    )


def open_encoder(model: ModelRef, *, device: str, threads: int = 1, reading: Reading = DEFAULT_READING) -> ImageEncoder:
    """An encoder with the model's weights; see `network_of` and `Preprocessing.of` for its configuration."""
    target = device_of(device)
    return ImageEncoder(classifier_of(model), model=model, device=target, threads=threads, reading=reading)
