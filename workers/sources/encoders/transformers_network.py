"""A network of transformers from config.json and safe weights: the library's own classes, no repository's code."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import CONFIG_MAPPING, MODEL_MAPPING
from transformers.models.auto import modeling_auto
from transformers.utils import logging

from workers.kit import ModelRef, UserError
from workers.sources.checkpoints import iter_tensors
from workers.sources.encoders.folder import ModelFolder
from workers.sources.encoders.library_calls import in_a_sentence, offline, refuse_too_large, stored_headers
from workers.sources.encoders.weights import listed

logging.set_verbosity_error()  # type: ignore[no-untyped-call]
logging.disable_progress_bar()  # type: ignore[no-untyped-call]

# How a network is run is not for a stranger's file to say: kernels would be fetched, weights unpacked by code.
_LEFT_OUT = re.compile(r"_?(attn|experts)_implementation.*|fusion_config|distributed_config|_name_or_path|torchscript")
_REFUSED = ("quantization_config", "backbone", "backbone_config", "use_timm_backbone", "use_pretrained_backbone")

# Tensors of heads that training needs and reading does not: a checkpoint may have them, a network need not.
_OTHER_HEADS = re.compile(
    r"(.*\.)?(cls|lm_head|lm_predictions|mlm|nsp|vocab_(transform|layer_norm|projector)|predictions|qa_outputs|"
    r"discriminator_predictions|generator_(predictions|lm_head)|pre_classifier|classifier|score|decoder|proj_out|"
    r"project_(q|hid)|quantizer|mask_emb(ed)?|mask_token|sop_classifier|masked_spec_embed|pooler)(\..+)?"
)
_COUNTERS = re.compile(r"(.*\.)?(position_ids|num_batches_tracked|attn\.(masked_)?bias|relative_position_index)")
_POOLER = re.compile(r"(.*\.)?(pooler|masked_spec_embed|mask_token|num_batches_tracked)(\..+)?")

# Whose image and text features come from pixels and tokens alone.
PAIRS = frozenset({"align", "altclip", "chinese_clip", "clip", "clipseg", "metaclip_2", "siglip"})


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """A filled network of transformers, in eval mode on the CPU.

    module    the network
    config    its configuration
    kind      "image", "text", "audio" or "pair" (images and texts in one space)
    has_head  whether it has a classifier with weights of the checkpoint
    head      name of the module that makes the logits, "" where the class has none
    """

    module: nn.Module
    config: Any
    kind: str
    has_head: bool
    head: str


def configuration_of(content: Mapping[str, Any], *, name: str) -> Any:
    """The library's configuration object; UserError for a model type that it does not know."""
    for key in _REFUSED:
        if content.get(key) not in (None, False):
            raise UserError(
                f"config.json of {name} sets {key}, which Hubscope does not follow: the network inside it would come "
                "from elsewhere. Use a model with plain weights."
            )
    model_type = content.get("model_type")
    if not isinstance(model_type, str) or model_type not in CONFIG_MAPPING:
        raise UserError(
            f"config.json of {name} names the model type {str(model_type)[:60]!r}, which this version of transformers "
            "does not know. Choose another loader, or a newer version of the library."
        )
    with in_a_sentence(f"The configuration of {name} is not one of a {model_type} model"):
        return CONFIG_MAPPING[model_type].from_dict(_plain(content))


