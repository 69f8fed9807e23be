"""What a hub's record of a model says, in the catalogue's columns. Records are hostile: every value is checked."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from hubapp.catalog.licences import licence_normalise
from hubapp.catalog.scanning import MODALITY_OF_TASK

MAX_TAGS = 300
MAX_TAG_CHARS = 200
MAX_BASES = 100
MAX_COUNT = 2**62
MAX_NUMBER = 1e12
HUB_ID = re.compile(r"[0-9a-f]{24}")
SHA = re.compile(r"[0-9a-f]{40}")
ARXIV_ID = re.compile(r"(?:\d{4}\.\d{4,5}|[a-z-]{2,12}(?:\.[A-Z]{2})?/\d{7})(?:v\d+)?")
BASE_NAME = re.compile(r"[\w.-]{1,96}(?:/[\w.-]{1,96})?")
RELATIONS = ("finetune", "adapter", "merge", "quantized")
# As the Hub does where no library is stated: a tag that is one.
# fmt: off
LIBRARIES = frozenset((
    "transformers", "diffusers", "sentence-transformers", "timm", "peft", "adapter-transformers", "stable-baselines3",
    "ml-agents", "spacy", "flair", "speechbrain", "espnet", "nemo", "keras", "fastai", "setfit", "span-marker",
    "open_clip", "mlx", "gguf", "onnx", "ultralytics", "pyannote-audio", "stanza", "allennlp", "fasttext", "sklearn",
    "transformers.js", "unity-sentis", "coreml", "tf-keras", "paddlenlp", "bertopic", "asteroid", "llamafile",
))
# ISO 639-1. A record without a card names its languages by bare tags.
_LANGUAGES = (
    "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee "
    "el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is "
    "it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms "
    "mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk "
    "sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi "
    "yo za zh zu multilingual"
)
LANGUAGES = frozenset(_LANGUAGES.split())
# fmt: on
FORMAT_OF_SUFFIX = {
    "safetensors": "safetensors",
    "gguf": "gguf",
    "onnx": "onnx",
    "bin": "pytorch",
    "pt": "pytorch",
    "pth": "pytorch",
    "ckpt": "pytorch",
    "h5": "keras",
    "keras": "keras",
    "msgpack": "flax",
    "pkl": "pickle",
    "pickle": "pickle",
    "joblib": "pickle",
    "npz": "npz",
    "tflite": "tflite",
    "mlmodel": "coreml",
    "mlpackage": "coreml",
    "nemo": "nemo",
    "ot": "rust",
}
NO_WEIGHTS = frozenset(
    ("training_args.bin", "optimizer.pt", "optimizer.bin", "scheduler.pt", "scaler.pt", "rng_state.pth")
)
FORMAT_OF_TAG = {
    "safetensors": "safetensors",
    "gguf": "gguf",
    "onnx": "onnx",
    "pytorch": "pytorch",
    "tf": "keras",
    "keras": "keras",
    "jax": "flax",
    "rust": "rust",
    "tflite": "tflite",
    "coreml": "coreml",
    "openvino": "openvino",
}
QUANTISED_TAGS = frozenset(("gguf", "gptq", "awq", "exl2", "4-bit", "8-bit", "bitsandbytes", "quantized", "ggml"))


class BaseName(NamedTuple):
    """A model that another was made from, and how ("" where nothing says so)."""

    name: str
    relation: str


def text_of(value: object, limit: int) -> str:
    """The value where it is a text, in one line, without what cannot be stored, cut to `limit` characters; else ""."""
    if not isinstance(value, str):
        return ""
    if not value.isprintable():
        value = "".join(letter if letter.isprintable() else " " for letter in value[: 4 * limit])
    return value[:limit].strip()


def texts_of(value: object, *, most: int, limit: int) -> list[str]:
    """The distinct texts of a list, or the one text that stands in its place."""
    values: Iterable[object] = value[: 2 * most] if isinstance(value, list) else (value,)
    return list(dict.fromkeys(text for one in values if (text := text_of(one, limit))))[:most]


def count_of(value: object) -> int | None:
    """The value where it is a whole number from 0."""
    return value if type(value) is int and 0 <= value < MAX_COUNT else None


def number_of(value: object) -> float | None:
    """The value where it is a number of ordinary size."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < MAX_NUMBER else None  # type: ignore[arg-type]


def moment_of(value: object) -> str | None:
    """The value where it is a moment in ISO 8601 with a time zone, as PostgreSQL reads it."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        moment = dt.datetime.fromisoformat(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    # Year 1 in a zone ahead of UTC, and year 9999 in one behind, have no UTC.
    return moment.isoformat() if 1970 <= moment.year <= 9000 else None


def file_names(record: Mapping[str, Any]) -> list[str] | None:
    """The files of the record's repository; None where it does not list them."""
    siblings = record.get("siblings")
    if not isinstance(siblings, list):
        return None
    return [name for one in siblings if isinstance(one, dict) and (name := text_of(one.get("rfilename"), 500))]


def format_of_name(name: str) -> str:
    """The weight format that a file's name stands for; "" where it is no weight file."""
    base = name.rpartition("/")[2]
    return "" if base in NO_WEIGHTS else FORMAT_OF_SUFFIX.get(base.rpartition(".")[2].lower(), "")


