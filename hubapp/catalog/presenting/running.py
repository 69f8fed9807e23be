"""How a model is run here, in words: loader, what reaches it, its classes and layers; or why it is not, and what helps.

What small files beside weights say is a stranger's word: numbers and short texts are taken from them, no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hubapp.catalog.described import record_of, siblings_of
from hubapp.catalog.models import File, Model, Revision, Source
from hubapp.catalog.presenting.preparation import preparation_in_words
from hubapp.catalog.small_files import SmallFiles
from hubapp.ui import words
from workers.kit import LOADERS
from workers.sources.loader_guess import guess_loader

SHOWN_CLASSES = 3
MOST_LAYERS = 2_000
_COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers")


@dataclass(frozen=True, kw_only=True)
class Running:
    """How a model is run, or why not.

    is_run    a loader opens it and its weights lie here
    loader    the loader's name; of a model whose weights lie at its hub the one that would be used; "" for none
    sentence  that it is run and by what, or that it is not
    reason    by what that was told from its files; "" where nobody looked
    remedy    what would make it runnable; "" where it is, or where nothing is known to help
    pairs     more, as name and value
    """

    is_run: bool = False
    loader: str = ""
    sentence: str
    reason: str = ""
    remedy: str = ""
    pairs: Sequence[tuple[str, str]] = field(default_factory=tuple)

    def as_json(self) -> dict[str, Any]:
        """As the model's twin gives it."""
        return {
            "is_run": self.is_run,
            "loader": self.loader,
            "sentence": self.sentence,
            "reason": self.reason,
            "remedy": self.remedy,
            "details": [{"name": name, "value": value} for name, value in self.pairs],
        }


def running_of(model: Model, revision: Revision | None, files: Sequence[File]) -> Running:
    """How the shown revision is run; without its weights here, how it would be by the names of its files."""
    if revision is None or not revision.is_local:
        return _far(model, [file.path for file in files] or [one.path for one in siblings_of(record_of(model))])
    if revision.loader not in LOADERS:
        asked = f" It asks for the loader {revision.loader}, which is not installed." if revision.loader else ""
        return Running(
            sentence=f"No loader here runs it: its tensors can be read, but it gives no features.{asked}",
            reason=revision.loader_note,
            remedy=_remedy(model, [file.path for file in files], revision.loader_note),
        )
    entry = LOADERS.get(revision.loader)
    if revision.error_message:
        return Running(
            loader=entry.name,
            sentence="Nothing runs it while its weights cannot be read.",
            reason=revision.loader_note,
        )
    beside = SmallFiles(files, revision.config)
    reads = words_of_modality(revision.modality or model.modality or entry.modality)
    pairs = [
        ("Loader", f"{entry.title} ({entry.name})"),
        ("Reads", reads),
        ("Preparation", preparation_in_words(entry.name, revision.config, beside, reads=reads)),
        ("Own classes", _classes(entry.name, revision.config, beside)),
        ("Layers", _layers(entry.name, beside)),
    ]
    return Running(
        is_run=True,
        loader=entry.name,
        sentence=f"{entry.title} runs it: it can be ranked, evaluated and compared on data sets of its kind.",
        reason=revision.loader_note,
        pairs=[pair for pair in pairs if pair[1]],
    )


def words_of_modality(modality: str) -> str:
    """What is read, in the plural: "images"."""
    plurals = {"image": "images", "text": "texts", "series": "time series", "audio": "recordings", "table": "tables"}
    return plurals.get(modality, "")


def _far(model: Model, paths: Sequence[str]) -> Running:
    stated = record_of(model).get("config")
    guess = guess_loader(dict.fromkeys(paths), stated if isinstance(stated, dict) else None, library=model.library)
    if not paths:
        return Running(sentence="Its weights do not lie here, so nothing runs it, and its files are not known yet.")
    if not guess.loader:
        return Running(
            sentence="Its weights do not lie here, and by what its hub says of its files no loader would run them.",
            reason=guess.reason,
            remedy=_remedy(model, paths, guess.reason),
        )
    return Running(
        loader=guess.loader,
        sentence="Its weights do not lie here, so nothing runs it yet. By the names of its files "
        f"{LOADERS.get(guess.loader).title} would.",
        reason=guess.reason,
        remedy="Fetch the weights." if model.source.kind == Source.Kind.HUB else "Bring its files into a folder here.",
        pairs=[("Reads", words_of_modality(guess.modality))] if guess.modality else (),
    )


