"""What tensors a model's files hold, read by byte ranges: the weights are not downloaded.

The web process imports this module: no torch, nothing unpickled, and no more transferred than the allowance.
"""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np

from workers.kit import UserError
from workers.sources.formats import gguf_file, onnx_file, safetensors_file, torch_files
from workers.sources.formats.ranges import FIRST_BYTES, Allowance, RangeFile, RangeSource
from workers.sources.formats.stored import Listed, part_missing, part_path, shorten
from workers.sources.headers import TensorHeader, identify_opened, prefixes, refuse_doubled, why_unknown

INDEX_SUFFIX = ".index.json"
MAX_INDEX_BYTES = 25_000_000
# A header entry is its tensor's name and about this much: type, shape and two offsets.
_ENTRY_BYTES = 110
_SMALLEST_FIRST_BYTES = 4096
_HEAD_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class RemoteModel:
    """What was read of a model's files.

    headers         the tensors, as `workers.sources.headers.read_headers` lists them
    formats         path → format by content, of the files that hold tensors
    gguf            facts by path, of GGUF files
    places          where the values of each tensor lie, in the order of `headers`; of safetensors files only
    bytes_received  how much was transferred
    """

    headers: list[TensorHeader]
    formats: dict[str, str]
    gguf: dict[str, gguf_file.GgufFacts]
    places: list[Place]
    bytes_received: int


class Place(NamedTuple):
    """The values of one tensor within a model's files: the path, the size of that file, the first byte, the type."""

    path: str
    file_size: int
    offset: int
    dtype: np.dtype[Any]


def remote_headers(files: Mapping[str, RangeSource], *, allowance: Allowance | None = None) -> list[TensorHeader]:
    """The tensors of a model whose files are given as path → byte-range reader; see `remote_model`."""
    return remote_model(files, allowance=allowance).headers


def remote_model(files: Mapping[str, RangeSource], *, allowance: Allowance | None = None) -> RemoteModel:
    """Read the headers of a model's weight files without downloading them.

    files      the weight files, their "….index.json" where they are sharded, and ONNX external data
    allowance  what may be transferred, by default 64 MiB in 4,000 requests

    safetensors, PyTorch (zip and legacy), ONNX and GGUF can be read so. Raises UserError with a sentence that names the
    file if one is damaged, hostile, of another format or needs more than the allowance, and if an index and its shards
    do not say the same.
    """
    reading = _Reading(files=files, allowance=allowance or Allowance())
    indexes = {path: reading.index(path) for path in files if path.endswith(INDEX_SUFFIX)}
    expected = {shard: names for shards in indexes.values() for shard, names in shards.items()}
    # Messages first, for they name the files of external data, which hold nothing by themselves.
    for path in sorted(set(files) - set(indexes), key=lambda name: (not name.endswith(".onnx"), name)):
        if path not in reading.parts:
            reading.read(path, expected.get(path))
    for index, shards in indexes.items():
        for shard, names in shards.items():
            _compare(index, shard, names, {tensor.name for tensor in reading.listed.get(shard, ())})
    paths = [path for path in files if path in reading.listed]
    headers = [
        TensorHeader(prefix + tensor.name, tensor.shape, tensor.dtype, PurePosixPath(path).name)
        for path, prefix in zip(paths, prefixes([PurePosixPath(path) for path in paths]), strict=True)
        for tensor in reading.listed[path]
    ]
    refuse_doubled(headers)
    return RemoteModel(
        headers=headers,
        formats=reading.formats,
        gguf=reading.gguf,
        places=[place for path in paths for place in reading.places.get(path, ())],
        bytes_received=reading.bytes_received,
    )


