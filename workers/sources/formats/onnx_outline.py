"""An ONNX message without its numbers, by walking over the protobuf: what is needed of it fits in little memory.

Field numbers as in onnx.proto. Of a model its graph is kept; of a graph the nodes and initializers; of a node its type,
its names, single numbers, tensors and inner graphs; of a tensor all but its values, whose byte count is checked against
its shape and whose place in the file is noted (`span_of`).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from workers.kit import UserError

MAX_FIELDS = 1_000_000
MAX_KEPT_BYTES = 64 * 2**20
MAX_DEPTH = 64
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_RAW_DATA = 9

# Of each kind of message: the fields that are kept as they are, and those that are messages to be walked through.
_KEPT: dict[str, frozenset[int]] = {
    "model": frozenset({1}),
    "graph": frozenset({2}),
    "node": frozenset({1, 2, 3, 4}),
    "attribute": frozenset({1, 2, 3, 20}),
    "tensor": frozenset({1, 2, 8, 13, 14}),
}
_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph"},
    "graph": {1: "node", 5: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph"},
    "tensor": {},
}

_DOC_STRING = 12

TensorCheck = Callable[[Any, int], None]


class Span(NamedTuple):
    """Where a tensor lies in its file: its message, and its raw data, which are 0 bytes where it has none."""

    start: int
    end: int
    raw_start: int
    raw_bytes: int


def span_of(tensor: Any) -> Span:
    """Where a tensor of an outline lies in the file."""
    # The walker writes it where a message has room for a text: protobuf keeps no order between fields.
    return Span(*(int(number) for number in tensor.doc_string.split()))


def outline(handle: BinaryIO, *, size: int, label: str, check: TensorCheck) -> Any:
    """The onnx.ModelProto in an opened file of `size` bytes, without values.

    check  is called with each tensor and the bytes of its raw data, 0 where it has none

    Raises UserError if the message is damaged, cut off, or of more fields than a model has.
    """
    try:
        return onnx.ModelProto.FromString(_Walker(handle, label, check).message("model", size, depth=0))
    except DecodeError as error:
        raise damaged(label) from error


def damaged(label: str) -> UserError:
    """The error for a message that cannot be parsed."""
    return UserError(f"{label} is a damaged or cut-off ONNX file. Download the file again.")


class _Walker:
    def __init__(self, handle: BinaryIO, label: str, check: TensorCheck) -> None:
        self.handle = handle
        self.label = label
        self.check = check
        self.fields = 0
        self.kept_bytes = 0

    def message(self, kind: str, end: int, *, depth: int) -> bytes:
        """The kept part of the message that ends at byte `end` of the file, as bytes of such a message."""
        if depth > MAX_DEPTH:
            raise damaged(self.label)
        parts: list[bytes] = []
        raw_start = raw_bytes = 0
        start = position = self.handle.tell()
        while position < end:
            self._count()
            key, coded_key = self._varint()
            field, wire = key >> 3, key & 7
            if wire == _LENGTH:
                length, coded_length = self._varint()
                if length > end - self.handle.tell():
                    raise damaged(self.label)
                if field in _INSIDE[kind]:
                    inner = self.message(_INSIDE[kind][field], self.handle.tell() + length, depth=depth + 1)
                    parts += [coded_key, _varint_bytes(len(inner)), inner]
                elif field in _KEPT[kind]:
                    parts += [coded_key, coded_length, self._kept(length)]
                else:
                    if field == _RAW_DATA:
                        raw_start, raw_bytes = self.handle.tell(), length
                    self.handle.seek(length, io.SEEK_CUR)
            elif wire in {_VARINT, _EIGHT_BYTES, _FOUR_BYTES}:
                value = self._varint()[1] if wire == _VARINT else self._kept(8 if wire == _EIGHT_BYTES else 4)
                if field in _KEPT[kind]:
                    parts += [coded_key, value]
            else:
                raise damaged(self.label)
            position = self.handle.tell()
        if position > end:
            raise damaged(self.label)
        if kind == "tensor":
            self.check(onnx.TensorProto.FromString(b"".join(parts)), raw_bytes)
            span = b"%d %d %d %d" % (start, end, raw_start, raw_bytes)
            parts += [_varint_bytes(_DOC_STRING << 3 | _LENGTH), _varint_bytes(len(span)), span]
        return b"".join(parts)

    def _count(self) -> None:
        self.fields += 1
        if self.fields > MAX_FIELDS or self.kept_bytes > MAX_KEPT_BYTES:
            raise UserError(f"{self.label} has more nodes and names than can be listed. Use another file.")

    def _kept(self, length: int) -> bytes:
        self.kept_bytes += length
        if length > MAX_KEPT_BYTES:
            self._count()
        data = self.handle.read(length)
        if len(data) != length:
            raise damaged(self.label)
        return data

    def _varint(self) -> tuple[int, bytes]:
        coded = b""
        value = 0
        for shift in range(0, 70, 7):
            byte = self.handle.read(1)
            if not byte:
                raise damaged(self.label)
            coded += byte
            value |= (byte[0] & 0x7F) << shift
            if byte[0] < 0x80:
                return value, coded
        raise damaged(self.label)


def _varint_bytes(value: int) -> bytes:
    coded = bytearray()
    while value > 0x7F:
        coded.append(value & 0x7F | 0x80)
        value >>= 7
    coded.append(value)
    return bytes(coded)
