"""Any image classifier of torchvision by the name of its builder, with the preprocessing of its released weights."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torchvision
from torch import nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import resize

from workers.kit import ModelRef, UserError
from workers.sources.encoders.frozen import PENULTIMATE, Body
from workers.sources.encoders.frozen_images import ImageNetwork, PicturePreparation
from workers.sources.encoders.library_calls import in_a_sentence, refuse_too_large, stored_headers
from workers.sources.encoders.pictures import Picture
from workers.sources.encoders.pooling import States
from workers.sources.encoders.weights import fill_strictly
from workers.sources.protocols import DEFAULT_READING, Reading

_FIXED = ("vit_", "swin_", "swin_v2", "maxvit")
_NHWC = ("swin_",)
# Classifiers beside the main one, which only training reads.
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")


def _architecture(model: ModelRef) -> str:
    named = model.config.get("architecture")
    if not isinstance(named, str) or named not in torchvision.models.list_models(module=torchvision.models):
        raise UserError(
            f"torchvision {torchvision.__version__} has no classifier {str(named)[:60]!r}. Correct 'architecture' in "
            f"the configuration of {model.name} (for example resnet18).",
            field="architecture",
        )
    return named


def _built(architecture: str, classes: int) -> nn.Module:
    options: dict[str, Any] = {"weights": None, "num_classes": classes}
    if architecture in {"googlenet", "inception_v3"}:
        options |= {"aux_logits": False, "init_weights": False}
    network: nn.Module = torchvision.models.get_model(architecture, **options)
    return network


def network_of(model: ModelRef) -> nn.Module:
    """The filled network on the CPU, in eval mode; UserError for an unknown builder and for other weights."""
    architecture = _architecture(model)
    classes = model.config.get("classes", 1000)
    if not isinstance(classes, int) or not 0 < classes <= 1_000_000:
        raise UserError(f"'classes' of {model.name} must be a number of classes.", field="classes")
    headers = stored_headers(model)
    with in_a_sentence(f"torchvision cannot build {architecture} for {model.name}"):
        with contextlib.suppress(NotImplementedError), torch.device("meta"):  # RegNet computes its widths
            refuse_too_large(_built(architecture, classes), headers, name=model.name)
        network = _built(architecture, classes)
        fill_strictly(network, model, architecture=architecture, skips=lambda name: name.startswith(_AUXILIARY))
        if architecture in {"googlenet", "inception_v3"}:
            setattr(network, "transform_input", True)  # noqa: B010 - as their released weights want it
    return network.eval()


def _preparation(model: ModelRef, architecture: str) -> PicturePreparation:
    """The transforms of the released weights; config "weights" names others than the newest."""
    released = torchvision.models.get_model_weights(architecture)
    named = model.config.get("weights", "DEFAULT")
    if named not in released.__members__:
        raise UserError(
            f"{architecture} was released with the weights {', '.join(released.__members__)}, not {str(named)[:40]!r}.",
            field="weights",
        )
    transforms: Any = released[named].transforms()
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (transforms.mean, transforms.std))

    def prepare(pictures: Sequence[Picture], side: int) -> torch.Tensor:
        tensors = [torch.from_numpy(one.copy()).permute(2, 0, 1) for one in pictures]
        if not side:
            return torch.cat([transforms(one.unsqueeze(0)) for one in tensors])
        how = transforms.interpolation
        scaled = [resize(one.float(), [side, side], interpolation=how, antialias=True) for one in tensors]
        return (torch.stack(scaled) / 255 - mean) / std

    interpolation = InterpolationMode(transforms.interpolation).value
    return PicturePreparation(
        prepare=prepare,
        in_words=(
            f"torchvision's transforms of {architecture} {named}: resized to {transforms.resize_size[0]} "
            f"({interpolation}), centre crop of {transforms.crop_size[0]}, mean {tuple(transforms.mean)}, standard "
            f"deviation {tuple(transforms.std)}."
        ),
        is_fixed=architecture.startswith(_FIXED),
    )


def _layers(network: nn.Module) -> tuple[str, ...]:
    """Modules in a row from the picture to the classifier: children, those of `features` and of encoder layers."""
    found: list[str] = []
    for name, child in network.named_children():
        if name in {"features", "encoder"} and list(child.children()):
            layers: nn.Module = getattr(child, "layers", child)
            inner = f"{name}.layers" if layers is not child else name
            found += [f"{inner}.{one}" for one, _ in layers.named_children()]
        elif name.startswith(("layer", "stage", "blocks", "block", "Mixed_", "inception", "trunk")):
            found.append(name)
    return tuple(found)


def _classifier(network: nn.Module, classes: int) -> nn.Module:
    """The last layer that makes as many outputs as there are classes."""
    found = [
        part
        for part in network.modules()
        if classes in (getattr(part, "out_features", None), getattr(part, "out_channels", None))
        and isinstance(part, nn.Linear | nn.Conv2d)
    ]
    if not found:
        raise UserError("This network of torchvision has no classifying layer. Choose another architecture.")
    return found[-1]


class _Reader:
    def __init__(self, network: nn.Module, *, classes: int, trunk: str, is_nhwc: bool) -> None:
        self._network, self._trunk, self._is_nhwc = network, trunk, is_nhwc
        self._read: torch.Tensor | None = None
        self._seen: torch.Tensor | None = None
        self._hooked = ""
        _classifier(network, classes).register_forward_pre_hook(self._see_head)

    def _see_head(self, module: Any, args: tuple[torch.Tensor, ...]) -> None:
        self._read = args[0]

    def _see(self, module: Any, args: Any, output: Any) -> None:
        self._seen = output

    def __call__(self, inputs: Mapping[str, torch.Tensor], layer: str) -> States:
        """The states of one batch at a layer."""
        place = self._trunk if layer == PENULTIMATE else layer
        if place and place != self._hooked:
            self._network.get_submodule(place).register_forward_hook(self._see)
            self._hooked = place
        logits = self._network(inputs["pixel_values"])
        read = self._read
        if read is None:
            raise UserError("The classifier of this network reads nothing. Choose another architecture.")
        own = read.float().mean(dim=(2, 3)) if read.ndim == 4 else read
        tokens = own.unsqueeze(1) if self._seen is None else self._seen
        if tokens.ndim == 4 and self._is_nhwc:
            tokens = tokens.permute(0, 3, 1, 2)
        return States(
            tokens=tokens,
            prefix=int(tokens.ndim == 3 and self._seen is not None),  # torchvision's ViT has one class token
            own=own if layer == PENULTIMATE else None,
            logits=logits,
        )


def open_encoder(model: ModelRef, *, device: str, threads: int = 1, reading: Reading = DEFAULT_READING) -> ImageNetwork:
    """An encoder by `ModelRef.config`: architecture (a builder's name), classes (default 1,000), weights (whose
    preprocessing; default the newest release).

    Penultimate is what the last classifying layer reads; layers are the network's stages.
    """
    architecture = _architecture(model)
    network = network_of(model)
    classes = int(model.config.get("classes", 1000))
    layers = _layers(network)
    # Transformers normalise after their last layer.
    last = next((name for name, _ in network.named_modules() if name in {"encoder.ln", "norm"}), "")
    trunk = last or (layers[-1] if layers else "")
    reader = _Reader(network, classes=classes, trunk=trunk, is_nhwc=architecture.startswith(_NHWC))
    named = torchvision.models.get_model_weights(architecture).DEFAULT.meta["categories"]
    body = Body(
        network=network,
        states=reader,
        layers=layers,
        default="cls",
        own="what the last classifying layer reads",
        source_classes=tuple(named) if len(named) == classes else (),
        facts={"architecture": architecture, "versions": {"torchvision": torchvision.__version__}},
    )
    preparation = _preparation(model, architecture)
    return ImageNetwork(body, preparation, name=model.name, device=device, threads=threads, reading=reading)
