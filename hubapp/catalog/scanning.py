"""Finding the models in a folder of checkpoints: which files belong together, and what the files beside them say."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from django.utils.text import slugify

from workers.sources.choosing import INDEX_SUFFIX, weights_of_repository
from workers.sources.headers import identify
from workers.sources.hub_names import name_check

WEIGHT_SUFFIXES = (
    ".safetensors",
    ".pt",
    ".pth",
    ".ckpt",
    ".bin",
    ".onnx",
    ".gguf",
    ".npz",
    ".pkl",
)
CARD_SUFFIXES = (".json", ".md", ".txt", ".model")
SHARD = re.compile(r"(?P<base>.+)-\d{5}-of-(?P<total>\d{5})(?P<suffix>\.[a-z]+)")
FRONT_MATTER = re.compile(r"\A---\n(?P<lines>.*?)\n---\n", re.DOTALL)
LARGEST_CARD_BYTES = 2**20
SLUG_LENGTH = 120
MOST_PARTS = 100
DATA_ENDINGS = ("_data", ".data")
HUB_MODEL_PREFIX = "models--"
HUB_PREFIXES = (HUB_MODEL_PREFIX, "datasets--", "spaces--", "kernels--")
COMMIT = re.compile(r"[0-9a-f]{40}")
MODALITY_OF_TASK = {
    "image-classification": "image",
    "image-segmentation": "image",
    "image-to-image": "image",
    "object-detection": "image",
    "depth-estimation": "image",
    "image-feature-extraction": "image",
    "text-classification": "text",
    "token-classification": "text",
    "sentence-similarity": "text",
    "fill-mask": "text",
    "text-generation": "text",
    "feature-extraction": "text",
    "summarization": "text",
    "translation": "text",
    "time-series-forecasting": "series",
    "audio-classification": "audio",
    "automatic-speech-recognition": "audio",
}


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Files that make up one model.

    name        path within the folder, without the ending of a single file: unique, and what the slug is made of; in
                the cache of a hub the hub's name, which all snapshots of a model share
    weights     files that hold tensors, in order; companions: configuration, card and tokenizer beside them
    folder      what the files' paths count from: the model's own, in the cache of a hub the snapshot
    commit      the snapshot's commit, 40 hexadecimal digits; "" outside of such a cache
    hub_name    the model's name on its hub, "org/name"; "" outside
    is_current  whether it is the snapshot that refs/main names, or the newest where that names none
    """

    name: str
    weights: tuple[Path, ...]
    companions: tuple[Path, ...] = ()
    folder: Path | None = None
    commit: str = ""
    hub_name: str = ""
    is_current: bool = True

    @property
    def slug(self) -> str:
        """The model's slug: its name on its hub as it is, else its path with hyphens."""
        if self.hub_name:
            return self.hub_name
        return slugify(re.sub(r"[/._]+", "-", self.name))[:SLUG_LENGTH].strip("-") or "model"

    def path_of(self, file: Path) -> str:
        """The path of one of its files within the model."""
        return file.relative_to(self.folder).as_posix() if self.folder else file.name

    @property
    def title(self) -> str:
        """The model's title: the last part of its path."""
        return PurePosixPath(self.name).name[:200]


@dataclass(kw_only=True)
class Found:
    """What a folder holds: candidates by name, and the paths that were refused with the reason in a sentence."""

    candidates: list[Candidate] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def folder_search(root: Path) -> Found:
    """Find the models below a folder, in the order of their names.

    A folder with config.json and weights, or with a TensorFlow.js model.json, is one model; the folders that a
    modules.json names belong to it; an ONNX file beside preprocessor_config.json has that; shards of one name are one
    model; every other weight file is a model by itself. Links that lead out of the folder are refused;
    links to folders are not followed. In the cache of a hub (models--org--name/snapshots/<commit>) every snapshot is a
    candidate of the model "org/name", the current one last; data sets and Spaces there are passed over.
    """
    found = Found()
    resolved = root.resolve()
    modular: dict[Path, _Modular] = {}  # by the folder of each part
    for folder, files in _walk(resolved, resolved, found):
        if _is_hub_folder(folder):
            found.candidates += _hub_snapshots(folder, resolved, found)
            continue
        names = {path.name for path in files}
        weights = _weights_of(files)
        if folder in modular:
            modular[folder].files += files
            continue
        if parts := _parts(folder) if "modules.json" in names else []:
            modular |= dict.fromkeys(parts, _Modular(folder, files))
            continue
        if _is_tfjs(folder, names):
            shards = tuple(path for path in files if path.suffix == ".bin")
            found.candidates.append(
                Candidate(
                    name=_name(folder, resolved),
                    weights=(folder / "model.json", *shards),
                    companions=tuple(path for path in _companions(files) if path.name != "model.json"),
                )
            )
        elif weights and ("config.json" in names or _is_prepared(weights, names)):
            found.candidates.append(_whole(folder, resolved, weights, files))
        else:
            own = tuple(path for path in weights if _is_weights(path, resolved, found))
            found.candidates += _single_models(own, resolved, files)
    for one in {id(one): one for one in modular.values()}.values():
        if weights := _weights_by_folder(one.files):
            found.candidates.append(_whole(one.folder, resolved, weights, one.files))
    found.candidates.sort(key=lambda candidate: (candidate.name, candidate.is_current))
    return found


