"""What the page of a model says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hubapp.catalog.described import RecordData, parameters_by_dtype
from hubapp.catalog.models import File, Model, Revision, Source, Tensor

PICKLED_FORMATS = {"torch-zip", "torch-legacy", "numpy-pickle"}
FORMAT_TITLES = {
    "safetensors": "safetensors",
    "torch-zip": "PyTorch",
    "torch-legacy": "PyTorch, old",
    "numpy-pickle": "numpy pickle",
    "onnx": "ONNX",
    "npz": "numpy archive",
    "tfjs": "TensorFlow.js",
    "gguf": "GGUF",
}


def format_titles(files: Iterable[File]) -> list[str]:
    """The weight formats of a revision in words, each once."""
    known = [FORMAT_TITLES[file.format] for file in files if file.is_weights and file.format in FORMAT_TITLES]
    return list(dict.fromkeys(known))


HUB_FORMATS = {"pytorch": "PyTorch", "keras": "Keras", "flax": "Flax", "tflite": "TFLite"}
_OWN_TAGS = re.compile(r"(?:base_model|license|dataset|arxiv|region|doi|diffusers|model-index|endpoints_\w+)(?::|$)")
MOST_TAGS = 40


def formats_of(model: Model, files: Sequence[File]) -> list[str]:
    """The weight formats in words: of the files that were read, else as the record has them."""
    return format_titles(files) or [HUB_FORMATS.get(name, FORMAT_TITLES.get(name, name)) for name in model.formats]


def topics_of(model: Model) -> list[str]:
    """Its tags but for those that say what the page says elsewhere."""
    said = {model.task, model.library, *model.languages}
    return [tag for tag in model.tags if not _OWN_TAGS.match(tag) and tag not in said]


def dtypes_of(revision: Revision | None, record: RecordData) -> list[tuple[str, int]]:
    """Parameters by number type, the most first: of the headers that were read, else as the hub counted them."""
    own = revision.parameters_by_dtype if revision is not None else {}
    counts = {str(name): count for name, count in own.items() if isinstance(count, int) and count}
    return sorted((counts or parameters_by_dtype(record)).items(), key=lambda pair: -pair[1])


def hub_address(model: Model) -> str:
    """The model's page at its hub; "" where there is none, or where the hub lies in a private network."""
    source = model.source
    is_public = source.kind == Source.Kind.HUB and not source.allows_private
    return f"{source.location.rstrip('/')}/{model.slug}" if is_public and source.location.startswith("https://") else ""


def card_base_url(model: Model) -> str:
    """What relative links of a card count from."""
    address = hub_address(model)
    return f"{address}/blob/{model.sha or 'main'}/" if address else ""


def safety_sentence(files: Iterable[File]) -> str:
    """What the format of the weights means for safety."""
    formats = {file.format for file in files if file.is_weights}
    if formats & PICKLED_FORMATS:
        return (
            "These files are Python pickles, which other programs may run as code when they load them. Hubscope reads "
            "the numbers without unpickling, so nothing in them was or will be run here."
        )
    if formats & set(FORMAT_TITLES):
        return "The format holds numbers only: loading it runs no code."
    return "The format is not known, so nothing was read."


CONFIG_TITLES = {
    "architecture": "Built as",
    "mean": "Mean",
    "std": "Standard deviation",
    "channel_order": "Channels",
    "scale": "Values are divided by",
    "padding": "Padding",
    "seed": "Seed",
}


def config_pairs(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How a revision is loaded, as name and value in words."""
    names = [name for name in CONFIG_TITLES if name in config]
    names += sorted(name for name in config if name not in CONFIG_TITLES)
    values = [config[name] for name in names]
    texts = [", ".join(map(str, value)) if isinstance(value, list) else str(value) for value in values]
    return [(CONFIG_TITLES.get(name, name), text) for name, text in zip(names, texts, strict=True)]


def revision_json(revision: Revision, *, files: Iterable[File], tensors: Iterable[Tensor]) -> dict[str, Any]:
    """A revision with its files and tensors, as the model's twin gives it."""
    return {
        "digest": revision.digest,
        "commit": revision.commit,
        "is_local": revision.is_local,
        "loader": revision.loader,
        "config": revision.config,
        "parameters": revision.parameters,
        "parameters_by_dtype": revision.parameters_by_dtype,
        "size_bytes": revision.size_bytes,
        "error": revision.error_message,
        "created_at": revision.created_at,
        "files": [
            {
                "path": file.path,
                "sha256": file.sha256,
                "size_bytes": file.size_bytes,
                "format": file.format,
                "is_weights": file.is_weights,
                "safety": file.safety,
                "safety_note": file.safety_note,
            }
            for file in files
        ],
        "tensors": [
            {"name": tensor.name, "shape": tensor.shape, "dtype": tensor.dtype, "parameters": tensor.parameters}
            for tensor in tensors
        ],
    }
