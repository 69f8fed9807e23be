"""Where a loader finds what lies beside a model's weights: configuration, tokenizer, preprocessing. No torch."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from workers.kit import ModelRef, UserError

LARGEST_JSON_BYTES = 64 * 2**20
_COUNTS = re.compile(r"layer|depth|block|stage|expert|codebook", re.IGNORECASE)
_MOST_LAYERS = 2_000
_LARGEST_NUMBER = 20_000_000
_MOST_LABELS = 1_000_000
_FREE = re.compile(r"theta|seed|token|label|scale|(?:^|_)id$", re.IGNORECASE)
_DEEPEST = 12


class ModelFolder:
    """The files beside a model's weights.

    A file is looked for in `ModelRef.config` under its own name first (`config["config.json"]` holds the content), then
    in the folder of the weight file that lies least deep, then one folder above, for weights that lie in the folder of
    a part (`0_Transformer/model.safetensors`).
    """

    def __init__(self, model: ModelRef) -> None:
        self.model = model
        shallow = min(model.files, key=lambda file: (len(Path(file).parts), file), default="")
        own = Path(shallow).parent if shallow else None
        self.folders = () if own is None else (own, own.parent) if _is_part(own) else (own,)

    def inside(self, part: str) -> ModelFolder:
        """The folder of a part of the model, as modules.json names it; "" is the model's folder itself.

        Only what lies there counts, not `ModelRef.config`.
        """
        if not part:
            return self
        self.path(part)  # refuses names that lead elsewhere
        found = next((folder / part for folder in self.folders if (folder / part).is_dir()), None)
        if found is None:
            raise UserError(f"{self.model.name} names the folder {part[:80]!r}, which is not there. Fetch it whole.")
        inner = ModelFolder(ModelRef(name=self.model.name, revision=self.model.revision))
        inner.folders = (found,)
        return inner

    def path(self, name: str) -> Path | None:
        """The file of that name, relative to the model's folder; None where there is none."""
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise UserError(f"{self.model.name} names the file {name[:80]!r} outside of its own folder.")
        for folder in self.folders:
            if (folder / name).is_file():
                if not (folder / name).resolve().is_relative_to(_reach(folder)):
                    raise UserError(f"{name} of {self.model.name} is a link that leads elsewhere. Copy the file here.")
                return folder / name
        return None

    def json(self, name: str) -> Any:
        """The content of a JSON file; None where there is none. Raises UserError for one that cannot be read."""
        given = self.model.config.get(name)
        if given is not None:
            return given
        path = self.path(name)
        if path is None:
            return None
        try:
            if path.stat().st_size > LARGEST_JSON_BYTES:
                raise UserError(f"{name} of {self.model.name} is larger than any that is known. Use another model.")
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(
                f"{name} of {self.model.name} is no JSON that can be read. Fetch the file again."
            ) from error

    def settings(self, name: str) -> dict[str, Any]:
        """A JSON file that holds names and values; empty where there is none."""
        content = self.json(name)
        if content is None:
            return {}
        if not isinstance(content, Mapping):
            raise UserError(f"{name} of {self.model.name} holds no names and values. Fetch the file again.")
        return dict(content)

    def configuration(self) -> dict[str, Any]:
        """config.json, checked by `refuse_hostile`. Raises UserError where there is none."""
        content = self.settings("config.json")
        if not content:
            raise UserError(
                f"{self.model.name} has no config.json beside its weights, so its architecture is unknown. "
                "Put the whole repository into the folder and scan it again."
            )
        refuse_hostile(content, label=f"config.json of {self.model.name}")
        return content


def _is_part(folder: Path) -> bool:
    """Whether a folder is named like a part of a sentence-transformers model and has the list of parts above it."""
    return bool(re.match(r"\d+_\w+$", folder.name)) and (folder.parent / "modules.json").is_file()


def _reach(folder: Path) -> Path:
    """Where files of a folder may really lie: within it, or in the Hub cache whose snapshot it is or belongs to."""
    snapshot = next((one for one in (folder, *folder.parents) if one.parent.name == "snapshots"), None)
    return (snapshot.parent.parent if snapshot else folder).resolve()


def refuse_hostile(content: Mapping[str, Any], *, label: str) -> None:
    """Raise UserError for a configuration that wants code of its own to run, or numbers that no model has."""
    if "auto_map" in content:
        raise UserError(
            f"{label} wants Python code of its repository to run (auto_map), which Hubscope never does. "
            "Use a model whose architecture a library knows."
        )
    for key, value in _numbers(content, label=label):
        most = _MOST_LAYERS if _COUNTS.search(key) and not _FREE.search(key) else _LARGEST_NUMBER
        if key == "num_labels":
            most = _MOST_LABELS
        elif _FREE.search(key):
            continue
        if abs(value) > most:
            raise UserError(f"{label} asks for {key[:60]} = {value:.6g}; no known model has that many. Use another.")


def _numbers(content: Any, *, label: str, key: str = "", level: int = 0) -> Iterator[tuple[str, int | float]]:
    if level > _DEEPEST:
        raise UserError(f"{label} is nested deeper than any that is known. Use another model.")
    if isinstance(content, bool):
        return
    if isinstance(content, int | float):
        yield key, content
    elif isinstance(content, Mapping):
        if "auto_map" in content:
            raise UserError(
                f"{label} wants Python code of its repository to run (auto_map), which Hubscope never does."
            )
        for name, value in content.items():
            if name not in {"id2label", "label2id", "pretrained_cfg"}:
                yield from _numbers(value, label=label, key=str(name), level=level + 1)
    elif isinstance(content, list):
        for value in content:
            yield from _numbers(value, label=label, key=key, level=level + 1)
