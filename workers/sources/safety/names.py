"""What the names of a repository's files say of its safety, for models whose files were not read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from workers.sources.safety.levels import Finding, folder_safety

_TFJS_SHARD = re.compile(r"group\d+-shard\d+of\d+(\.bin)?", re.IGNORECASE)
_NUMBERS_ONLY = (".safetensors", ".gguf", ".onnx", ".onnx_data", ".onnx.data")
# fmt: off
_PICKLES = (
    ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle", ".th", ".t7", ".pyt",
    ".tar", ".pt2", ".ptl",
)
# Weights, but of formats that can hold code or that are not judged by their name.
_OTHERS = (
    ".npz", ".npy", ".h5", ".hdf5", ".keras", ".msgpack", ".pb", ".tflite", ".mlmodel", ".mlpackage", ".nemo",
    ".ot",  # codespell:ignore ot
    ".mar", ".engine", ".plan", ".llamafile", ".caffemodel", ".pdparams", ".params", ".zip", ".7z", ".rar", ".gz",
    ".tgz", ".bz2", ".xz", ".zst", ".exe", ".dll", ".so",
)
# fmt: on
_CODE_SENTENCE = "It brings code of its own (not run here)."


def _level_of(name: str) -> str:
    base = name.rpartition("/")[2].lower()
    if _TFJS_SHARD.fullmatch(base) or base.endswith(_NUMBERS_ONLY):
        return "safe-format"
    if base.endswith(_PICKLES):
        return "pickle-unscanned"
    return "unknown" if base.endswith(_OTHERS) else ""


def record_safety(file_names: Iterable[Any], hub_status: str | Mapping[str, Any] | None = None) -> str:
    """The level of a model by its file names alone, and by the hub's own security status where there is one.

    "safe-format" if every weight file's name is of a numbers-only format, "pickle-unscanned" if any is of a pickle,
    "unknown" if another weight format or none is there; "flagged" if the hub calls the repository or a file unsafe.
    hub_status  a status ("unsafe") or the hub's answer (`status`, `filesWithIssues` with levels)
    """
    levels = [level for name in file_names if isinstance(name, str) and (level := _level_of(name))]
    stated = _hub_levels(hub_status)
    return folder_safety([folder_safety(levels), *stated])


def record_findings(file_names: Iterable[Any], hub_status: str | Mapping[str, Any] | None = None) -> list[Finding]:
    """What is worth saying beside the level of `record_safety`: code of its own, and the hub's warnings."""
    code = sorted(name for name in file_names if isinstance(name, str) and name.lower().endswith(".py"))
    found = [Finding("code", _CODE_SENTENCE, place=name[:200]) for name in code[:20]]
    if "flagged" in _hub_levels(hub_status):
        found.insert(0, Finding("hub", "The hub's own scanners call it unsafe."))
    elif "unknown" in _hub_levels(hub_status):
        found.insert(0, Finding("hub", "The hub's own scanners call it suspicious."))
    return found


def _hub_levels(status: str | Mapping[str, Any] | None) -> list[str]:
    words: list[Any] = [status]
    if isinstance(status, Mapping):
        issues = status.get("filesWithIssues")
        words = [status.get("status"), *(issues if isinstance(issues, list) else ())]
        words = [word.get("level", "suspicious") if isinstance(word, Mapping) else word for word in words]
    meanings = {"unsafe": "flagged", "infected": "flagged", "dangerous": "flagged", "suspicious": "unknown"}
    return [meanings[word.lower()] for word in words if isinstance(word, str) and word.lower() in meanings]