def _plain(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {name: _plain(value) for name, value in content.items() if not _LEFT_OUT.fullmatch(str(name))}
    return content


def _registered(registry: str, config: Any) -> tuple[Any, ...]:
    mapping = getattr(modeling_auto, registry)
    kind = type(config)
    found = mapping[kind] if kind in mapping else ()  # noqa: SIM401 - get() of this mapping raises
    return tuple(found) if isinstance(found, list | tuple) else (found,)


def kind_of(config: Any, *, modality: str) -> str:
    """What a model reads: "pair", "image", "audio" or "text"."""
    if _registered("MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING", config):
        return "pair"
    is_image = _registered("MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING", config) or _registered(
        "MODEL_FOR_IMAGE_MAPPING", config
    )
    if is_image and modality in {"", "image"}:
        return "image"
    is_audio = _registered("MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING", config)
    if is_audio and modality in {"", "audio"}:
        return "audio"
    return "image" if is_image else "audio" if is_audio else "text"


def class_of(config: Any, *, kind: str, architectures: Sequence[str]) -> Any:
    """The class that reads the checkpoint.

    Images and spectrograms take the one with a classifier, which says what a classifier reads even where the checkpoint
    has none; texts and waves only where config.json names it.
    """
    registry = {
        "image": "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING",
        "audio": "MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING",
        "text": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING",
        "pair": "MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING",
    }[kind]
    classifying = _registered(registry, config)
    named = [one for one in classifying if one.__name__ in architectures]
    if named:
        return named[0]
    is_spectrogram = config.model_type == "audio-spectrogram-transformer"
    if (kind in {"image", "pair"} or is_spectrogram) and classifying:
        return classifying[0]
    encoders = _registered("MODEL_FOR_TEXT_ENCODING_MAPPING", config) if kind == "text" else ()
    if encoders:
        return encoders[0]
    if type(config) in MODEL_MAPPING:
        return _registered("MODEL_MAPPING", config)[0]
    raise UserError(f"transformers has no network that encodes with a {config.model_type} model. Use another model.")


def has_masked_lm(config: Any) -> bool:
    """Whether models of this type begin a text with a class token, as those trained on masked words do."""
    return bool(_registered("MODEL_FOR_MASKED_LM_MAPPING", config))


def network_of(model: ModelRef, folder: ModelFolder, *, modality: str = "", is_plain: bool = False) -> Network:
    """The network of a model's files, strictly matched; `is_plain` takes no classifier, whatever config.json names.

    Missing may be a classifier as a whole (then `has_head` is false) and what only training reads; more than the
    network needs may be heads of training, by name. Raises UserError naming tensors for anything else, and before
    anything is allocated for what cannot fit.
    """
    content = folder.configuration()
    config = configuration_of(content, name=model.name)
    kind = kind_of(config, modality=modality or model.modality)
    if kind == "pair" and config.model_type not in PAIRS:
        raise UserError(
            f"{model.name} is a {config.model_type} model, whose images and texts are not read here. Known pairs: "
            f"{', '.join(sorted(PAIRS))}."
        )
    named = content.get("architectures")
    chosen = class_of(config, kind=kind, architectures=named if isinstance(named, list) and not is_plain else ())
    if hasattr(config, "mask_ratio"):
        config.mask_ratio = 0.0  # a masked autoencoder hides patches from itself even when it is not trained
    headers = stored_headers(model)
    with offline(), in_a_sentence(f"transformers cannot build {chosen.__name__} for {model.name}"):
        with torch.device("meta"):
            outline = chosen(config)
        refuse_too_large(outline, headers, name=model.name)
        state = {
            header.name: torch.from_numpy(array)
            for header, array in iter_tensors([Path(file) for file in model.files])
            if not _COUNTERS.fullmatch(header.name)
        }
        module, report = chosen.from_pretrained(
            None,
            config=config,
            state_dict=state,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            dtype=torch.float32,
            local_files_only=True,
        )
    head = _head_name(module, config)
    is_complete = _checked(module, report, name=model.name, architecture=chosen.__name__)
    return Network(module=module.eval(), config=config, kind=kind, has_head=bool(head) and is_complete, head=head)


def _head_name(module: nn.Module, config: Any) -> str:
    """The module outside of the body whose outputs are the logits: the first of the classifier's last layers."""
    prefix = f"{getattr(module, 'base_model_prefix', '')}."
    if getattr(module, "base_model", module) is module:
        return ""
    labels = getattr(config, "num_labels", 0)
    outside = [
        name
        for name, part in module.named_modules()
        if isinstance(part, nn.Linear | nn.Conv2d)
        and not name.startswith(prefix)
        and labels in (getattr(part, "out_features", None), getattr(part, "out_channels", None))
    ]
    # A distilled DeiT has two classifiers side by side, others a chain of layers that may all have that width.
    return next((name for name in outside if name.startswith("cls_")), outside[-1] if outside else "")


def _checked(module: Any, report: Mapping[str, Any], *, name: str, architecture: str) -> bool:
    """Whether the classifier is there whole; UserError naming tensors where the checkpoint does not match."""
    for tensor, stored, needed in sorted(report["mismatched_keys"]):
        raise UserError(
            f"The tensor {tensor} of {name} has the shape {tuple(stored)}, {architecture} needs {tuple(needed)}. Is "
            "this the checkpoint of another architecture?"
        )
    prefix = f"{getattr(module, 'base_model_prefix', '')}."
    has_body = getattr(module, "base_model", module) is not module
    outside = {key for key in module.state_dict() if has_body and not key.startswith(prefix)}
    missing = {key for key in report["missing_keys"] if not _COUNTERS.fullmatch(key)}
    lacks_head = missing & outside
    is_optional = not lacks_head or lacks_head == {key for key in outside if not _COUNTERS.fullmatch(key)}
    missing = {key for key in missing if not _POOLER.fullmatch(key) and not (key in outside and is_optional)}
    unexpected = {key for key in report["unexpected_keys"] if not _OTHER_HEADS.fullmatch(key)}
    if missing or unexpected:
        parts = [
            *([f"it lacks {listed(missing)}"] if missing else []),
            *([f"it has {listed(unexpected)}, which {architecture} does not know"] if unexpected else []),
        ]
        raise UserError(f"The checkpoint of {name} does not match {architecture}: {'; '.join(parts)}.")
    return not lacks_head
