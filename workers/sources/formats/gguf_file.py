"""GGUF, the format of llama.cpp: a header of typed keys and tensor descriptions, then aligned numbers.

Layout by the specification in ggml's docs/gguf.md, versions 2 and 3, little and big endian: magic, version, number of
tensors, number of keys; keys (name, type, value); tensors (name, dimensions with the fastest first, type, offset from
the first aligned byte after the header).
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from workers.kit import UserError
from workers.sources.formats.stored import (
    LOW_PRECISION,
    Array,
    StoredTensor,
    checked_shape,
    cut_off,
    read_values,
    shorten,
    value_count,
)

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_TENSORS = 100_000
MAX_KEYS = 65_536
MAX_NAME_BYTES = 65_535
MAX_TEXT_BYTES = 2**24
# Vocabularies of 256,000 words come with as many scores, types and merges.
MAX_ITEMS = 4_000_000
MAX_KEPT_ITEMS = 64
MAX_KEPT_TEXT_BYTES = 2**16
MAX_DIMENSIONS = 4
_MAX_DEPTH = 4
_TEXT, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

# Type number → name, numbers per block, bytes per block (ggml.h, ggml-common.h).
TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 40),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
}
_PLAIN = {
    "F32": np.dtype("f4"),
    "F16": np.dtype("f2"),
    "F64": np.dtype("f8"),
    "BF16": LOW_PRECISION["bfloat16"],
    "I8": np.dtype("i1"),
    "I16": np.dtype("i2"),
    "I32": np.dtype("i4"),
    "I64": np.dtype("i8"),
}

# general.file_type (llama.h, LLAMA_FTYPE): how most of the tensors are kept.
FILE_TYPES = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4_MOE",
    39: "NVFP4",
    40: "Q1_0",
}


@dataclass(frozen=True, kw_only=True)
class GgufTensor:
    """One tensor: its shape with the slowest dimension first, its ggml type, its bytes from the start of the file."""

    name: str
    shape: tuple[int, ...]
    type_name: str
    begin: int
    end: int

    @property
    def dtype(self) -> str:
        """Number type by numpy's name where it is one ("float16"), ggml's where it is quantised ("Q4_K")."""
        plain = _PLAIN.get(self.type_name)
        return self.type_name if plain is None else plain.name


@dataclass(frozen=True, kw_only=True)
class GgufHeader:
    """What a GGUF file says before its numbers.

    metadata  key → number, truth, text or a short list of them; longer lists and texts (vocabularies) are left out
    """

    version: int
    is_little: bool
    metadata: dict[str, Any]
    tensors: list[GgufTensor]


@dataclass(frozen=True, kw_only=True)
class GgufFacts:
    """What the metadata say of the model, each "" where they do not.

    quantisation    the file's overall kind ("Q4_K_M"), by general.file_type
    context_length  the longest input in tokens, None if not stated
    """

    architecture: str
    name: str
    licence: str
    quantisation: str
    context_length: int | None


def gguf_facts(metadata: dict[str, Any]) -> GgufFacts:
    """Architecture, name, licence and quantisation of a model by its metadata."""
    architecture = _line(metadata.get("general.architecture"))
    length = metadata.get(f"{architecture}.context_length")
    file_type = metadata.get("general.file_type")
    return GgufFacts(
        architecture=architecture,
        name=_line(metadata.get("general.name")),
        licence=_line(metadata.get("general.license")),
        quantisation=FILE_TYPES.get(file_type, "") if type(file_type) is int else "",
        context_length=length if type(length) is int and length > 0 else None,
    )


def _line(value: Any) -> str:
    text = value if isinstance(value, str) else ""
    return "".join(letter for letter in text if letter.isprintable())[:200].strip()


def stored_tensors(path: Path, *, companions: dict[str, Path]) -> list[StoredTensor]:
    """The tensors in file order; those of whole and floating numbers can be read, quantised ones are listed only."""
    with path.open("rb") as handle:
        header = read_gguf(handle, size=path.stat().st_size, label=path.name)
    return [
        StoredTensor(tensor.name, tensor.shape, tensor.dtype, partial(_read, path, tensor, is_little=header.is_little))
        for tensor in header.tensors
    ]


def _read(path: Path, tensor: GgufTensor, *, is_little: bool) -> Array:
    dtype = _PLAIN.get(tensor.type_name)
    if dtype is None:
        raise UserError(
            f"{path.name}: {shorten(tensor.name)} is quantised ({tensor.type_name}), so its values cannot be read. "
            "Use the version with float16 weights."
        )
    # Whole numbers of the same width, for the byte order of bfloat16.
    words = np.dtype(f"{'<' if is_little else '>'}u{dtype.itemsize}")
    values = read_values(path, offset=tensor.begin, count=value_count(tensor.shape), dtype=words)
    shaped: Array = values.view(dtype).reshape(tensor.shape)
    return shaped


def read_gguf(handle: BinaryIO, *, size: int, label: str) -> GgufHeader:
    """The header of an opened GGUF file of `size` bytes; nothing behind it is read.

    Raises UserError for other versions, for counts and lengths beyond the bounds, for unknown types, and if a tensor
    overlaps another or runs over the end of the file.
    """
    return _Reader(handle, size, label).header()


class _Reader:
    """The position in the file and its byte order; every length is checked before it is read."""

    def __init__(self, handle: BinaryIO, size: int, label: str) -> None:
        self.handle = handle
        self.size = size
        self.label = label
        self.order = "<"
        self.items = 0

    def header(self) -> GgufHeader:
        start = self._take(8)
        if start[:4] != MAGIC:
            raise self._error("is no GGUF file. Use another file.")
        # A version below 65,536 has its zeros in the last two bytes, or in the first two if the order is the other one.
        self.order = ">" if start[4:6] == b"\0\0" else "<"
        version = int(struct.unpack(f"{self.order}I", start[4:])[0])
        if version not in VERSIONS:
            raise self._error(f"is GGUF of version {version}; versions 2 and 3 can be read. Convert the file.")
        tensor_count, key_count = self._number("Q"), self._number("Q")
        if tensor_count > MAX_TENSORS or key_count > MAX_KEYS:
            raise self._error(
                f"states {tensor_count:,} tensors and {key_count:,} keys; more than {MAX_TENSORS:,} and {MAX_KEYS:,} "
                "are refused. Use another file."
            )
        metadata: dict[str, Any] = {}
        seen: set[str] = set()
        for _ in range(key_count):
            name = self._text(MAX_NAME_BYTES)
            if name in seen:
                raise self._error(f"has the key {shorten(name)} twice. Do not use this file.")
            seen.add(name)
            value = self._value(self._number("I"))
            if value is not None:
                metadata[name] = value
        stated = [self._tensor() for _ in range(tensor_count)]
        return GgufHeader(
            version=version, is_little=self.order == "<", metadata=metadata, tensors=self._placed(stated, metadata)
        )

    def _error(self, what: str) -> UserError:
        return UserError(f"{self.label} {what}")

    def _take(self, count: int) -> bytes:
        data = self.handle.read(count)
        if len(data) != count:
            raise cut_off(self.label)
        return data

    def _number(self, code: str) -> Any:
        return struct.unpack(self.order + code, self._take(struct.calcsize(f"={code}")))[0]

    def _skip(self, count: int) -> None:
        if count > self.size - self.handle.tell():
            raise cut_off(self.label)
        self.handle.seek(count, io.SEEK_CUR)

    def _length(self, most: int) -> int:
        length = int(self._number("Q"))
        if length > most:
            raise self._error(f"states a text of {length:,} bytes; more than {most:,} is refused. Use another file.")
        return length

    def _text(self, most: int) -> str:
        return self._take(self._length(most)).decode("utf-8", "replace")

    def _value(self, kind: int) -> Any:
        """A value of that type; None, and only passed over, if it is too long to be kept."""
        if kind == _ARRAY:
            return self._array(depth=1)
        if kind == _TEXT:
            length = self._length(MAX_TEXT_BYTES)
            if length <= MAX_KEPT_TEXT_BYTES:
                return self._take(length).decode("utf-8", "replace")
            self._skip(length)
            return None
        return self._number(self._code(kind))

    def _code(self, kind: int) -> str:
        if kind not in _SCALARS:
            raise self._error(f"has a value of the unknown type {kind}. Download the file again.")
        return _SCALARS[kind]

    def _array(self, *, depth: int) -> list[Any] | None:
        kind, count = self._number("I"), self._number("Q")
        self.items += count
        if self.items > MAX_ITEMS or depth > _MAX_DEPTH:
            raise self._error(f"has lists of more than {MAX_ITEMS:,} values. Use another file.")
        if kind == _ARRAY:
            for _ in range(count):
                self._array(depth=depth + 1)
            return None
        if count <= MAX_KEPT_ITEMS:
            values = [self._value(kind) for _ in range(count)]
            return None if None in values else values
        if kind == _TEXT:
            for _ in range(count):
                self._skip(self._length(MAX_TEXT_BYTES))
        else:
            self._skip(count * struct.calcsize(f"={self._code(kind)}"))
        return None

    def _tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self._text(MAX_NAME_BYTES)
        dimensions = self._number("I")
        if dimensions > MAX_DIMENSIONS:
            raise self._error(f"has the tensor {shorten(name)} of {dimensions:,} dimensions; GGUF allows four.")
        sizes = [int(self._number("Q")) for _ in range(dimensions)]
        shape = checked_shape(sizes[::-1], name=name, label=self.label)
        kind, offset = self._number("I"), self._number("Q")
        if kind not in TYPES:
            raise self._error(f"has the tensor {shorten(name)} of the unknown type {kind}. Use another version of it.")
        return name, shape, kind, offset

    def _placed(
        self, stated: list[tuple[str, tuple[int, ...], int, int]], metadata: dict[str, Any]
    ) -> list[GgufTensor]:
        alignment = metadata.get("general.alignment", 32)
        if type(alignment) is not int or not 0 < alignment <= 2**20 or alignment & (alignment - 1):
            raise self._error("states an alignment that is no power of two. Download the file again.")
        start = -(-self.handle.tell() // alignment) * alignment
        tensors = []
        for name, shape, kind, offset in stated:
            type_name, block, block_bytes = TYPES[kind]
            if (shape[-1] if shape else 1) % block:
                raise self._error(f"has the tensor {shorten(name)} whose rows are no whole blocks of {type_name}.")
            end = start + offset + value_count(shape) // block * block_bytes
            if end > self.size:
                raise cut_off(self.label)
            tensors.append(GgufTensor(name=name, shape=shape, type_name=type_name, begin=start + offset, end=end))
        end_before = 0
        for tensor in sorted(tensors, key=lambda item: (item.begin, item.end)):
            if tensor.begin < end_before:
                raise self._error(
                    f"has the tensor {shorten(tensor.name)} whose bytes overlap those of another. Do not use this file."
                )
            end_before = tensor.end
        return tensors
