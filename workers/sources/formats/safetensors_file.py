"""safetensors: an 8-byte length, a JSON header, then raw little-endian numbers."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from workers.kit import UserError
from workers.sources.formats.stored import (
    LOW_PRECISION,
    StoredTensor,
    checked_shape,
    cut_off,
    read_values,
    shorten,
    value_count,
)

# The format allows 100 MB; the hub's clients refuse over 25 MB, and 100,000 entries already cost seconds.
MAX_HEADER_BYTES = 25_000_000
MAX_ENTRIES = 100_000

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("bool"),
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "C64": np.dtype("<c8"),
    "BF16": LOW_PRECISION["bfloat16"],
    "F8_E4M3": LOW_PRECISION["float8_e4m3fn"],
    "F8_E5M2": LOW_PRECISION["float8_e5m2"],
    "F8_E4M3FNUZ": LOW_PRECISION["float8_e4m3fnuz"],
    "F8_E5M2FNUZ": LOW_PRECISION["float8_e5m2fnuz"],
    "F8_E8M0": LOW_PRECISION["float8_e8m0fnu"],
}


def is_safetensors(head: bytes, size: int) -> bool:
    """Whether the first bytes are a header length followed by a JSON object, whatever the length says."""
    return size >= 10 and head[8:9] == b"{" and 0 < int.from_bytes(head[:8], "little") < 2**48


class Placed(NamedTuple):
    """A tensor by its header; begin and end count from the first byte after the header."""

    begin: int
    end: int
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def stored_tensors(path: Path, *, companions: dict[str, Path]) -> list[StoredTensor]:
    """The tensors of the file in the order of their bytes; raises UserError as `header_tensors` does."""
    with path.open("rb") as handle:
        start, placed = read_header(handle, size=path.stat().st_size, label=path.name)
    return [
        StoredTensor(item.name, item.shape, item.dtype.name, partial(_read, path, start + item.begin, item))
        for item in placed
    ]


def read_header(handle: BinaryIO, *, size: int, label: str) -> tuple[int, list[Placed]]:
    """Where the numbers of a file of `size` bytes start, and its tensors; nothing but the header is read."""
    length = header_length(handle.read(8), size=size, label=label)
    return 8 + length, header_tensors(handle.read(length), size=size, label=label)


def header_length(head: bytes, *, size: int, label: str) -> int:
    """The bytes of the header by the first 8 of the file; raises UserError if that is refused or cannot be."""
    length = int.from_bytes(head[:8], "little")
    if length > MAX_HEADER_BYTES:
        raise UserError(
            f"{label} states a header of {length:,} bytes; more than {MAX_HEADER_BYTES:,} is refused. "
            "Split the model into several files."
        )
    if 8 + length > size:
        raise cut_off(label)
    return length


def header_tensors(text: bytes, *, size: int, label: str) -> list[Placed]:
    """The tensors by the header of a file of `size` bytes, in the order of their bytes.

    Raises UserError if the header is no JSON or has too many entries, and if a tensor's bytes do not fit its shape and
    type, overlap another's, leave a hole or run over the end of the file.
    """
    header = _parsed(text, label)
    entries = [(name, entry) for name, entry in header.items() if name != "__metadata__"]
    if len(entries) > MAX_ENTRIES:
        raise too_many(len(entries), label=label)
    placed = sorted((_placed(name, entry, label) for name, entry in entries), key=lambda item: item[:2])
    end_before = 0
    for begin, end, name, _, _ in placed:
        if begin < end_before:
            raise UserError(
                f"{label}: the bytes of {shorten(name)} overlap those of another tensor. Do not use this file."
            )
        if begin > end_before:
            raise UserError(f"{label} has unused bytes before the tensor {shorten(name)}. Do not use this file.")
        end_before = end
    data_bytes = size - 8 - len(text)
    if end_before > data_bytes:
        raise cut_off(label)
    if end_before < data_bytes:
        raise UserError(
            f"{label} has {data_bytes - end_before:,} unused bytes after its last tensor. Do not use this file."
        )
    return _in_module_order(placed)


def too_many(count: int, *, label: str) -> UserError:
    """The error for a file that lists more tensors than are read."""
    return UserError(f"{label} lists {count:,} tensors; more than {MAX_ENTRIES:,} is refused. Split the file.")


def _in_module_order(placed: list[Placed]) -> list[Placed]:
    """The tensors in the natural order of their names, where the writer sorted each type's names as text.

    Most writers do, which puts layer 10 before layer 2; an order that somebody chose is kept.
    """
    for kind in {item.dtype for item in placed}:
        names = [item.name for item in placed if item.dtype == kind]
        if names != sorted(names):
            return placed
    return sorted(placed, key=lambda item: natural_key(item.name))


def natural_key(name: str) -> list[tuple[int, str]]:
    """A key that sorts runs of digits by their number: "layer2" before "layer10"."""
    parts = re.split(r"([0-9]+)", name)
    # As length and digits: a stranger's number may have more digits than Python converts.
    return [_number_key(part.lstrip("0")) if place % 2 else (-1, part) for place, part in enumerate(parts)]


def _number_key(digits: str) -> tuple[int, str]:
    return len(digits), digits


def _read(path: Path, offset: int, item: Placed) -> Any:
    return read_values(path, offset=offset, count=value_count(item.shape), dtype=item.dtype).reshape(item.shape)


def _parsed(text: bytes, label: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise UserError(f"{label} names the same tensor twice in its header. Do not use this file.")
        return found

    try:
        header = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{label} has a header that is not valid JSON. Download the file again.") from error
    if not isinstance(header, dict):
        raise UserError(f"{label} has a header that is not a JSON object. Download the file again.")
    return header


def _placed(name: str, entry: Any, label: str) -> Placed:
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(type(at) is int and at >= 0 for at in offsets):
        raise UserError(
            f"{label}: the header does not say where the tensor {shorten(name)} lies. Download the file again."
        )
    dtype = DTYPES.get(str(entry.get("dtype")))
    if dtype is None:
        stated = shorten(str(entry.get("dtype")))
        raise UserError(
            f"{label}: {shorten(name)} has the number type {stated}, which cannot be read. Use a float16 version."
        )
    shape = checked_shape(entry.get("shape"), name=name, label=label)
    begin, end = offsets
    if end - begin != value_count(shape) * dtype.itemsize:
        raise UserError(
            f"{label}: {shorten(name)} has {end - begin:,} bytes, which do not fit its shape and type. Do not use it."
        )
    return Placed(begin, end, name, shape, dtype)
