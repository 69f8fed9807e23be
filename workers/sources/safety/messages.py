"""Whether a protobuf message is small enough to be parsed: counted field by field before any parser unfolds it."""

from __future__ import annotations

import mmap
from pathlib import Path

from workers.kit import UserError

MAX_BYTES = 2**29
# A parser makes an object of each field, and up to fifty bytes of each byte that is no tensor's value.
MAX_FIELDS = 1_000_000
MAX_STRUCTURE_BYTES = 32 * 2**20
MAX_DEPTH = 16
# Fields of ONNX messages that hold messages, by message: number → message (onnx/onnx.proto).
_MESSAGES: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
}
# float_data, raw_data and double_data take as much memory as they have bytes.
_VALUES = frozenset({4, 9, 10})


def check_onnx(path: Path) -> None:
    """Raises UserError if the file, read as an ONNX message, has more bytes, fields or levels than are parsed here."""
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path.name} is a message of more than {MAX_BYTES:,} bytes and was not read.")
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
        count = structure = 0
        pending = [("model", 0, len(data), 0)]
        while pending:
            message, position, end, depth = pending.pop()
            inner = _MESSAGES.get(message, {})
            while position < end:
                count += 1
                if count > MAX_FIELDS or structure > MAX_STRUCTURE_BYTES or depth > MAX_DEPTH:
                    raise UserError(f"{path.name} has more fields or levels than an ONNX model needs.")
                key, position = _varint(data, position, end)
                field, wire = key >> 3, key & 7
                if wire == 0:
                    _, position = _varint(data, position, end)
                elif wire in {1, 5}:
                    position += 8 if wire == 1 else 4
                elif wire == 2:
                    length, position = _varint(data, position, end)
                    if field in inner and position + length <= end:
                        pending.append((inner[field], position, position + length, depth + 1))
                    elif message != "tensor" or field not in _VALUES:
                        structure += length
                    position += length
                else:
                    break  # damage, which the parser will report


def _varint(data: mmap.mmap, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while position < end and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
        shift += 7
    return value, end
