"""Which loader opens a model, by the names of its files and its small JSON files. No torch, nothing opened."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

PAIR_TYPES = frozenset({"align", "altclip", "chinese_clip", "clip", "clipseg", "metaclip_2", "siglip"})
IMAGE_TYPES = frozenset(
    re.findall(
        r"\S+",
        "beit bit convnext convnextv2 cvt data2vec-vision deit dinat dinov2 dinov2_with_registers dinov3_convnext "
        "dinov3_vit efficientnet focalnet hgnet_v2 hiera ijepa levit mobilenet_v1 mobilenet_v2 mobilevit mobilevitv2 "
        "poolformer pp_lcnet pvt pvt_v2 regnet resnet swiftformer swin swinv2 vit vit_mae vit_msn",
    )
)
AUDIO_TYPES = frozenset(
    re.findall(
        r"\S+",
        "audio-spectrogram-transformer data2vec-audio hubert sew sew-d unispeech unispeech-sat wav2vec2 wav2vec2-bert "
        "wav2vec2-conformer wavlm whisper",
    )
)
TEXT_TYPES = frozenset(
    re.findall(
        r"\S+",
        "albert bert big_bird camembert convbert data2vec-text deberta deberta-v2 distilbert electra ernie flaubert "
        "fnet ibert longformer luke megatron-bert mobilebert modernbert mpnet mt5 nystromformer rembert roberta "
        "roberta-prelayernorm roc_bert roformer squeezebert t5 umt5 xlm xlm-roberta xlm-roberta-xl",
    )
)
_TORCHVISION = re.compile(
    r"(alexnet|convnext_(base|large|small|tiny)|densenet(121|161|169|201)|efficientnet_(b[0-7]|v2_[lms])|googlenet|"
    r"inception_v3|maxvit_t|mnasnet[01]_(0|3|5|75)|mobilenet_v(2|3_large|3_small)|regnet_[xy]_\w+?|"
    r"resnet(18|34|50|101|152)|resnext(50|101)_\d+x\d+d|shufflenet_v2_x\d_\d|squeezenet1_[01]|swin_(v2_)?[bst]|"
    r"vgg(11|13|16|19)(_bn)?|vit_[bhl]_(14|16|32)|wide_resnet(50|101)_2)(_\w+?)?-[0-9a-f]{8}\.pth"
)
_SUPPORTED_PARTS = frozenset({"Transformer", "Pooling", "Dense", "Normalize", "LayerNorm", "Dropout"})
_TENSORS = (".safetensors", ".bin", ".pth", ".pt")
_LARGEST_JSON = 64 * 2**20
_ROOT_NAMES = ("modules.json", "config.json", "preprocessor_config.json", "tokenizer.json")


@dataclass(frozen=True, kw_only=True)
class LoaderGuess:
    """What a model's files say of how it is opened.

    loader    name in LOADERS; "" where none can open it
    modality  "image", "text", "audio"; "" where it is unknown
    config    what `ModelRef.config` should hold for that loader
    reason    one sentence for a page: by what it was recognised, or what is missing
    """

    loader: str = ""
    modality: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


def guess_loader(
    files: Mapping[str, bytes | None], config: Mapping[str, Any] | None = None, *, library: str = ""
) -> LoaderGuess:
    """The loader of a model by its files.

    files   path within the model -> content, None where it was not read; contents of modules.json, config.json and
            preprocessor_config.json are used
    config  content of config.json where it is known from elsewhere (a hub's record holds a part of it)
    library what the hub says it is loaded by ("timm"), for a config.json that was not read

    Never raises for what strangers wrote: content that cannot be read counts as not there.
    """
    inside = _inside(files)
    names = frozenset(inside)
    content = _json(inside.get("config.json"))
    merged: dict[str, Any] = {**(config or {}), **(content if isinstance(content, Mapping) else {})}
    if "modules.json" in names:
        return _sentence_model(inside, merged)
    if "auto_map" in merged:
        return LoaderGuess(
            reason="Its config.json wants Python code of the repository to run (auto_map), which is never done."
        )
    has_tensors = any(name.endswith(_TENSORS) and "/" not in name for name in names)
    if has_tensors and _is_timm(merged):
        return LoaderGuess(
            loader="timm",
            modality="image",
            reason=f"Its config.json names timm's architecture {_shown(merged['architecture'])}.",
        )
    if has_tensors and not merged and library == "timm" and "config.json" in names:
        return LoaderGuess(loader="timm", modality="image", reason="Its hub says that it is loaded by timm.")
    if isinstance(merged.get("model_type"), str):
        return _transformers_model(merged, inside, has_tensors=has_tensors)
    for name in sorted(names):
        if match := _TORCHVISION.fullmatch(PurePosixPath(name).name):
            return LoaderGuess(
                loader="torchvision_zoo",
                modality="image",
                config={"architecture": match[1]},
                reason=f"Its file is named as torchvision names the released weights of {match[1]}.",
            )
    graphs = [name for name in names if name.endswith(".onnx")]
    if len(graphs) == 1 and not has_tensors:
        return _graph(inside)
    return LoaderGuess(reason="Nothing beside its weights says how to open it: there is no config.json that is known.")


def _inside(files: Mapping[str, bytes | None]) -> dict[str, bytes | None]:
    """The files by their path from the folder where the model's own JSON files lie."""
    roots = [PurePosixPath(path).parent for path in files if PurePosixPath(path).name in _ROOT_NAMES]
    root = min(roots, key=lambda folder: (len(folder.parts), str(folder)), default=PurePosixPath())
    found = {}
    for path, content in files.items():
        place = PurePosixPath(path)
        if place.is_relative_to(root):
            found[place.relative_to(root).as_posix()] = content
    return found


def _json(content: bytes | None) -> Any:
    if content is None or len(content) > _LARGEST_JSON:
        return None
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _shown(value: Any) -> str:
    """A stranger's word in a sentence."""
    return "".join(letter for letter in str(value)[:60] if letter.isprintable())


def _is_timm(content: Mapping[str, Any]) -> bool:
    if not isinstance(content.get("architecture"), str) or isinstance(content.get("model_type"), str):
        return False
    return isinstance(content.get("pretrained_cfg"), Mapping) or "num_classes" in content or "num_features" in content


def _sentence_model(inside: Mapping[str, bytes | None], content: Mapping[str, Any]) -> LoaderGuess:
    listed = _json(inside["modules.json"])
    kinds: Sequence[str] = ()
    if isinstance(listed, list):
        kinds = [str(part.get("type")) for part in listed if isinstance(part, Mapping)]
        foreign = [kind for kind in kinds if not kind.startswith("sentence_transformers.")]
        if foreign or "auto_map" in content:
            return LoaderGuess(
                modality="text",
                reason="It wants Python code of its repository to run, which is never done: "
                f"{_shown((foreign or ['auto_map'])[0])}.",
            )
        parts = [kind.rpartition(".")[2] for kind in kinds]
        unknown = sorted(set(parts) - _SUPPORTED_PARTS)
        if unknown or parts[:2] != ["Transformer", "Pooling"]:
            odd = _shown(unknown[0]) if unknown else "another order"
            return LoaderGuess(modality="text", reason=f"Its modules.json lists {odd}, which no loader reads.")
    if not any(PurePosixPath(name).name == "tokenizer.json" for name in inside):
        return LoaderGuess(modality="text", reason=_NO_TOKENIZER)
    return LoaderGuess(
        loader="sentence_transformers",
        modality="text",
        reason="Its modules.json lists the parts of a sentence-transformers model.",
    )


_NO_TOKENIZER = "It has no tokenizer.json: save its tokenizer in the fast format beside the weights."
_NO_PREPROCESSING = "It has no preprocessor_config.json, so how its inputs are prepared is unknown."


def _kind(content: Mapping[str, Any]) -> str:
    model_type = content["model_type"]
    architectures = content.get("architectures")
    named = str(architectures[0]) if isinstance(architectures, list) and architectures else ""
    for kind, types in (("pair", PAIR_TYPES), ("image", IMAGE_TYPES), ("audio", AUDIO_TYPES), ("text", TEXT_TYPES)):
        if model_type in types:
            return kind
    for ending, kind in (
        ("ForImageClassification", "image"),
        ("ForAudioClassification", "audio"),
        ("ForSequenceClassification", "text"),
    ):
        if named.endswith(ending):
            return kind
    return ""


def _transformers_model(
    content: Mapping[str, Any], inside: Mapping[str, bytes | None], *, has_tensors: bool
) -> LoaderGuess:
    kind = _kind(content)
    named = _shown(content["model_type"])
    modality = "image" if kind == "pair" else kind
    if not kind:
        return LoaderGuess(reason=f"Models of the type {named} are not read as encoders.")
    if not has_tensors:
        return LoaderGuess(
            modality=modality, reason=f"It is a {named} model, but none of its files holds weights for PyTorch."
        )
    if content.get("quantization_config"):
        return LoaderGuess(modality=modality, reason=f"It is a {named} model whose weights are packed by a quantiser.")
    if kind == "text" and "tokenizer.json" not in inside:
        return LoaderGuess(modality=modality, reason=f"It is a {named} model. {_NO_TOKENIZER}")
    if kind != "text" and "preprocessor_config.json" not in inside:
        return LoaderGuess(modality=modality, reason=f"It is a {named} model. {_NO_PREPROCESSING}")
    settings = _json(inside.get("preprocessor_config.json"))
    if isinstance(settings, Mapping) and "auto_map" in settings:
        return LoaderGuess(modality=modality, reason="Its preprocessing wants Python code to run, which is never done.")
    texts = " and texts in one space" if kind == "pair" else ""
    reads = {"image": "images", "audio": "recordings", "text": "texts", "pair": "images"}[kind]
    return LoaderGuess(
        loader="transformers",
        modality=modality,
        reason=f"Its config.json names the type {named} of transformers, which reads {reads}{texts}.",
    )


def _graph(inside: Mapping[str, bytes | None]) -> LoaderGuess:
    settings = _json(inside.get("preprocessor_config.json"))
    found = settings if isinstance(settings, Mapping) else {}
    mean, std = found.get("image_mean"), found.get("image_std")
    if not all(isinstance(one, list) and len(one) == 3 for one in (mean, std)):
        return LoaderGuess(
            reason="It is an ONNX file; set its modality and preprocessing (mean, std, layout, input_size; or rate)."
        )
    config: dict[str, Any] = {"mean": mean, "std": std}
    factor = found.get("rescale_factor")
    if isinstance(factor, float) and factor > 0:
        config["scale"] = round(1 / factor, 6)
    size = found.get("crop_size") or found.get("size")
    sides = [size.get("height"), size.get("width")] if isinstance(size, Mapping) else [size, size]
    if all(isinstance(side, int) and side > 0 for side in sides):
        config["input_size"] = sides
    return LoaderGuess(
        loader="onnx",
        modality="image",
        config=config,
        reason="It is an ONNX file with the preprocessing of images in preprocessor_config.json beside it.",
    )
