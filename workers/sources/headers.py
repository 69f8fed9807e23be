"""Which weight format a file is, and what tensors it holds, read without torch and without running anything.

The web process imports this module: it lists names, shapes and number types, never values.
"""

from __future__ import annotations

import math
import re
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import BinaryIO

from workers.kit import UserError
from workers.sources.formats import archive, gguf_file, numpy_files, onnx_file, safetensors_file, tfjs, torch_files
from workers.sources.formats.stored import StoredTensor, companion

_HEAD_BYTES = 4096
_NUMPY_MENTION_BYTES = 2**20
_SHARD = re.compile(r"(?P<base>.+)-\d{5}-of-(?P<total>\d{5})(?P<suffix>\..+)?")

_READERS: dict[str, Callable[..., list[StoredTensor]]] = {
    "safetensors": safetensors_file.stored_tensors,
    "torch-zip": torch_files.stored_tensors_zip,
    "torch-legacy": torch_files.stored_tensors_legacy,
    "numpy-pickle": numpy_files.stored_tensors_pickle,
    "onnx": onnx_file.stored_tensors,
    "npz": numpy_files.stored_tensors_npz,
    "tfjs": tfjs.stored_tensors,
    "gguf": gguf_file.stored_tensors,
}
_HUB_DTYPES = {dtype.name: name for name, dtype in safetensors_file.DTYPES.items()}


@dataclass(frozen=True)
class TensorHeader:
    """What a weight file says of one tensor.

    name   as in the file; with a prefix where several files that are no shards of one another make up the model
    shape  convolution kernels are (out, in/groups, kh, kw), whatever the order in the file
    dtype  number type in the file, by numpy's name ("float32", "bfloat16", "int8", ...); by ggml's where it is
           quantised in blocks ("Q4_K")
    file   base name of the file
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    file: str


def identify(path: Path) -> str:
    """The format of a weight file by its content, never by its name.

    One of "safetensors", "torch-zip", "torch-legacy", "numpy-pickle", "onnx", "npz", "tfjs", "gguf", "unknown". A
    damaged file still counts as the format that it starts as. Raises UserError if the file cannot be opened.
    """
    try:
        with path.open("rb") as handle:
            return identify_opened(handle, size=path.stat().st_size)
    except OSError as error:
        raise _unreadable(path, error) from error


def identify_opened(handle: BinaryIO, *, size: int) -> str:
    """As `identify`, of an opened file of `size` bytes."""
    handle.seek(0)
    head = handle.read(_HEAD_BYTES)
    if head.startswith(b"PK\x03\x04"):
        return _zip_format(handle, head)
    if head[:1] == b"\x80" and head[2:].startswith(torch_files.MAGIC):
        return "torch-legacy"
    if head.startswith(gguf_file.MAGIC):
        return "gguf"
    if safetensors_file.is_safetensors(head, size):
        return "safetensors"
    if _is_pickle(head):
        handle.seek(0)
        return "numpy-pickle" if b"numpy" in handle.read(_NUMPY_MENTION_BYTES) else "unknown"
    if tfjs.is_tfjs(tfjs.parsed_of(handle, size=size)):
        return "tfjs"
    return "onnx" if onnx_file.is_onnx(handle, size=size) else "unknown"


def read_headers(paths: Sequence[Path]) -> list[TensorHeader]:
    """The tensors of a model's weight files, file by file.

    Part files that another file names (tfjs shards, ONNX external data) are read with it, index files are left out.
    Several files that are no shards of one another prefix their tensors' names with "<stem>/"; files of one stem with
    "<folder>/<stem>/". Raises UserError with a sentence that names the file if one is damaged, hostile or of no known
    format.
    """
    return [header for header, _ in listed_tensors(paths)]


def listed_tensors(paths: Sequence[Path]) -> list[tuple[TensorHeader, StoredTensor]]:
    """As `read_headers`, each header with the stored tensor that can read its values."""
    companions = {path.name: path for path in paths}
    weight_files = _without_parts(list(paths))
    before = prefixes([path for path, _ in weight_files])
    found: list[tuple[TensorHeader, StoredTensor]] = []
    for (path, kind), prefix in zip(weight_files, before, strict=True):
        tensors = _READERS[kind](path, companions=companions)
        found.extend(
            (TensorHeader(prefix + tensor.name, tensor.shape, tensor.dtype, path.name), tensor) for tensor in tensors
        )
    refuse_doubled([header for header, _ in found])
    return found


def weight_files(paths: Sequence[Path]) -> list[Path]:
    """Of a model's files those that hold tensors by themselves: no parts that another one names, no indexes."""
    return [path for path, _ in _without_parts(list(paths))]


def refuse_doubled(headers: Sequence[TensorHeader]) -> None:
    """Raise UserError if two files of one model hold a tensor of the same name."""
    doubled = next((name for name, count in Counter(header.name for header in headers).items() if count > 1), None)
    if doubled is not None:
        files = " and ".join(sorted({header.file for header in headers if header.name == doubled}))
        raise UserError(f"{files}: the tensor {doubled[:80]} is there twice. Give only the files of one model.")


