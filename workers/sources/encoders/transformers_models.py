"""Models of the library transformers: images, texts, recordings, and images and texts in one space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Encoding

from workers.kit import ModelRef, UserError
from workers.sources.encoders.folder import ModelFolder
from workers.sources.encoders.forward import Forward, device_of
from workers.sources.encoders.frozen import put_together
from workers.sources.encoders.frozen_audio import SoundNetwork
from workers.sources.encoders.frozen_images import ImageNetwork
from workers.sources.encoders.frozen_texts import TextNetwork, by_length
from workers.sources.encoders.tokenizing import TextPreparation, text_preparation
from workers.sources.encoders.transformers_bodies import body_of
from workers.sources.encoders.transformers_network import Network, network_of
from workers.sources.encoders.transformers_preparation import picture_preparation, sound_preparation
from workers.sources.protocols import DEFAULT_READING, Encoder, Reading


class PairNetwork(ImageNetwork):
    """An `Encoder` of images with a `TextTower`: CLIP, SigLIP and their kind.

    `logit_scale` is what a cosine is multiplied by before the softmax.
    """

    def __init__(
        self, network: Network, folder: ModelFolder, *, name: str, device: str, threads: int, reading: Reading
    ) -> None:
        preparation = picture_preparation(folder, network.module, model_type=network.config.model_type)
        super().__init__(body_of(network), preparation, name=name, device=device, threads=threads, reading=reading)
        self._module: Any = network.module
        self._folder, self._config, self._tokens = folder, network.config, _tokens_of(network, folder)
        scale: Any = getattr(self._module, "logit_scale", None)
        self.logit_scale = 1.0 if scale is None else float(scale.detach().exp())
        self._texts: Forward[Sequence[Encoding]] = Forward(
            self._text_features, device=device_of(device), threads=threads, precision=reading.precision
        )

    def _text_features(self, rows: Sequence[Encoding]) -> tuple[torch.Tensor, None]:
        assert self._tokens is not None  # noqa: S101
        padded = self._tokens.padded(rows)
        given = {key: torch.from_numpy(padded[key]).to(self._device) for key in ("input_ids", "attention_mask")}
        if self._tokens.fixed:
            del given["attention_mask"]
        return self._module.get_text_features(**given).pooler_output, None

    def encode_texts(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Embeddings (n, d) of texts in the space of the image features; UserError without a tokenizer."""
        if self._tokens is None:
            raise UserError(
                f"{self._name} has no tokenizer.json beside its weights, so it can read no texts. Save its "
                "tokenizer in the fast format and scan the folder again."
            )
        encodings = self._tokens.encodings(texts)
        groups = by_length(encodings, is_split=self._device.type == "cpu")
        parts = [
            self._texts([encodings[place] for place in group], count=len(group), take=lambda rows, a, b: rows[a:b])
            for group in groups
        ]
        return put_together(parts, groups).features


def _tokens_of(network: Network, folder: ModelFolder) -> TextPreparation | None:
    """The tokenizer of the text tower; None where there is none, which only matters once a text is read."""
    if folder.path("tokenizer.json") is None:
        return None
    text: Any = getattr(network.config, "text_config", None)
    config = {} if text is None else text.to_dict()
    is_siglip = str(network.config.model_type).startswith("siglip")
    return text_preparation(folder, config, fixed=is_siglip)


def open_encoder(model: ModelRef, *, device: str, threads: int = 1, reading: Reading = DEFAULT_READING) -> Encoder:
    """An encoder by config.json, weights, and preprocessor_config.json or tokenizer.json beside them.

    `ModelRef.config` may hold the content of those JSON files under their names, and max_length. The model's modality
    decides where a type reads several.
    """
    folder = ModelFolder(model)
    network = network_of(model, folder)
    options: dict[str, Any] = {"name": model.name, "device": device, "threads": threads, "reading": reading}
    if network.kind == "pair":
        return PairNetwork(network, folder, **options)
    body = body_of(network)
    if network.kind == "image":
        preparation = picture_preparation(folder, network.module, model_type=network.config.model_type)
        return ImageNetwork(body, preparation, **options)
    if network.kind == "audio":
        return SoundNetwork(body, sound_preparation(folder, network.config), **options)
    return TextNetwork(body, text_preparation(folder, network.config.to_dict()), **options)