@dataclass
class _Modular:
    """A sentence-transformers model whose parts lie in folders of their own: all its files so far."""

    folder: Path
    files: list[Path]


def _parts(folder: Path) -> list[Path]:
    """The folders below this one that its modules.json names as parts of the model."""
    listed = _json_content(folder / "modules.json")
    named = [part.get("path") for part in listed if isinstance(part, dict)] if isinstance(listed, list) else []
    paths = [PurePosixPath(name) for name in named[:MOST_PARTS] if isinstance(name, str) and name and "\0" not in name]
    return [folder / path for path in paths if not path.is_absolute() and ".." not in path.parts and path.parts]


def _weights_by_folder(files: list[Path]) -> tuple[Path, ...]:
    folders = dict.fromkeys(path.parent for path in files)
    return tuple(path for folder in folders for path in _weights_of([one for one in files if one.parent == folder]))


def _whole(folder: Path, root: Path, weights: tuple[Path, ...], files: list[Path]) -> Candidate:
    """A folder that is one model."""
    weights = _with_data(weights, files)
    beside = tuple(path for path in _companions(files) if path not in weights)
    return Candidate(name=_name(folder, root), weights=weights, companions=beside, folder=folder)


def _is_prepared(weights: tuple[Path, ...], names: set[str]) -> bool:
    """Whether it is an ONNX file with what says how images reach it."""
    return len(weights) == 1 and weights[0].suffix.lower() == ".onnx" and "preprocessor_config.json" in names


def _walk(start: Path, root: Path, found: Found) -> Iterator[tuple[Path, list[Path]]]:
    """Every folder with those of its files that may be read; notes links that lead out and folders that are closed.

    What is below a folder of a hub's cache is left to its own reader.
    """

    def unreadable(error: OSError) -> None:
        found.refused[str(error.filename)] = f"The folder cannot be opened ({error.strerror}). Change its permissions."

    for name, folders, files in os.walk(start, followlinks=False, onerror=unreadable):
        folder = Path(name)
        if _is_hub_folder(folder):
            folders.clear()
            yield folder, []
            continue
        for child in sorted(folders):
            if (folder / child).is_symlink() and not (folder / child).resolve().is_relative_to(root):
                _refuse_link(folder / child, root, found)
        own = (child for child in folders if not child.startswith("."))
        folders[:] = sorted(child for child in own if not (folder / child).is_symlink())
        kept = []
        for path in (folder / child for child in sorted(files)):
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                if path.suffix.lower() in (*WEIGHT_SUFFIXES, *CARD_SUFFIXES):
                    _refuse_link(path, root, found)
            elif path.is_file():
                kept.append(path)
            elif path.is_symlink():
                found.refused[path.relative_to(root).as_posix()] = "The link leads nowhere. Remove it or mend it."
        yield folder, kept


def _is_hub_folder(folder: Path) -> bool:
    has_parts = any((folder / part).is_dir() for part in ("snapshots", "blobs", "refs"))
    return folder.name.startswith(HUB_PREFIXES) and has_parts


