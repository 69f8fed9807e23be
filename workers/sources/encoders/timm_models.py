"""Image models of timm, by the architecture and the preprocessing that config.json of a timm repository names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import timm
import torch
from PIL import Image
from timm.data.config import resolve_data_config
from timm.data.transforms_factory import create_transform
from torch import nn

from workers.kit import ModelRef, UserError
from workers.sources.encoders.folder import ModelFolder, refuse_hostile
from workers.sources.encoders.frozen import PENULTIMATE, Body
from workers.sources.encoders.frozen_images import ImageNetwork, PicturePreparation
from workers.sources.encoders.library_calls import in_a_sentence, offline, refuse_too_large, stored_headers
from workers.sources.encoders.pictures import Picture
from workers.sources.encoders.pooling import States
from workers.sources.encoders.weights import fill_strictly
from workers.sources.protocols import DEFAULT_READING, Reading

_PLAIN = (str, int, float, bool)
# What create_model itself takes: files to load, addresses to fetch from.
_NOT_ARGUMENTS = frozenset(
    {
        "pretrained",
        "pretrained_cfg",
        "pretrained_cfg_overlay",
        "pretrained_strict",
        "checkpoint_path",
        "cache_dir",
        "scriptable",
        "exportable",
        "no_jit",
        "features_only",
        "model_name",
        "num_classes",
        "device",
        "dtype",
        "kwargs_filter",
        "feature_cfg",
    }
)
_LARGEST_SIDE = 4_096


def _arguments(content: Mapping[str, Any], *, name: str) -> dict[str, Any]:
    """The arguments of the architecture that config.json states, plain values alone."""
    given = content.get("model_args") or {}
    if not isinstance(given, Mapping):
        raise UserError(f"model_args in config.json of {name} are no names and values. Fetch the file again.")
    for key, value in given.items():
        values = value if isinstance(value, list) else [value]
        if key in _NOT_ARGUMENTS or not all(one is None or isinstance(one, _PLAIN) for one in values):
            raise UserError(
                f"config.json of {name} sets the argument {str(key)[:60]!r}, which Hubscope does not pass on. "
                "Remove it, or use another model."
            )
    return {str(key): tuple(value) if isinstance(value, list) else value for key, value in given.items()}


def network_of(model: ModelRef, content: Mapping[str, Any]) -> nn.Module:
    """The filled network on the CPU, in eval mode; UserError for an unknown architecture and for other weights."""
    full = content.get("architecture")
    architecture = str(full).partition(".")[0]
    if not isinstance(full, str) or not timm.is_model(architecture):
        raise UserError(
            f"timm {timm.__version__} knows no architecture {str(full)[:80]!r}. Correct 'architecture' in config.json "
            f"of {model.name}, or choose another loader.",
            field="architecture",
        )
    classes = content.get("num_classes", (content.get("pretrained_cfg") or {}).get("num_classes"))
    arguments = _arguments(content, name=model.name)
    if content.get("global_pool") and "global_pool" not in arguments:
        arguments["global_pool"] = str(content["global_pool"])
    if classes is not None:
        arguments["num_classes"] = classes
    headers = stored_headers(model)
    with offline(), in_a_sentence(f"timm cannot build {architecture} for {model.name}"):
        with torch.device("meta"):
            outline = timm.create_model(architecture, pretrained=False, **arguments)
        refuse_too_large(outline, headers, name=model.name)
        network: nn.Module = timm.create_model(architecture, pretrained=False, **arguments)
        fill_strictly(
            network, model, architecture=architecture, skips=lambda name: name.endswith("relative_position_index")
        )
    return network.eval()


def _preparation(network: Any, content: Mapping[str, Any], *, name: str) -> PicturePreparation:
    """timm's own evaluation transform for the model."""
    stated = content.get("pretrained_cfg") or {}
    wanted = ("input_size", "interpolation", "mean", "std", "crop_pct", "crop_mode", "fixed_input_size")
    settings = {key: stated[key] for key in wanted if key in stated}
    with in_a_sentence(f"The preprocessing in config.json of {name} cannot be used"):
        resolved = resolve_data_config(  # type: ignore[no-untyped-call]
            pretrained_cfg=settings or dict(network.pretrained_cfg), model=network
        )
        channels, *sides = resolved["input_size"]
        if channels != 3 or not all(isinstance(side, int) and 0 < side <= _LARGEST_SIDE for side in sides):
            raise UserError(f"{name} reads inputs of {resolved['input_size']}, not RGB images of a usual size.")
        own = create_transform(**resolved, is_training=False)
    by_side: dict[int, Callable[[Image.Image], torch.Tensor]] = {0: own}

    def prepare(pictures: Sequence[Picture], side: int) -> torch.Tensor:
        if side not in by_side:
            squashed = {**resolved, "input_size": (3, side, side), "crop_pct": 1.0, "crop_mode": "squash"}
            by_side[side] = create_transform(**squashed, is_training=False)
        return torch.stack([by_side[side](Image.fromarray(one)) for one in pictures])

    is_fixed = bool(stated.get("fixed_input_size", network.pretrained_cfg.get("fixed_input_size", False)))
    return PicturePreparation(
        prepare=prepare,
        in_words=(
            f"timm's transform: {resolved['input_size'][1]} × {resolved['input_size'][2]} pixels, "
            f"{resolved['interpolation']}, crop {resolved['crop_pct']:g} ({resolved['crop_mode']}), mean "
            f"{tuple(resolved['mean'])}, standard deviation {tuple(resolved['std'])}."
        ),
        is_fixed=is_fixed or hasattr(network, "pos_embed"),
    )