@dataclass(kw_only=True)
class _Reading:
    """The files of one model while they are read: what was found in each so far."""

    files: Mapping[str, RangeSource]
    allowance: Allowance
    listed: dict[str, list[Listed]] = field(default_factory=dict)
    formats: dict[str, str] = field(default_factory=dict)
    gguf: dict[str, gguf_file.GgufFacts] = field(default_factory=dict)
    places: dict[str, list[Place]] = field(default_factory=dict)
    parts: dict[str, int] = field(default_factory=dict)
    opened: list[RangeFile] = field(default_factory=list)

    @property
    def bytes_received(self) -> int:
        return sum(file.bytes_received for file in self.opened)

    def open(self, path: str, *, first_bytes: int = FIRST_BYTES) -> RangeFile:
        file = RangeFile(
            self.files[path], label=PurePosixPath(path).name, allowance=self.allowance, first_bytes=first_bytes
        )
        self.opened.append(file)
        return file

    def index(self, path: str) -> dict[str, set[str]]:
        """The names of the tensors in each shard, by the shard's path."""
        file = self.open(path)
        if file.size > MAX_INDEX_BYTES:
            raise UserError(f"{file.label} has {file.size:,} bytes; more than {MAX_INDEX_BYTES:,} is refused.")
        parts: dict[str, set[str]] = defaultdict(set)
        for name, part in _weight_map(file.read(), file.label).items():
            parts[part if isinstance(part, str) else ""].add(name)
        shards: dict[str, set[str]] = defaultdict(set)
        for part, names in parts.items():
            shards[str(PurePosixPath(path).parent / part_path(part, label=file.label))] |= names
        for shard, names in shards.items():
            if shard not in self.files:
                raise part_missing(PurePosixPath(shard).name, label=file.label)
            if len(names) > safetensors_file.MAX_ENTRIES:
                raise safetensors_file.too_many(len(names), label=PurePosixPath(shard).name)
        return dict(shards)

    def read(self, path: str, names: set[str] | None) -> None:
        """List the tensors of one file; `names` are those that an index promises, which tell how long its header is."""
        file = self.open(path, first_bytes=_first_bytes(names))
        # A range file has all that the readers use of one, and its reads allocate no more than is there.
        opened = cast(BinaryIO, file)
        kind = identify_opened(opened, size=file.size)
        file.seek(0)
        if kind == "unknown":
            raise UserError(why_unknown(file.read(_HEAD_BYTES), size=file.size, label=file.label))
        if kind not in _READERS and kind not in {"onnx", "gguf", "safetensors"}:
            raise UserError(
                f"{file.label} is in a format ({kind}) that cannot be read without downloading it. Download the model, "
                "then add its folder."
            )
        self.formats[path] = kind
        if kind == "onnx":
            buffered = io.BufferedReader(file, 4096)
            self.listed[path] = onnx_file.listed_tensors(
                buffered, size=file.size, label=file.label, part_size=lambda part: self._part_size(path, part)
            )
        elif kind == "gguf":
            header = gguf_file.read_gguf(io.BufferedReader(file, 2**16), size=file.size, label=file.label)
            self.gguf[path] = gguf_file.gguf_facts(header.metadata)
            self.listed[path] = [Listed(tensor.name, tensor.shape, tensor.dtype) for tensor in header.tensors]
        elif kind == "safetensors":
            start, placed = safetensors_file.read_header(opened, size=file.size, label=file.label)
            self.listed[path] = [Listed(item.name, item.shape, item.dtype.name) for item in placed]
            self.places[path] = [Place(path, file.size, start + item.begin, item.dtype) for item in placed]
        else:
            self.listed[path] = _READERS[kind](opened, size=file.size, label=file.label)

    def _part_size(self, path: str, part: str) -> int:
        place = str(PurePosixPath(path).parent / part)
        if place not in self.files:
            raise part_missing(part, label=PurePosixPath(path).name)
        if place not in self.parts:
            self.parts[place] = self.open(place, first_bytes=1).size
        return self.parts[place]


def _first_bytes(names: set[str] | None) -> int:
    """How much to ask for first: as the hub's client does, less where the index tells that the header is shorter."""
    if names is None:
        return FIRST_BYTES
    return min(FIRST_BYTES, _SMALLEST_FIRST_BYTES + sum(_ENTRY_BYTES + len(name) for name in names))


def _weight_map(text: bytes, label: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{label} is not valid JSON. Download the file again.") from error
    weights = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not weights:
        raise UserError(f"{label} does not say which file holds which tensor. Download the file again.")
    return weights


def _compare(index: str, shard: str, promised: set[str], held: set[str]) -> None:
    """Raise UserError unless a shard holds the tensors that the index says it holds."""
    label, file = PurePosixPath(index).name, PurePosixPath(shard).name
    if missing := sorted(promised - held):
        raise UserError(
            f"{label} says that {shorten(missing[0])} is in {file}, which does not hold it: files of different "
            "versions were mixed. Download all of them again."
        )
    if more := sorted(held - promised):
        raise UserError(
            f"{file} holds {shorten(more[0])}, which {label} does not list: files of different versions were mixed. "
            "Download all of them again."
        )


_READERS: dict[str, Callable[..., list[Listed]]] = {
    "torch-zip": torch_files.listed_tensors_zip,
    "torch-legacy": torch_files.listed_tensors_legacy,
}