def parameters_by_dtype(headers: Iterable[TensorHeader]) -> dict[str, int]:
    """How many values the tensors hold, by number type in the hub's words ("F32", "BF16", "I64", "Q4_K").

    Every value of every tensor counts, so that the numbers equal the hub's own (`safetensors.parameters`): batch-norm
    statistics and step counters too, which the catalogue's count of learned parameters leaves out. Types that
    safetensors do not have keep their name in capitals.
    """
    counts: Counter[str] = Counter()
    for header in headers:
        counts[_HUB_DTYPES.get(header.dtype, header.dtype.upper())] += math.prod(header.shape)
    return dict(counts)


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError(f"{path.name} cannot be read ({error.strerror or error}). Check that the file is still there.")


def _zip_format(handle: BinaryIO, head: bytes) -> str:
    try:
        names = [info.filename for info in archive.listing(handle)]
    except archive.ERRORS:
        # Cut off: the directory at the end is gone, the first member's name is not.
        names = [head[30 : 30 + struct.unpack_from("<H", head, 26)[0]].decode("latin-1")] if len(head) > 30 else []
    if any(name == "data.pkl" or (name.endswith("/data.pkl") and name.count("/") == 1) for name in names):
        return "torch-zip"
    return "npz" if names and all(name.endswith(".npy") for name in names) else "unknown"


def _is_pickle(head: bytes) -> bool:
    # Protocol 2 and later say so; older ones start with a container, or a mark and a container.
    if head[:1] == b"\x80" and 2 <= int.from_bytes(head[1:2], "little") <= 5:
        return True
    return head[:1] in {b"}", b"]", b"c"} or head[:2] in {b"(d", b"(l", b"(c", b"(i", b"(t"}


def _without_parts(paths: list[Path]) -> list[tuple[Path, str]]:
    """The files that hold tensors by themselves, with their formats; raises UserError for those of no known format."""
    kinds = [(path, identify(path)) for path in paths]
    parts: set[str] = set()
    for path, kind in kinds:
        if kind == "tfjs":
            parts |= tfjs.shard_names(tfjs.parsed(path) or {"weightsManifest": []})
        elif kind == "onnx" and len(paths) > 1:
            parts |= onnx_file.part_names(path)
    indexes = {path for path, kind in kinds if kind == "unknown" and _is_index(path, among=paths)}
    kept = [(path, kind) for path, kind in kinds if path.name not in parts and path not in indexes]
    for path, kind in kept:
        if kind == "unknown":
            raise UserError(_why_unknown(path))
    return kept


def _is_index(path: Path, *, among: Sequence[Path]) -> bool:
    """Whether a file is an index of shards; raises UserError if one that it names is neither given nor beside it."""
    content = tfjs.parsed(path) if path.suffix == ".json" else None
    shards = content.get("weight_map") if content is not None else None
    if content is None or "weight_map" not in content:
        return False
    named = {name for name in shards.values() if isinstance(name, str)} if isinstance(shards, dict) else set()
    for name in sorted(named - {path.name for path in among}):
        companion(path, name, companions={})
    return True


def _why_unknown(path: Path) -> str:
    with path.open("rb") as handle:
        return why_unknown(handle.read(_HEAD_BYTES), size=path.stat().st_size, label=path.name)


def why_unknown(head: bytes, *, size: int, label: str) -> str:
    """The sentence for a file of no known format, by its first bytes."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    known = "Known are safetensors, PyTorch, ONNX, GGUF, npz, pickled numpy arrays and TensorFlow.js."
    if size == 0:
        return f"{label} is empty. Download the file again."
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return f"{label} is a web page, probably an error page, and no weight file. Download the file again."
    if start.startswith(b"version https://git-lfs"):
        return f"{label} is a Git LFS pointer and not the file itself. Fetch the file with git lfs pull."
    if _is_pickle(head):
        return f"{label} is a Python pickle that holds no numpy arrays; it was not run. {known}"
    if head.startswith((b"PK", b"\x1f\x8b", b"7z\xbc\xaf", b"BZh", b"\xfd7zXZ", b"Rar!")):
        return f"{label} is an archive of other files. Unpack it and choose the weight file. {known}"
    return f"{label} is in no weight format that can be read. {known}"


def prefixes(paths: Sequence[PurePath]) -> list[str]:
    """What each file adds before its tensors' names: nothing for one file and for shards of one model, else "<stem>/".

    Files of one stem are told apart by their folder, and files of one folder and stem by their suffix.
    """
    owners: list[object] = []
    stems: list[str] = []
    for path in paths:
        shard = _SHARD.fullmatch(path.name)
        owners.append((path.parent, shard["base"], shard["total"]) if shard else path)
        stems.append(shard["base"] if shard else path.stem)
    if len(set(owners)) <= 1:
        return [""] * len(paths)
    in_folders = [f"{path.parent.name}/{stem}" for path, stem in zip(paths, stems, strict=True)]
    for names in (
        stems,
        in_folders,
        [path.name for path in paths],
        [f"{path.parent.name}/{path.name}" for path in paths],
    ):
        # A prefix must belong to one model; shards of one model share theirs.
        if len(set(zip(names, owners, strict=True))) == len(set(names)) == len(set(owners)):
            return [f"{name}/" for name in names]
    raise UserError(
        f"Several weight files are called {paths[0].name}, in folders of one name. Give only the files of one model."
    )
