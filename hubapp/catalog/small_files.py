"""The small JSON files beside the weights of a revision that lies here, for pages: size and kind checked, never run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from hubapp.catalog.models import File
from hubapp.catalog.selectors import file_path

LARGEST_BYTES = 4 * 2**20
_ROOTS = ("modules.json", "config.json", "preprocessor_config.json", "tokenizer.json")


class SmallFiles:
    """JSON files by their names from the model's own folder; the revision's configuration may hold them instead."""

    def __init__(self, files: Sequence[File], config: Mapping[str, Any]) -> None:
        self._rows = {file.path: file for file in files if file.location and not file.is_weights}
        self._config = config
        self._read: dict[str, Any] = {}

    @cached_property
    def _folder(self) -> PurePosixPath:
        """Where the model's own JSON files lie; weights may lie below."""
        places = [PurePosixPath(path).parent for path in self._rows if PurePosixPath(path).name in _ROOTS]
        return min(places, key=lambda place: (len(place.parts), str(place)), default=PurePosixPath())

    def content(self, name: str) -> Any:
        """What a file holds; None where there is none, where it is large, and where it cannot be read."""
        if name in self._config:
            return self._config[name]
        if name not in self._read:
            self._read[name] = self._from_disk(str(self._folder / name))
        return self._read[name]

    def _from_disk(self, path: str) -> Any:
        row = self._rows.get(path)
        if row is None or (row.size_bytes or 0) > LARGEST_BYTES:
            return None
        place = file_path(row.location)
        try:
            return json.loads(place.read_bytes()) if place.stat().st_size <= LARGEST_BYTES else None
        except (OSError, ValueError, RecursionError):
            return None

    def settings(self, name: str) -> dict[str, Any]:
        """A file of names and values; empty where there is none."""
        content = self.content(name)
        return dict(content) if isinstance(content, Mapping) else {}

    def part(self, kind: str) -> dict[str, Any]:
        """config.json of the first part of this kind that modules.json lists ("Pooling"); empty where there is none."""
        listed = self.content("modules.json")
        for one in listed if isinstance(listed, list) else ():
            if isinstance(one, Mapping) and str(one.get("type")).rpartition(".")[2] == kind:
                return self.settings(str(PurePosixPath(str(one.get("path", ""))) / "config.json"))
        return {}
