"""ONNX: initializers, and the Constant nodes that feed convolutions and matrix products."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper

from workers.kit import UserError
from workers.sources.formats.stored import (
    Array,
    StoredTensor,
    checked_shape,
    companion,
    cut_off,
    native,
    read_values,
    shorten,
    value_count,
)

MAX_BYTES = 2**31
_GRAPH_FIELD = 7
_LAST_FIELD = 26
_WEIGHT_READERS = frozenset({"Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "Gemm", "MatMul"})
_PASS_THROUGH = frozenset({"Identity", "Cast"})


def is_onnx(path: Path) -> bool:
    """Whether the file is a protobuf message that starts with an IR version and holds a graph, as ONNX models do."""
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if len(data) < 4 or data[0] != 0x08:
            return False
        position, has_graph = 0, False
        while position < len(data):
            key, position = _varint(data, position)
            field, wire = key >> 3, key & 7
            if not 1 <= field <= _LAST_FIELD or wire not in {0, 2}:
                # Behind a graph these are damage, which reading will report; before it, this is something else.
                return has_graph
            value, position = _varint(data, position)
            has_graph = has_graph or (field == _GRAPH_FIELD and wire == 2 and value > 0)
            position += value if wire == 2 else 0
        return has_graph


def _varint(data: Any, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            return 0, position
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            break
    return value, position


def stored_tensors(path: Path, *, companions: dict[str, Path]) -> list[StoredTensor]:
    """Initializers in file order, then the constants that feed Conv, Gemm or MatMul, named by the value they produce.

    The message is parsed as a whole (it cannot exceed 2 GB); external data is read from its file one tensor at a time.
    Raises UserError if the message is damaged or a tensor's bytes do not fit its shape.
    """
    tensors: list[StoredTensor] = []
    for graph in _graphs(_loaded(path).graph):
        tensors.extend(_tensor(path, tensor.name, tensor, companions) for tensor in graph.initializer)
        tensors.extend(_tensor(path, name, tensor, companions) for name, tensor in _weight_constants(graph))
    return tensors


def part_names(path: Path) -> set[str]:
    """The file names of the external data that the initializers lie in."""
    return {
        PurePosixPath(str(entry.value)).name
        for graph in _graphs(_loaded(path).graph)
        for tensor in graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    }


def _loaded(path: Path) -> Any:
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path.name} is larger than an ONNX message may be (2 GB). Save it with external data.")
    try:
        return onnx.load(str(path), load_external_data=False)
    except (DecodeError, ValueError) as error:
        raise UserError(f"{path.name} is a damaged or cut-off ONNX file. Download the file again.") from error


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


def _tensor(path: Path, name: str | bytes, tensor: Any, companions: dict[str, Path]) -> StoredTensor:
    # A name of damaged UTF-8 comes as bytes.
    name = name.decode("utf-8", "replace") if isinstance(name, bytes) else name
    shape = checked_shape(tuple(tensor.dims), name=name, label=path.name)
    try:
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
    except (KeyError, TypeError, ValueError):
        dtype = np.dtype(object)
    if dtype.kind in "OSU":
        raise UserError(
            f"{path.name}: {shorten(name)} holds texts or unknown numbers. Export the model with float32 weights."
        )
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        place = {entry.key: entry.value for entry in tensor.external_data}
        return StoredTensor(name, shape, dtype.name, _external(path, name, place, shape, dtype, companions))
    is_packed = dtype.name.endswith(("int4", "int2")) or dtype.name.startswith("float4")
    if tensor.raw_data and not is_packed and len(tensor.raw_data) != value_count(shape) * dtype.itemsize:
        raise UserError(f"{path.name}: the bytes of {shorten(name)} do not fit its shape. Download the file again.")
    return StoredTensor(name, shape, dtype.name, partial(_read, path.name, name, tensor))


def _read(label: str, name: str, tensor: Any) -> Array:
    try:
        return native(np.array(numpy_helper.to_array(tensor)))
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{label}: the bytes of {shorten(name)} do not fit its shape. Download the file again."
        ) from error


def _external(
    path: Path,
    name: str,
    place: dict[str, str],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    companions: dict[str, Path],
) -> Any:
    data = companion(path, place.get("location"), companions=companions)
    offset, length = place.get("offset", "0"), place.get("length")
    wanted = value_count(shape) * dtype.itemsize
    if not (isinstance(offset, str) and offset.isdecimal()) or (length is not None and length != str(wanted)):
        raise UserError(f"{path.name}: the bytes of {shorten(name)} do not fit its shape. Download the file again.")
    if int(offset) + wanted > data.stat().st_size:
        raise cut_off(data.name)
    return lambda: read_values(data, offset=int(offset), count=value_count(shape), dtype=dtype).reshape(shape)