class _Reader:
    """Runs a network of timm: features, what its classifier reads, logits; a layer's output by a hook."""

    def __init__(self, network: Any, *, has_head: bool) -> None:
        self._network, self._has_head = network, has_head
        self.layers = tuple(str(one["module"]) for one in getattr(network.feature_info, "info", network.feature_info))
        self._seen: torch.Tensor | None = None
        self._hooked = ""

    def _see(self, module: Any, args: Any, output: Any) -> None:
        self._seen = output[0] if isinstance(output, tuple | list) else output

    def __call__(self, inputs: Mapping[str, torch.Tensor], layer: str) -> States:
        """The states of one batch at a layer."""
        network = self._network
        if layer not in (PENULTIMATE, self._hooked):
            network.get_submodule(layer).register_forward_hook(self._see)
            self._hooked = layer
        features = network.forward_features(inputs["pixel_values"])
        own = network.forward_head(features, pre_logits=True)
        logits = network.forward_head(features) if self._has_head else None
        tokens = features if layer == PENULTIMATE or self._seen is None else self._seen
        if tokens.ndim == 4 and getattr(network, "output_fmt", "NCHW") == "NHWC":
            tokens = tokens.permute(0, 3, 1, 2)
        prefix = int(getattr(network, "num_prefix_tokens", 0) or 0) if tokens.ndim == 3 else 0
        if own.ndim == 4:
            own = own.float().mean(dim=(2, 3))
        return States(
            tokens=tokens,
            prefix=prefix,
            own=own if layer == PENULTIMATE and own.ndim == 2 else None,
            logits=logits,
        )


def _classes(content: Mapping[str, Any], count: int) -> tuple[str, ...]:
    """Names of the classes, where config.json states as many as there are logits."""
    stated = content.get("label_names", (content.get("pretrained_cfg") or {}).get("label_names"))
    names = tuple(str(one) for one in stated) if isinstance(stated, list) else ()
    return names if len(names) == count else ()


def open_encoder(model: ModelRef, *, device: str, threads: int = 1, reading: Reading = DEFAULT_READING) -> ImageNetwork:
    """An encoder by config.json of a timm repository: architecture, num_classes, model_args and pretrained_cfg.

    Penultimate is what the classifier reads (`forward_head(…, pre_logits=True)`); layers are those of timm's
    feature_info. `ModelRef.config` may hold the content of config.json under that name, or architecture and
    num_classes by themselves.
    """
    if "architecture" in model.config:
        content = dict(model.config)
        refuse_hostile(content, label=f"The configuration of {model.name}")
    else:
        content = ModelFolder(model).configuration()
    if not isinstance(content.get("pretrained_cfg") or {}, Mapping):
        raise UserError(f"pretrained_cfg in config.json of {model.name} holds no names and values. Fetch it again.")
    network: Any = network_of(model, content)
    count = int(getattr(network, "num_classes", 0) or 0)
    reader = _Reader(network, has_head=count > 0)
    body = Body(
        network=network,
        states=reader,
        layers=reader.layers,
        default="cls",
        own="timm's own: what the classifier reads",
        source_classes=_classes(content, count),
        facts={"architecture": str(content["architecture"]), "versions": {"timm": timm.__version__}},
    )
    preparation = _preparation(network, content, name=model.name)
    return ImageNetwork(body, preparation, name=model.name, device=device, threads=threads, reading=reading)
