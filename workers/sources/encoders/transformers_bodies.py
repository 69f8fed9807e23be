"""What a network of transformers gives at a layer: hidden states, what its classifier reads, its logits."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
import transformers

from workers.kit import UserError
from workers.sources.encoders.frozen import PENULTIMATE, Body
from workers.sources.encoders.pooling import States
from workers.sources.encoders.transformers_network import Network, has_masked_lm

_SPECTROGRAM_PREFIX = 2
_MOST_PREFIX = 16


def body_of(network: Network) -> Body:
    """The network as an encoder runs it; layers are "layer.0" (embeddings) to "layer.n", hidden states of the library.

    Penultimate is what the last classifying layer reads, where there is one (of images also where its weights are not
    there); else the pooling is the class token of images, the masked mean of texts, the mean over frames of sound.
    """
    if network.kind == "pair":
        return _pair_body(network)
    config, module = network.config, network.module
    reads_head = bool(network.head) and (network.has_head or network.kind == "image")
    reader = _Reader(network, reads_head=reads_head)
    own = f"what {network.head} reads" if reads_head else _OWN[network.kind]
    return Body(
        network=module,
        states=reader,
        layers=_layers(config),
        default="cls" if network.kind == "image" else "mean",
        own=own,
        source_classes=_classes(config) if network.has_head else (),
        facts=_facts(network),
    )


_OWN = {
    "image": "the model's own pooler, or class token, or mean over all positions",
    "text": "mean over the tokens of the text",
    "audio": "the model's own pooler, or mean over the frames of the recording",
}


def _facts(network: Network) -> dict[str, Any]:
    return {
        "architecture": type(network.module).__name__,
        "versions": {"transformers": transformers.__version__},
    }


def _layers(config: Any) -> tuple[str, ...]:
    count = getattr(config, "num_hidden_layers", None)
    depths = getattr(config, "depths", None)
    if not isinstance(count, int):
        count = len(depths) if isinstance(depths, list | tuple) else 0
    return tuple(f"layer.{place}" for place in range(count + 1)) if count else ()


def _classes(config: Any) -> tuple[str, ...]:
    """The names of the classes; none where the configuration has only numbers for them."""
    names = getattr(config, "id2label", None) or {}
    found = tuple(str(names[place]) for place in sorted(names) if isinstance(place, int))
    return () if all(name == f"LABEL_{place}" for place, name in enumerate(found)) else found


class _Reader:
    """Runs a network and keeps what its body gave and what its head read."""

    def __init__(self, network: Network, *, reads_head: bool) -> None:
        self._network, self._reads_head = network, reads_head
        module: Any = network.module
        base: Any = getattr(module, "base_model", module)
        self._body: Any = None
        self._read: torch.Tensor | None = None
        self._runner = module.get_encoder() if base is module and _has_decoder(network) else module
        if base is not module:
            base.register_forward_hook(self._see_body)
        if reads_head:
            module.get_submodule(network.head).register_forward_pre_hook(self._see_head)
        self._accepted = set(inspect.signature(self._runner.forward).parameters)

    def _see_body(self, module: Any, args: Any, output: Any) -> None:
        self._body = output

    def _see_head(self, module: Any, args: tuple[torch.Tensor, ...]) -> None:
        self._read = args[0]

    def __call__(self, inputs: Mapping[str, torch.Tensor], layer: str) -> States:
        """The states of one batch at a layer."""
        network = self._network
        given = {name: value for name, value in inputs.items() if name in self._accepted}
        if getattr(network.config, "type_vocab_size", 0) < 2:
            given.pop("token_type_ids", None)
        self._body = self._read = None
        output = self._runner(**given, output_hidden_states=layer != PENULTIMATE, return_dict=True)
        body = output if self._body is None else self._body
        tokens = hidden_state(output, body, layer, name=network.config.model_type)
        prefix = _prefix(network, tokens, inputs)
        mask = _mask(network, tokens, inputs)
        logits = output.logits if network.has_head else None
        own = self._own(body, mask) if layer == PENULTIMATE else None
        return States(tokens=tokens, prefix=prefix, mask=mask, own=own, logits=logits)

    def _own(self, body: Any, mask: torch.Tensor | None) -> torch.Tensor | None:
        read = self._read
        if not self._reads_head or read is None:
            pooler = None if self._network.kind == "text" else getattr(body, "pooler_output", None)
            return None if pooler is None else pooler.flatten(1)
        if read.ndim == 4:
            return read.float().mean(dim=(2, 3))
        if read.ndim == 3 and mask is not None:  # a decoder's head reads every token; its logits are the last one's
            last = mask.shape[1] - 1 - mask.flip(1).long().argmax(dim=1)
            return read[torch.arange(len(read), device=read.device), last]
        return read if read.ndim == 2 else read.float().mean(dim=1)


def hidden_state(output: Any, body: Any, layer: str, *, name: str) -> torch.Tensor:
    """The last hidden state, or the one of a layer; UserError where the network does not give it."""
    if layer == PENULTIMATE:
        last: torch.Tensor = body.last_hidden_state
        return last
    states = getattr(output, "hidden_states", None) or getattr(body, "hidden_states", None) or ()
    place = int(layer.removeprefix("layer."))
    if place >= len(states):
        raise UserError(
            f"A {name} model gives {len(states)} hidden states, not {layer}. Choose another.", field="layer"
        )
    found = states[place]
    if not isinstance(found, torch.Tensor):
        raise UserError(f"{layer} of a {name} model is no array of numbers. Choose another layer.", field="layer")
    return found


def _has_decoder(network: Network) -> bool:
    return bool(getattr(network.config, "is_encoder_decoder", False)) and hasattr(network.module, "get_encoder")


def patch_prefix(tokens: torch.Tensor, pixels: torch.Tensor, patch: Any) -> int:
    """How many tokens come before those of the patches."""
    sides = (patch, patch) if isinstance(patch, int) else tuple(patch or ())
    if tokens.ndim != 3 or len(sides) != 2:
        return 0
    extra = tokens.shape[1] - (pixels.shape[2] // sides[0]) * (pixels.shape[3] // sides[1])
    return extra if 0 < extra <= _MOST_PREFIX else 0


def _prefix(network: Network, tokens: torch.Tensor, inputs: Mapping[str, torch.Tensor]) -> int:
    if network.kind == "image":
        return patch_prefix(tokens, inputs["pixel_values"], getattr(network.config, "patch_size", None))
    if network.kind == "text":
        return int(has_masked_lm(network.config))
    return _SPECTROGRAM_PREFIX if network.config.model_type == "audio-spectrogram-transformer" else 0


def _mask(network: Network, tokens: torch.Tensor, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
    if network.kind == "text":
        return inputs["attention_mask"]
    if "frames" in inputs and tokens.ndim == 3:
        return torch.arange(tokens.shape[1], device=tokens.device)[None] < inputs["frames"][:, None]
    return None


def _pair_body(network: Network) -> Body:
    module: Any = network.module
    vision = getattr(network.config, "vision_config", None)
    own = "the image in the space that images and texts share (image features)"

    def states(inputs: Mapping[str, torch.Tensor], layer: str) -> States:
        pixels = inputs["pixel_values"]
        output = module.get_image_features(pixel_values=pixels, output_hidden_states=layer != PENULTIMATE)
        tokens = hidden_state(output, output, layer, name=network.config.model_type)
        pooled = output.pooler_output if layer == PENULTIMATE else None
        return States(
            tokens=tokens, prefix=patch_prefix(tokens, pixels, getattr(vision, "patch_size", None)), own=pooled
        )

    return Body(network=module, states=states, layers=_layers(vision), default="cls", own=own, facts=_facts(network))
