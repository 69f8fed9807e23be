"""Sentence encoders by modules.json: a Transformer, its pooling, dense layers and normalisation, in their order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import sentence_transformers
import torch
from torch import nn

from workers.kit import ModelRef, UserError
from workers.sources.checkpoints import iter_tensors
from workers.sources.encoders.folder import ModelFolder, refuse_hostile
from workers.sources.encoders.frozen import PENULTIMATE, Body
from workers.sources.encoders.frozen_texts import TextNetwork, texts_of
from workers.sources.encoders.pooling import States
from workers.sources.encoders.tokenizing import TextPreparation, text_preparation
from workers.sources.encoders.transformers_bodies import body_of
from workers.sources.encoders.transformers_network import network_of
from workers.sources.protocols import DEFAULT_READING, Encoded, Items, Reading

Step = Callable[[torch.Tensor], torch.Tensor]
_MOST_PARTS = 20
_LARGEST_WIDTH = 65_536
_LEGACY = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "Tanh": nn.Tanh,
    "Identity": nn.Identity,
    "ReLU": nn.ReLU,
    "GELU": nn.GELU,
    "Sigmoid": nn.Sigmoid,
    "SiLU": nn.SiLU,
}


class SentenceNetwork(TextNetwork):
    """An `Encoder` of texts that is a `TextTower` as well: class names go through the same network.

    `logit_scale` 20 is what such encoders are trained with (the scale of MultipleNegativesRankingLoss).
    """

    logit_scale = 20.0

    def __init__(
        self,
        body: Body,
        preparation: TextPreparation,
        *,
        prompt: str,
        name: str,
        device: str,
        threads: int,
        reading: Reading,
    ) -> None:
        super().__init__(body, preparation, name=name, device=device, threads=threads, reading=reading)
        self._prompt = prompt

    def encode(self, items: Items, *, image_size: int = 0) -> Encoded:
        """Embeddings of a sequence of strings, each behind the model's default prompt where it has one."""
        texts = texts_of(items)
        return super().encode([self._prompt + text for text in texts] if self._prompt else texts)

    def encode_texts(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Embeddings (n, d) of texts: the same as `encode` gives."""
        return self.encode(texts).features

    def _preprocessing(self, *, image_size: int) -> str:
        prompt = f" Every text behind the prompt {self._prompt!r}." if self._prompt else ""
        return super()._preprocessing(image_size=image_size) + prompt


def _parts(folder: ModelFolder) -> list[tuple[str, str]]:
    """(type, folder) of each part of modules.json, in order."""
    name, listed = folder.model.name, folder.json("modules.json")
    if not isinstance(listed, list) or not 0 < len(listed) <= _MOST_PARTS:
        raise UserError(
            f"{name} has no modules.json that lists its parts, so it is no sentence-transformers model. Choose the "
            "loader 'transformers' for it."
        )
    found = []
    for part in listed:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if not isinstance(kind, str) or not isinstance(part.get("path", ""), str):
            raise UserError(f"modules.json of {name} lists a part without a type. Fetch the file again.")
        if not kind.startswith("sentence_transformers."):
            raise UserError(
                f"modules.json of {name} wants the Python code {kind[:80]!r} to run, which Hubscope never does."
            )
        found.append((kind.rpartition(".")[2], part.get("path", "")))
    if [kind for kind, _ in found[:2]] != ["Transformer", "Pooling"]:
        raise UserError(f"{name} does not begin with a Transformer and its pooling, which is all that is read here.")
    return found


def _pooling_modes(settings: Mapping[str, Any], *, name: str) -> tuple[str, ...]:
    stated = settings.get("pooling_mode")
    modes = (stated,) if isinstance(stated, str) else tuple(stated or ())
    modes = modes or tuple(mode for key, mode in _LEGACY.items() if settings.get(key)) or ("mean",)
    if unknown := [mode for mode in modes if mode not in _LEGACY.values()]:
        raise UserError(f"{name} pools its tokens by {str(unknown[0])[:40]!r}, which is not known here.")
    if settings.get("include_prompt") is False:
        raise UserError(f"{name} leaves its prompt out of the pooling, which is not possible here. Use another model.")
    return modes


def sentence_pooled(tokens: torch.Tensor, mask: torch.Tensor, mode: str) -> torch.Tensor:
    """One vector (n, d) of tokens (n, t, d) by a pooling of sentence-transformers; texts are filled up on the right."""
    weights = mask.unsqueeze(2).to(tokens.dtype)
    length = weights.sum(dim=1).clamp(min=1e-9)
    if mode == "cls":
        return tokens[:, 0]
    if mode == "lasttoken":
        return tokens[torch.arange(len(tokens), device=tokens.device), mask.sum(dim=1).long().clamp(min=1) - 1]
    if mode == "max":
        return tokens.masked_fill(~mask.bool().unsqueeze(2), -1e9).amax(dim=1)
    if mode == "weightedmean":
        weights = weights * torch.arange(1, tokens.shape[1] + 1, device=tokens.device)[None, :, None]
        return (tokens * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-9)
    summed = (tokens * weights).sum(dim=1)
    return summed / (length.sqrt() if mode == "mean_sqrt_len_tokens" else length)


def _normalised(x: torch.Tensor) -> torch.Tensor:
    return nn.functional.normalize(x, p=2, dim=1)


def _layer(part: ModelFolder, kind: str, *, name: str) -> nn.Module:
    """A dense layer or layer norm of a part's folder, filled."""
    settings = part.settings("config.json")
    refuse_hostile(settings, label=f"config.json of a part of {name}")
    weights = part.path("model.safetensors") or part.path("pytorch_model.bin")
    if weights is None:
        raise UserError(f"{name} has no weights for its part {kind}. Fetch the repository whole.")
    state = {header.name: torch.from_numpy(array) for header, array in iter_tensors([weights])}
    stated = [settings[key] for key in ("in_features", "out_features", "dimension") if key in settings]
    sizes = [size for size in stated if isinstance(size, int) and 0 < size <= _LARGEST_WIDTH]
    if sizes != stated:
        raise UserError(f"A part of {name} states a width that no layer has. Fetch its config.json again.")
    module: nn.Module
    if kind == "LayerNorm" and len(sizes) == 1:
        module, prefix = nn.LayerNorm(sizes[0]), "norm."
    elif kind == "Dense" and len(sizes) == 2:
        activation = str(settings.get("activation_function", "torch.nn.modules.activation.Tanh")).rpartition(".")[2]
        if activation not in _ACTIVATIONS:
            raise UserError(f"A dense layer of {name} has the activation {activation[:40]!r}, which is not known here.")
        linear = nn.Linear(sizes[0], sizes[1], bias=bool(settings.get("bias", True)))
        module, prefix = nn.Sequential(linear, _ACTIVATIONS[activation]()), "linear."
    else:
        raise UserError(f"{name} has a part of type {kind[:40]!r} that cannot be read here. Use another model.")
    inner = module[0] if isinstance(module, nn.Sequential) else module
    shapes = {prefix + key: tuple(value.shape) for key, value in inner.state_dict().items()}
    if shapes != {key: tuple(value.shape) for key, value in state.items()}:
        raise UserError(f"The weights of the part {kind} of {name} do not match its config.json. Fetch both again.")
    inner.load_state_dict({key.removeprefix(prefix): value for key, value in state.items()})
    return module.eval()


def _prompt(folder: ModelFolder) -> str:
    settings = folder.settings("config_sentence_transformers.json")
    prompts, chosen = settings.get("prompts"), settings.get("default_prompt_name")
    found = prompts.get(chosen) if isinstance(prompts, Mapping) and isinstance(chosen, str) else None
    return found if isinstance(found, str) else ""


def open_encoder(
    model: ModelRef, *, device: str, threads: int = 1, reading: Reading = DEFAULT_READING
) -> SentenceNetwork:
    """An encoder by modules.json and the folders that it names.

    Penultimate with the pooling "default" is the embedding that the library gives; layers and other poolings are those
    of the Transformer. `ModelRef.config` may hold max_length.
    """
    folder = ModelFolder(model)
    parts = _parts(folder)
    (_, first), (_, second), rest = parts[0], parts[1], parts[2:]
    inner = folder.inside(first)
    own = [file for file in model.files if Path(file).parent in inner.folders]
    transformer = replace(model, files=tuple(own) or model.files[:1])
    network = network_of(transformer, inner, modality="text", is_plain=True)
    settings = inner.settings("sentence_bert_config.json")
    asked = model.config.get("max_length") or settings.get("max_seq_length")
    preparation = text_preparation(
        inner,
        network.config.to_dict(),
        max_length=asked if isinstance(asked, int) and asked > 0 else 0,
        lower=bool(settings.get("do_lower_case")),
    )
    pooling = folder.inside(second)
    modes = _pooling_modes(pooling.settings("config.json"), name=model.name)
    layers = {
        place: _layer(folder.inside(path), kind, name=model.name)
        for place, (kind, path) in enumerate(rest)
        if kind not in {"Normalize", "Dropout"}
    }
    kinds = [kind for kind, _ in rest if kind != "Dropout"]
    steps = [layers.get(place, _normalised) for place, (kind, _) in enumerate(rest) if kind != "Dropout"]
    plain = body_of(network)

    def states(inputs: Mapping[str, torch.Tensor], layer: str) -> States:
        found = plain.states(inputs, layer)
        if layer != PENULTIMATE:
            return found
        tokens, mask = found.tokens.float(), inputs["attention_mask"]
        x = torch.cat([sentence_pooled(tokens, mask, mode) for mode in modes], dim=1)
        for step in steps:
            x = step(x)
        return replace(found, own=x)

    body = Body(
        network=nn.ModuleList([network.module, *layers.values()]),
        states=states,
        layers=plain.layers,
        default="mean",
        own=", then ".join([f"{' and '.join(modes)} of the tokens", *kinds]),
        facts={
            **plain.facts,
            "versions": {
                **plain.facts["versions"],
                "sentence-transformers": sentence_transformers.__version__,
            },
        },
    )
    return SentenceNetwork(
        body,
        preparation,
        prompt=_prompt(folder),
        name=model.name,
        device=device,
        threads=threads,
        reading=reading,
    )
