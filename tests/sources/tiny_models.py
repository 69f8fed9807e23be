"""Tiny seeded models of the libraries, saved as their users save them; the oracle is the library itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from workers.kit import LOADERS, ModelRef
from workers.sources.protocols import DEFAULT_READING, Encoder, Reading

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
WORDS = "the a cat dog sat ran on under mat tree house bird sang of and photo".split()  # noqa: SIM905
TEXTS = [
    "The cat sat on the mat",
    "a dog",
    "the bird sang of the tree and of the house and ran under a tree on the mat",
    "cat and dog",
    "a photo of unknown things",
]
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 40, 40, 3), dtype=np.uint8)


def saved(folder: Path, model: Any, *, seed: int = 0, processor: Any = None) -> Path:
    """A model of transformers with larger weights than fresh ones, so that differences show."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    folder.mkdir(parents=True, exist_ok=True)
    model.eval().save_pretrained(folder)
    if processor is not None:
        processor.save_pretrained(folder)
    return folder


def word_tokenizer(folder: Path, *, start: str = "[CLS]", end: str = "[SEP]", length: int = 0) -> dict[str, int]:
    """A tokenizer.json of a few words, with tokenizer_config.json; returns the vocabulary."""
    vocabulary = {word: place for place, word in enumerate(["[PAD]", "[UNK]", start, end, *WORDS])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = Lowercase(), Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=[(start, vocabulary[start]), (end, vocabulary[end])]
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
    }
    if length:
        settings["model_max_length"] = length
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return vocabulary


def ref(folder: Path, loader: str = "transformers", **changes: Any) -> ModelRef:
    """The folder as a job names it."""
    files = sorted(str(path) for path in folder.rglob("*") if path.suffix in {".safetensors", ".bin", ".onnx"})
    values: dict[str, Any] = {"name": "tiny", "revision": "0" * 64, "files": tuple(files), "loader": loader}
    return ModelRef(**(values | changes))


def opened(model: ModelRef, *, reading: Reading = DEFAULT_READING) -> Encoder:
    encoder: Encoder = LOADERS.get(model.loader).load()(model, device="cpu", threads=1, reading=reading)
    return encoder


def close(found: Any, expected: Any, *, tolerance: float = 1e-5) -> None:
    """Equal to 1e-5 of the largest value."""
    expected = expected.detach().numpy() if isinstance(expected, torch.Tensor) else np.asarray(expected)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=tolerance * max(1.0, float(np.abs(expected).max())))
