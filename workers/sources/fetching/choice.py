"""Which files of a repository a model needs to run: one set of weights, and the small files that encoders read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from workers.sources.choosing import INDEX_SUFFIX, weights_of_repository
from workers.sources.loader_guess import guess_loader

BESIDE = frozenset({
    "config.json", "preprocessor_config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json",
    "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json",
})  # fmt: skip
"""What the encoders look for beside weights (docs/encoders.md)."""

_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_PART = re.compile(r"\d+_\w+")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Paths within the repository: files that hold tensors, and what is read beside them (indexes of shards too)."""

    weights: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """All of them in the order of their paths."""
        return tuple(sorted((*self.weights, *self.beside)))


def files_chosen(paths: Iterable[str], *, config: Mapping[str, Any] | None = None, library: str = "") -> Choice:
    """The files of a repository's list that running the model takes; no weights where it has none that are known.

    config   what is known of config.json; library: what the hub says the model is loaded by
    Weights are those of `weights_of_repository`. Where these are pickles that no loader opens, and the repository has
    an ONNX file that one does, that is taken.
    """
    listed = sorted(set(paths))
    chosen = weights_of_repository(listed)
    if any(path.lower().endswith(_PICKLED) for path in chosen) and not _loader(listed, chosen, config, library):
        safe = weights_of_repository(path for path in listed if not path.lower().endswith(_PICKLED))
        if _loader(listed, safe, config, library):
            chosen = safe
    weights = tuple(path for path in chosen if not path.endswith(INDEX_SUFFIX))
    if not weights:
        return Choice()
    folders = {str(folder) for path in weights for folder in PurePosixPath(path).parents}
    beside = (path for path in listed if PurePosixPath(path).name in BESIDE and _is_near(path, folders))
    indexes = (path for path in chosen if path.endswith(INDEX_SUFFIX))
    return Choice(weights=weights, beside=tuple(sorted({*beside, *indexes})))


def _is_near(path: str, folders: set[str]) -> bool:
    """Whether a file lies beside or above weights, or in a part of a sentence encoder at the top ("1_Pooling")."""
    folder = PurePosixPath(path).parent
    return str(folder) in folders or (len(folder.parts) == 1 and bool(_PART.fullmatch(folder.name)))


def _loader(listed: list[str], chosen: list[str], config: Mapping[str, Any] | None, library: str) -> str:
    small = [path for path in listed if PurePosixPath(path).name in BESIDE]
    return guess_loader(dict.fromkeys((*small, *chosen)), config, library=library).loader
