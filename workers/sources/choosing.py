"""Which files of a repository are the model's weights: one complete set of them, the safest format first."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath

INDEX_SUFFIX = ".index.json"
# The first of which a repository has files: no code by design first, then by how often they are all of the model.
FORMATS = (
    (".safetensors",),
    (".bin", ".pt", ".pth", ".ckpt"),
    (".gguf",),
    (".onnx",),
    (".npz", ".pkl"),
)
_WHOLE_MODELS = ((".gguf",), (".onnx",))
SHARD = re.compile(r"(?P<base>.+?)[-.]\d{5}-of-(?P<total>\d{5})(?P<suffix>\.[a-z]+)?")

# What trainers and converters leave beside the weights.
_NOT_WEIGHTS = re.compile(
    r"(training_args|optimizer|optim|scheduler|scaler|rng_state|random_states|tokenizer|vocab|merges|spiece|"
    r"mmproj|imatrix)\b.*|.*(optimizer|optim_states|model_states|imatrix)\.[a-z]+"
)
_PLAIN_NAMES = ("model", "pytorch_model", "diffusion_pytorch_model", "adapter_model", "open_clip_pytorch_model")
_STEP = re.compile(r"checkpoint-\d+")


Sets = dict[tuple[PurePosixPath, str, str], list[PurePosixPath]]


def weights_of_repository(paths: Iterable[str]) -> list[str]:
    """The weight files of a hub repository's file list, with their index and data files, in the order of their paths.

    Of several formats of the same weights one is taken: safetensors, PyTorch, GGUF, ONNX, numpy in this order. Where
    files have the names that libraries give ("model", "pytorch_model", …, in any folder), only those count; otherwise
    all do but variants ("net.fp16.safetensors" beside "net.safetensors"). Of GGUF and ONNX, whose every file is a whole
    model, one is taken: the plain name, else the first.
    """
    listed = [PurePosixPath(path) for path in paths]
    visible = [path for path in listed if not any(part.startswith(".") for part in path.parts)]
    usual = [path for path in visible if not _NOT_WEIGHTS.fullmatch(path.name)]
    for suffixes in FORMATS:
        if weights := [path for path in usual if path.suffix.lower() in suffixes]:
            sets = _named_sets(weights)
            if suffixes in _WHOLE_MODELS:
                sets = dict(sorted(sets.items(), key=lambda item: (len(item[0][0].parts), item[0]))[:1])
            chosen = [path for files in sets.values() for path in files]
            return sorted(str(path) for path in (*chosen, *_beside(visible, chosen)))
    return []


def _named_sets(weights: list[PurePosixPath]) -> Sets:
    """Shards put together, by (folder, name, number of shards), without those that repeat others."""
    sets: Sets = defaultdict(list)
    for path in weights:
        shard = SHARD.fullmatch(path.name)
        sets[(path.parent, shard["base"], shard["total"]) if shard else (path.parent, path.stem, "")].append(path)
    # The weights of single training steps repeat those of the folder above.
    final = {key: files for key, files in sets.items() if not _STEP.search(key[0].name)} or sets
    plain = [key for key, files in final.items() if key[1] in _PLAIN_NAMES and files[0].suffix != ".ckpt"]
    # Of a folder's plain names the library takes one, and of that the single file before shards.
    plain.sort(key=lambda key: (_PLAIN_NAMES.index(key[1]), bool(key[2])))
    first = {folder: next(key for key in plain if key[0] == folder) for folder in {key[0] for key in plain}}
    if first:
        return {key: final[key] for key in first.values()}
    names = {key[:2] for key in final}
    return {key: files for key, files in final.items() if (key[0], key[1].rpartition(".")[0]) not in names}


def _beside(listed: list[PurePosixPath], chosen: list[PurePosixPath]) -> list[PurePosixPath]:
    """What belongs to the files that were chosen: the index of shards, the external data of ONNX messages."""
    wanted = set()
    for path in chosen:
        if shard := SHARD.fullmatch(path.name):
            wanted.add(path.parent / f"{shard['base']}{shard['suffix'] or ''}{INDEX_SUFFIX}")
    data = tuple(
        f"{path}{ending}" for path in chosen if path.suffix.lower() == ".onnx" for ending in ("_data", ".data")
    )
    return [path for path in listed if path in wanted or str(path).startswith(data)]