def _hub_snapshots(folder: Path, root: Path, found: Found) -> list[Candidate]:
    """The snapshots of a model in a hub's cache, oldest first; notes downloads that are not finished."""
    place = folder.relative_to(root).as_posix()
    if not folder.name.startswith(HUB_MODEL_PREFIX):
        return []
    name = folder.name.removeprefix(HUB_MODEL_PREFIX).replace("--", "/")
    if problem := name_check(name):
        found.refused[place] = f"The name of the model in this cache {problem}. Download the model again from its hub."
        return []
    if any(candidate.hub_name == name for candidate in found.candidates):
        found.refused[place] = f"The model {name} is in another cache below this folder too, which was taken."
        return []
    if any((folder / "blobs").glob("*.incomplete")):
        found.refused[f"{place}/blobs"] = "A download was not finished, so it is left out. Download the model again."
    snapshots = folder / "snapshots"
    if snapshots.is_symlink() or not snapshots.is_dir():
        found.refused[place] = "This cache of a model holds no snapshots. Download the model again."
        return []
    candidates = []
    try:
        listed = sorted(snapshots.iterdir(), key=lambda path: (path.lstat().st_mtime_ns, path.name))
    except OSError as error:
        found.refused[place] = f"Its snapshots cannot be listed ({error.strerror}). Change their permissions."
        return []
    for snapshot in listed:
        if snapshot.is_symlink() or not snapshot.is_dir() or not COMMIT.fullmatch(snapshot.name):
            if not snapshot.name.startswith("."):
                found.refused[snapshot.relative_to(root).as_posix()] = "This is no snapshot of a commit. Remove it."
        elif candidate := _hub_snapshot(snapshot, name, root, found):
            candidates.append(candidate)
    main = _hub_main(folder)
    if all(candidate.commit != main for candidate in candidates) and candidates:
        main = candidates[-1].commit
    return [replace(candidate, is_current=candidate.commit == main) for candidate in candidates]


def _hub_main(folder: Path) -> str:
    """The commit that refs/main names, "" if there is none."""
    reference = folder / "refs" / "main"
    if reference.is_symlink() or reference.parent.is_symlink() or not reference.is_file():
        return ""
    with reference.open("rb") as handle:
        return handle.read(100).decode("ascii", "replace").strip()


def _hub_snapshot(snapshot: Path, name: str, root: Path, found: Found) -> Candidate | None:
    files = {path.relative_to(snapshot).as_posix(): path for _, own in _walk(snapshot, root, found) for path in own}
    if _is_tfjs(snapshot, set(files)):
        chosen = ["model.json", *(path for path in files if path.endswith(".bin"))]
    else:
        chosen = [path for path in weights_of_repository(files) if not path.endswith(INDEX_SUFFIX)]
    if not chosen:
        found.refused[snapshot.relative_to(root).as_posix()] = (
            f"This snapshot of {name} holds no weight file. Download the model whole if it should be listed."
        )
        return None
    # Weights in another format stay in the list of files: what they are concerns whoever loads the model.
    others = {path: file for path, file in files.items() if path not in chosen}
    beside = _companions(list(others.values()))
    spare = (file for file in others.values() if file.suffix.lower() in WEIGHT_SUFFIXES)
    return Candidate(
        name=name,
        weights=tuple(files[path] for path in chosen),
        companions=tuple(sorted({*beside, *spare})),
        folder=snapshot,
        commit=snapshot.name,
        hub_name=name,
    )


def _refuse_link(path: Path, root: Path, found: Found) -> None:
    found.refused[path.relative_to(root).as_posix()] = (
        "The link leads out of the folder, so it was not followed. Copy the file here, or add the other folder."
    )


def _name(path: Path, root: Path) -> str:
    inner = path.relative_to(root).as_posix()
    return root.name if inner == "." else inner


def _is_tfjs(folder: Path, names: set[str]) -> bool:
    return "model.json" in names and identify(folder / "model.json") == "tfjs"


def _is_weights(path: Path, root: Path, found: Found) -> bool:
    """Whether a file by itself is a model: a .bin or .pkl file may be anything, so its content has to say so."""
    if path.suffix.lower() not in {".bin", ".pkl"} or identify(path) != "unknown":
        return True
    found.refused[path.relative_to(root).as_posix()] = "This file holds no weights in a format that can be read."
    return False


def _companions(files: list[Path]) -> tuple[Path, ...]:
    return tuple(
        path for path in files if path.suffix in CARD_SUFFIXES and path.stat().st_size <= 64 * LARGEST_CARD_BYTES
    )


def _weights_of(files: list[Path]) -> tuple[Path, ...]:
    """The weight files of one folder: of two formats of the same weights the safe one."""
    weights = [path for path in files if path.suffix.lower() in WEIGHT_SUFFIXES]
    names = {path.name for path in files}
    if any(name.startswith("model") and name.endswith(".safetensors") for name in names):
        weights = [path for path in weights if not re.fullmatch(r"pytorch_model.*\.bin", path.name)]
    return tuple(path for path in weights if path.name not in {"training_args.bin", "optimizer.pt", "scheduler.pt"})


