"""ONNX: initializers, and the Constant nodes that feed convolutions and matrix products."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper

from workers.kit import UserError
from workers.sources.formats.onnx_outline import Span, outline, span_of
from workers.sources.formats.stored import (
    MAX_DIMENSIONS,
    Array,
    Listed,
    StoredTensor,
    checked_shape,
    companion,
    cut_off,
    native,
    part_path,
    read_values,
    shorten,
    value_count,
)

MAX_BYTES = 2**31
_GRAPH_FIELD = 7
_LAST_FIELD = 26
_MAX_TOP_FIELDS = 100_000
_WEIGHT_READERS = frozenset({"Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "Gemm", "MatMul"})
_PASS_THROUGH = frozenset({"Identity", "Cast"})


def is_onnx(handle: BinaryIO, *, size: int) -> bool:
    """Whether an opened file is a protobuf message that starts with an IR version and holds a graph, as models do."""
    handle.seek(0)
    if size < 4 or handle.read(1) != b"\x08":
        return False
    position, has_graph = 0, False
    for _ in range(_MAX_TOP_FIELDS):
        if position >= size:
            break
        handle.seek(position)
        key = _varint(handle)
        field, wire = key >> 3, key & 7
        if not 1 <= field <= _LAST_FIELD or wire not in {0, 2}:
            # Behind a graph these are damage, which reading will report; before it, this is something else.
            return has_graph
        value = _varint(handle)
        has_graph = has_graph or (field == _GRAPH_FIELD and wire == 2 and value > 0)
        position = handle.tell() + (value if wire == 2 else 0)
    return has_graph


def _varint(handle: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = handle.read(1)
        if not byte:
            return 0
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            break
    return value


def stored_tensors(path: Path, *, companions: dict[str, Path]) -> list[StoredTensor]:
    """Initializers in file order, then the constants that feed Conv, Gemm or MatMul, named by the value they produce.

    Values are read one tensor at a time, from the message or from the file of external data. Raises UserError if the
    message is damaged or a tensor's bytes do not fit its shape.
    """
    with path.open("rb") as handle:
        model = _outlined(handle, size=path.stat().st_size, label=path.name)
    return [_stored(path, name, tensor, companions) for name, tensor in _weights(model)]


def listed_tensors(handle: BinaryIO, *, size: int, label: str, part_size: Callable[[str], int]) -> list[Listed]:
    """What an opened ONNX file of `size` bytes holds, in the order of `stored_tensors`; no values are read.

    part_size  the size of the file that holds external data, by its path beside this one; raises UserError without it
    """
    listed = []
    for stated, tensor in _weights(_outlined(handle, size=size, label=label)):
        name, shape, dtype = _typed(stated, tensor, label)
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            location, offset, count = _place(name, tensor, shape, dtype, label)
            part = str(part_path(location, label=label))
            if offset + count > part_size(part):
                raise cut_off(part)
        listed.append(Listed(name, shape, dtype.name))
    return listed


def part_names(path: Path) -> set[str]:
    """The file names of the external data that the initializers lie in."""
    with path.open("rb") as handle:
        model = _outlined(handle, size=path.stat().st_size, label=path.name)
    return {
        PurePosixPath(str(entry.value)).name
        for graph in _graphs(model.graph)
        for tensor in graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    }


def _outlined(handle: BinaryIO, *, size: int, label: str) -> Any:
    def check(tensor: Any, raw_bytes: int) -> None:
        if raw_bytes:
            _check_bytes(tensor, raw_bytes, label)

    if size > MAX_BYTES:
        raise _too_large(label)
    handle.seek(0)
    return outline(handle, size=size, label=label, check=check)


def _weights(model: Any) -> Iterator[tuple[str | bytes, Any]]:
    for graph in _graphs(model.graph):
        yield from ((tensor.name, tensor) for tensor in graph.initializer)
        yield from _weight_constants(graph)


def _too_large(label: str) -> UserError:
    return UserError(f"{label} is larger than an ONNX message may be (2 GB). Save it with external data.")


def _graphs(main: Any) -> Iterator[Any]:
    pending = [main]
    while pending:
        graph = pending.pop()
        yield graph
        for node in graph.node:
            pending.extend(attribute.g for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH)


def _weight_constants(graph: Any) -> Iterator[tuple[str, Any]]:
    constants: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for node in graph.node:
        if node.op_type == "Constant" and node.output:
            value = next((attribute.t for attribute in node.attribute if attribute.name == "value"), None)
            if value is not None:
                constants[node.output[0]] = value
        elif node.op_type in _PASS_THROUGH and node.input and node.output:
            sources[node.output[0]] = node.input[0]
    fed: dict[str, None] = {}
    for node in graph.node:
        if node.op_type in _WEIGHT_READERS:
            for name in node.input:
                fed.setdefault(_origin(name, sources))
    yield from ((name, constants[name]) for name in fed if name in constants)


def _origin(name: str, sources: dict[str, str]) -> str:
    for _ in range(8):
        name = sources.get(name, name)
    return name


def _stored(path: Path, stated: str | bytes, tensor: Any, companions: dict[str, Path]) -> StoredTensor:
    name, shape, dtype = _typed(stated, tensor, path.name)
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return StoredTensor(name, shape, dtype.name, _external(path, name, tensor, shape, dtype, companions))
    return StoredTensor(name, shape, dtype.name, partial(_read, path, name, span_of(tensor), shape, dtype))


def _typed(name: str | bytes, tensor: Any, label: str) -> tuple[str, tuple[int, ...], np.dtype[Any]]:
    # A name of damaged UTF-8 comes as bytes.
    name = name.decode("utf-8", "replace") if isinstance(name, bytes) else name
    shape = checked_shape(tuple(tensor.dims), name=name, label=label)
    try:
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
    except (KeyError, TypeError, ValueError):
        dtype = np.dtype(object)
    if dtype.kind in "OSU":
        raise UserError(
            f"{label}: {shorten(name)} holds texts or unknown numbers. Export the model with float32 weights."
        )
    return name, shape, dtype


def _check_bytes(tensor: Any, raw_bytes: int, label: str) -> None:
    """Raise UserError unless raw data of that many bytes fit the tensor; packed types and texts are left to reading."""
    try:
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
    except (KeyError, TypeError, ValueError):
        return
    is_packed = dtype.name.endswith(("int4", "int2")) or dtype.name.startswith("float4") or dtype.kind in "OSU"
    if (
        len(tensor.dims) <= MAX_DIMENSIONS
        and not is_packed
        and raw_bytes != value_count(tuple(tensor.dims)) * dtype.itemsize
    ):
        raise _misfit(tensor.name, label)


def _misfit(name: str | bytes, label: str) -> UserError:
    name = name.decode("utf-8", "replace") if isinstance(name, bytes) else name
    return UserError(f"{label}: the bytes of {shorten(name)} do not fit its shape. Download the file again.")


def _read(path: Path, name: str, span: Span, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    if span.raw_bytes and span.raw_bytes == value_count(shape) * dtype.itemsize:
        return read_values(path, offset=span.raw_start, count=value_count(shape), dtype=dtype).reshape(shape)
    # Typed and packed numbers: the message of this one tensor is parsed.
    message = read_values(path, offset=span.start, count=span.end - span.start, dtype=np.dtype("u1"))
    try:
        return native(np.array(numpy_helper.to_array(onnx.TensorProto.FromString(message.tobytes()))))
    except (DecodeError, ValueError, TypeError, KeyError) as error:
        raise _misfit(name, path.name) from error


def _external(
    path: Path,
    name: str,
    tensor: Any,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    companions: dict[str, Path],
) -> Any:
    location, offset, wanted = _place(name, tensor, shape, dtype, path.name)
    data = companion(path, location, companions=companions)
    if offset + wanted > data.stat().st_size:
        raise cut_off(data.name)
    return lambda: read_values(data, offset=offset, count=value_count(shape), dtype=dtype).reshape(shape)


def _place(
    name: str, tensor: Any, shape: tuple[int, ...], dtype: np.dtype[Any], label: str
) -> tuple[str | None, int, int]:
    """Where external data lie: the file, from which byte, how many bytes."""
    place = {entry.key: entry.value for entry in tensor.external_data}
    offset, length = place.get("offset", "0"), place.get("length")
    wanted = value_count(shape) * dtype.itemsize
    if not (isinstance(offset, str) and offset.isdecimal() and len(offset) < 20):
        raise _misfit(name, label)
    if length is not None and length != str(wanted):
        raise _misfit(name, label)
    return place.get("location"), int(offset), wanted