def _remedy(model: Model, paths: Iterable[str], reason: str) -> str:
    """What would make a model runnable, by what is missing beside its weights."""
    names = {path.rpartition("/")[2] for path in paths}
    again = {
        Source.Kind.FOLDER: "then sync the folder again",
        Source.Kind.HUB: "which only its author can do at the hub; a copy in a folder here can have them",
    }.get(Source.Kind(model.source.kind), "and add that folder as a source")
    if "Python code" in reason:
        return "A version of it whose architecture a library knows by itself would run; its own code never does."
    if "quantiser" in reason:
        return "The weights before they were packed would run."
    if "tokenizer.json" in reason:
        return f"Put a tokenizer.json beside the weights, {again}."
    if "preprocessor_config.json" in reason:
        return f"Put its preprocessor_config.json beside the weights, {again}."
    if any(name.endswith(".onnx") for name in names):
        wanted = "preprocessor_config.json with image_mean, image_std and size beside the one ONNX file"
        return f"If it reads images, put a {wanted}, {again}. Staff can also set loader and configuration in the admin."
    if "config.json" not in names:
        wanted = "config.json, and preprocessor_config.json or tokenizer.json, as its library saves them,"
        return f"Put its {wanted} beside the weights, {again}."
    return "A loader for its architecture can be added to Hubscope: an entry point of the group hubscope.loaders."


def _classes(loader: str, config: Mapping[str, Any], beside: SmallFiles) -> str:
    """The classes that it was trained to tell apart, by its configuration."""
    content = beside.settings("config.json")
    count: Any = None
    named: list[Any] = []
    if loader == "transformers":
        architectures = content.get("architectures")
        first = str(architectures[0]) if isinstance(architectures, list) and architectures else ""
        labels = content.get("id2label")
        if not first.endswith("Classification") or not isinstance(labels, Mapping):
            return ""
        ordered = sorted(labels.items(), key=lambda pair: int(pair[0]) if str(pair[0]).isdecimal() else 0)
        count, named = len(ordered), [name for _, name in ordered]
        if all(str(name) == f"LABEL_{place}" for place, name in enumerate(named)):
            named = []
    elif loader == "timm":
        stated = _mapping(content.get("pretrained_cfg"))
        count = content.get("num_classes", stated.get("num_classes"))
        labels = content.get("label_names", stated.get("label_names"))
        named = labels if isinstance(labels, list) else []
    elif loader == "torchvision_zoo":
        count = config.get("classes", 1000)
    if not isinstance(count, int) or isinstance(count, bool) or not 0 < count <= 1_000_000:
        return ""
    shown = ", ".join(_short(name) for name in named[:SHOWN_CLASSES])
    return f"{words.number(count, 0)}{f': {shown}' if shown else ''}{', …' if len(named) > SHOWN_CLASSES else ''}"


def _layers(loader: str, beside: SmallFiles) -> str:
    """The layers whose features can be asked for, where the configuration says how many there are."""
    if loader not in {"transformers", "sentence_transformers"}:
        return ""
    whole = beside.settings("config.json")
    content = _mapping(whole.get("vision_config")) or whole
    count = next((content[name] for name in _COUNTS if isinstance(content.get(name), int)), None)
    if count is None and isinstance(content.get("depths"), list):
        count = len(content["depths"])
    if not isinstance(count, int) or isinstance(count, bool) or not 0 < count <= MOST_LAYERS:
        return ""
    return f"penultimate (used unless another is asked for), layer.0 (embeddings) to layer.{count}"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _short(value: object) -> str:
    return "".join(letter for letter in str(value)[:40] if letter.isprintable())