def _with_data(weights: Sequence[Path], files: list[Path]) -> tuple[Path, ...]:
    """Weight files with the external data of ONNX messages beside them, as exporters name it."""
    named = tuple(f"{path}{ending}" for path in weights if path.suffix.lower() == ".onnx" for ending in DATA_ENDINGS)
    return (*weights, *(path for path in files if str(path).startswith(named) and path not in weights))


def _single_models(weights: tuple[Path, ...], root: Path, files: list[Path]) -> list[Candidate]:
    """Weight files that stand by themselves, shards put together."""
    groups: dict[tuple[str, str, str], list[Path]] = defaultdict(list)
    for path in weights:
        shard = SHARD.fullmatch(path.name)
        key = (shard["base"], shard["total"], shard["suffix"]) if shard else (path.name, "", "")
        groups[key].append(path)
    stems = [key[0] if key[1] else Path(key[0]).stem for key in groups]
    candidates = []
    for (base, total, _), stem in zip(groups, stems, strict=True):
        paths = groups[(base, total, _)]
        # Two files that differ in their ending only keep it, so that each has a name of its own.
        own = stem if stems.count(stem) == 1 else base
        candidates.append(Candidate(name=_name(paths[0].with_name(own), root), weights=_with_data(paths, files)))
    return candidates


def shards_missing(candidate: Candidate) -> str:
    """The sentence that says which shards of a model are not there, "" if none is missing."""
    present = {path.name for path in candidate.weights}
    expected: set[str] = set()
    for path in candidate.weights:
        if shard := SHARD.fullmatch(path.name):
            total = int(shard["total"])
            numbers = range(1, min(total, 10_000) + 1)
            expected |= {f"{shard['base']}-{number:05d}-of-{total:05d}{shard['suffix']}" for number in numbers}
    for path in candidate.companions:
        if path.name.endswith(".safetensors.index.json"):
            weight_map = _json_object(path).get("weight_map")
            if isinstance(weight_map, dict):
                expected |= {Path(str(name)).name for name in weight_map.values()}
    missing = sorted(expected - present)
    if not missing:
        return ""
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return f"The shard {missing[0][:200]}{more} is missing. Copy it into the folder, then scan again."


def card_facts(candidate: Candidate) -> dict[str, str]:
    """What config.json and the head of README.md say: architecture, task, licence, modality. Read, never run."""
    facts: dict[str, str] = {}
    # Parts first: what lies in the model's own folder wins.
    for path in sorted(candidate.companions, key=lambda path: -len(path.parts)):
        if path.name == "config.json":
            facts |= _config_facts(_json_object(path))
        elif path.name == "README.md" and path.stat().st_size <= LARGEST_CARD_BYTES:
            facts |= _front_matter(path.read_text(encoding="utf-8", errors="replace"))
    if modality := MODALITY_OF_TASK.get(facts.get("task", "")):
        facts["modality"] = modality
    return facts


def _config_facts(config: dict[str, Any]) -> dict[str, str]:
    architectures = config.get("architectures")
    named = architectures[0] if isinstance(architectures, list) and architectures else None
    for value in (named, config.get("architecture"), config.get("model_type")):
        if isinstance(value, str) and value.isprintable():
            return {"architecture": value[:100]}
    return {}


def _front_matter(text: str) -> dict[str, str]:
    """`license` and `pipeline_tag` of a model card's head (plain "name: value" lines)."""
    head = FRONT_MATTER.match(text.replace("\r\n", "\n"))
    pairs = (line.partition(":") for line in (head["lines"].splitlines() if head else ()))
    values = {name: value.strip().strip("\"'") for name, _, value in pairs if value.strip()}
    wanted = {"license": ("licence", 100), "pipeline_tag": ("task", 60)}
    return {
        column: values[name][:length]
        for name, (column, length) in wanted.items()
        if name in values and values[name].isprintable()
    }


def _json_object(path: Path) -> dict[str, Any]:
    content = _json_content(path)
    return content if isinstance(content, dict) else {}


def _json_content(path: Path) -> Any:
    if path.stat().st_size > 64 * LARGEST_CARD_BYTES:
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return None