def formats_of(names: list[str] | None, tags: list[str]) -> list[str]:
    """The weight formats, by the files' names, else by the tags that a hub derives from them."""
    found = (FORMAT_OF_TAG.get(tag, "") for tag in tags) if names is None else map(format_of_name, names)
    return sorted(set(found) - {""})


def library_of(record: Mapping[str, Any], tags: list[str]) -> str:
    """The library, stated or by a tag. A configuration file alone no longer means transformers (Hub, August 2024)."""
    stated = text_of(record.get("library_name"), 60)
    return stated or next((tag for tag in tags if tag in LIBRARIES), "")


def languages_of(card: Mapping[str, Any], tags: list[str]) -> list[str]:
    """The languages that the card states, else those among the tags."""
    stated = texts_of(card.get("language"), most=200, limit=40)
    return stated or [tag for tag in tags if tag in LANGUAGES]


def datasets_of(card: Mapping[str, Any], tags: list[str]) -> list[str]:
    """The names of the data sets that it was trained on."""
    stated = texts_of(card.get("datasets"), most=200, limit=200)
    return list(dict.fromkeys([*stated, *(tag[8:] for tag in tags if tag.startswith("dataset:"))]))[:200]


def papers_of(tags: list[str]) -> list[str]:
    """The arXiv numbers among the tags, without their versions."""
    found = (tag[6:] for tag in tags if tag.startswith("arxiv:"))
    return list(dict.fromkeys(one.partition("v")[0] for one in found if ARXIV_ID.fullmatch(one)))[:100]


def licence_of(card: Mapping[str, Any], tags: list[str]) -> tuple[str, str, str]:
    """The licence: its identifier, its family, and how it is stated."""
    stated = card.get("license")
    if not stated:
        stated = [tag[8:] for tag in tags if tag.startswith("license:")]
    names = texts_of(stated, most=10, limit=200)
    if not names:
        return "", "", ""
    licence = licence_normalise(
        names if len(names) > 1 else names[0],
        name=text_of(card.get("license_name"), 200),
        link=text_of(card.get("license_link"), 500),
    )
    return licence.id[:100], licence.family[:40], " or ".join(names)[:200]


def bases_of(record: Mapping[str, Any], card: Mapping[str, Any], tags: list[str], library: str) -> list[BaseName]:
    """The models that it was made from, each with its relation.

    Typed tags (base_model:adapter:NAME) say how; else the card's `base_model_relation`; else it is inferred as the Hub
    does (hub-docs, model cards): an adapter by its library or files, quantised by its tags, a merge of several bases,
    else a finetune.
    """
    relations: dict[str, str] = {}
    for tag in tags:
        if tag.startswith("base_model:"):
            typed, _, name = tag[11:].partition(":")
            if typed in RELATIONS and BASE_NAME.fullmatch(name):
                relations[name] = typed
            elif BASE_NAME.fullmatch(tag[11:]):
                relations.setdefault(tag[11:], "")
    stated = card.get("base_model")
    for one in stated[:MAX_BASES] if isinstance(stated, list) else (stated,):
        # A dictionary with a name and a hash is a form that users ask for.
        base = text_of(one.get("name") if isinstance(one, dict) else one, 200)
        if BASE_NAME.fullmatch(base):
            relations.setdefault(base, "")
    if not relations:
        return []
    kind = card.get("base_model_relation")
    known = kind if isinstance(kind, str) and kind in RELATIONS else _inferred(record, relations, tags, library)
    return [BaseName(name, relation or known) for name, relation in list(relations.items())[:MAX_BASES]]


def _inferred(record: Mapping[str, Any], relations: Mapping[str, str], tags: list[str], library: str) -> str:
    if library in {"peft", "adapter-transformers"} or "lora" in tags:
        return "adapter"
    if any(name.endswith("adapter_config.json") for name in file_names(record) or ()):
        return "adapter"
    if not QUANTISED_TAGS.isdisjoint(tags):
        return "quantized"
    return "merge" if len(relations) > 1 or "merge" in tags or "mergekit" in tags else "finetune"


def parameters_of(record: Mapping[str, Any]) -> int | None:
    """How many parameters the headers state, as the hub counted them."""
    for kind in ("safetensors", "gguf"):
        stated = record.get(kind)
        if isinstance(stated, dict):
            total = count_of(stated.get("total"))
            counts = stated.get("parameters")
            if total is None and isinstance(counts, dict):
                total = sum(count for one in counts.values() if (count := count_of(one)))
            if total:
                return total
    return None


def size_of(record: Mapping[str, Any]) -> int | None:
    """The bytes of the weight files, where the record states them."""
    siblings = record.get("siblings")
    sizes = [
        count_of(one.get("size"))
        for one in (siblings if isinstance(siblings, list) else ())
        if isinstance(one, dict) and format_of_name(text_of(one.get("rfilename"), 500))
    ]
    return sum(size for size in sizes if size) if sizes and None not in sizes else None


def architecture_of(record: Mapping[str, Any]) -> str:
    """The class that its configuration names, else the model type."""
    config = record.get("config")
    if isinstance(config, dict):
        architectures = config.get("architectures")
        named = architectures[0] if isinstance(architectures, list) and architectures else None
        return text_of(named, 100) or text_of(config.get("model_type"), 100)
    gguf = record.get("gguf")
    return text_of(gguf.get("architecture"), 100) if isinstance(gguf, dict) else ""


def modality_of(task: str) -> str:
    """What a model of that task reads."""
    return MODALITY_OF_TASK.get(task, "")
