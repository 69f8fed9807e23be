"""What transformers does to images and recordings before a network sees them, by preprocessor_config.json."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from transformers.models.auto import feature_extraction_auto, image_processing_auto

from workers.kit import UserError
from workers.sources.encoders.folder import ModelFolder, refuse_hostile
from workers.sources.encoders.frozen_audio import LONGEST_SECONDS, Sound, SoundPreparation
from workers.sources.encoders.frozen_images import PicturePreparation
from workers.sources.encoders.library_calls import in_a_sentence
from workers.sources.encoders.pictures import Picture, squashed

_IMAGE_DEFAULTS: dict[str, Any] = vars(image_processing_auto)["IMAGE_PROCESSOR_MAPPING_NAMES"]
_SOUND_DEFAULTS: dict[str, Any] = vars(feature_extraction_auto)["FEATURE_EXTRACTOR_MAPPING_NAMES"]
_LARGEST_SIDE = 4_096
_SHORTEST_SOUND = 400
_PLACES = re.compile(r"position_embed|pos_embed|position_bias|relative_position|class_embedding|cls_token")


def _processor(folder: ModelFolder, keys: Sequence[str], look_up: Any, default: str | None, what: str) -> Any:
    """The library's processor that preprocessor_config.json names, made from its values."""
    name = folder.model.name
    settings = folder.settings("preprocessor_config.json") or folder.settings("processor_config.json")
    settings = settings.get("image_processor", settings.get("feature_extractor", settings))
    if not settings:
        raise UserError(
            f"{name} has no preprocessor_config.json beside its weights, so how its inputs are prepared is unknown. "
            "Put the whole repository into the folder and scan it again."
        )
    refuse_hostile(settings, label=f"preprocessor_config.json of {name}")
    named = next((settings[key] for key in keys if isinstance(settings.get(key), str)), default) or ""
    # Released files name classes of earlier versions: ViTFeatureExtractor is ViTImageProcessor now.
    names = [named, named.removesuffix("Fast"), named.replace("FeatureExtractor", "ImageProcessor")]
    found = next((one for one in (look_up(each) for each in names if each) if one is not None), None)
    if found is None or not hasattr(found, "from_dict"):
        raise UserError(f"{name} prepares its {what} by {named[:60] or 'nothing named'!r}, which is not known here.")
    with in_a_sentence(f"preprocessor_config.json of {name} cannot be used"):
        return found.from_dict({key: value for key, value in settings.items() if key != "auto_map"})


def picture_preparation(folder: ModelFolder, module: nn.Module, *, model_type: str) -> PicturePreparation:
    """The model's own image processor. UserError where there is none, or for images beyond reason."""
    defaults = _IMAGE_DEFAULTS.get(model_type)
    default = next(iter(defaults.values()), None) if isinstance(defaults, dict) else None
    processor = _processor(
        folder,
        ("image_processor_type", "feature_extractor_type"),
        image_processing_auto.get_image_processor_class_from_name,
        default,
        "images",
    )
    sizes = [dict(value) for value in (getattr(processor, key, None) for key in ("size", "crop_size")) if value]
    if any(isinstance(side, int) and side > _LARGEST_SIDE for size in sizes for side in size.values()):
        raise UserError(
            f"preprocessor_config.json of {folder.model.name} asks for images above {_LARGEST_SIDE} pixels."
        )
    resample = Image.Resampling(int(getattr(processor, "resample", None) or Image.Resampling.BILINEAR))

    def prepare(pictures: Sequence[Picture], side: int) -> torch.Tensor:
        options: dict[str, Any] = {}
        if side:
            pictures = squashed(pictures, side=side, resample=resample)
            options = {"do_resize": False, "do_center_crop": False}
        prepared = processor(list(pictures), return_tensors="pt", input_data_format="channels_last", **options)
        result: torch.Tensor = prepared["pixel_values"]
        return result

    stated = ", ".join(str(size) for size in sizes)
    return PicturePreparation(
        prepare=prepare,
        in_words=f"{type(processor).__name__} of transformers by the model's preprocessor_config.json ({stated}).",
        is_fixed=any(_PLACES.search(name) for name, _ in module.named_parameters()),
    )


def sound_preparation(folder: ModelFolder, config: Any) -> SoundPreparation:
    """The model's own feature extractor. Raises UserError where there is none."""
    extractor = _processor(
        folder,
        ("feature_extractor_type",),
        feature_extraction_auto.feature_extractor_class_from_name,
        _SOUND_DEFAULTS.get(config.model_type),
        "recordings",
    )
    rate = int(getattr(extractor, "sampling_rate", 0))
    if not 0 < rate <= 192_000:
        raise UserError(f"preprocessor_config.json of {folder.model.name} says no rate that a recording can have.")
    is_spectral = "input_values" not in extractor.model_input_names or hasattr(extractor, "num_mel_bins")
    hop = int(getattr(extractor, "hop_length", 0) or 0)
    # Waves are not padded: a model that normalises over the whole recording would hear the silence.
    is_alike = not is_spectral or config.model_type == "wav2vec2-bert"
    is_whisper = config.model_type == "whisper"

    def prepare(sounds: Sequence[Sound]) -> dict[str, torch.Tensor]:
        prepared = extractor([np.asarray(one) for one in sounds], sampling_rate=rate, return_tensors="pt")
        inputs = {key: value for key, value in prepared.items() if isinstance(value, torch.Tensor)}
        if is_alike and "attention_mask" in inputs and bool(inputs["attention_mask"].all()):
            del inputs["attention_mask"]
        if is_whisper and hop:  # its encoder halves the frames
            inputs["frames"] = torch.tensor([max(1, -(-len(one) // (2 * hop))) for one in sounds])
        return inputs

    longest = int(getattr(extractor, "n_samples", 0) or LONGEST_SECONDS * rate)
    return SoundPreparation(
        prepare=prepare,
        rate=rate,
        shortest=max(_SHORTEST_SOUND, receptive_field(config)),
        longest=min(longest, LONGEST_SECONDS * rate),
        is_alike=is_alike,
        in_words=(
            f"{type(extractor).__name__} of transformers at {rate:,} samples per second, "
            f"the first {min(longest, LONGEST_SECONDS * rate) / rate:g} s."
        ),
    )


def receptive_field(config: Any) -> int:
    """Samples that the first frame of a wave encoder needs; 0 where it has no convolutions over samples."""
    kernels, strides = getattr(config, "conv_kernel", ()), getattr(config, "conv_stride", ())
    needed, step = 1, 1
    for kernel, stride in zip(kernels or (), strides or (), strict=False):
        needed += (int(kernel) - 1) * step
        step *= int(stride)
    return needed if kernels else 0
