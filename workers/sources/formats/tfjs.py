"""TensorFlow.js models: a model.json with a weights manifest, and shards of raw numbers beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from workers.kit import UserError
from workers.sources.formats.stored import (
    Array,
    StoredTensor,
    checked_shape,
    companion,
    cut_off,
    from_depthwise,
    from_hwio,
    permuted,
    read_values,
    shorten,
    value_count,
)

MAX_JSON_BYTES = 64 * 2**20
_TYPES = {
    "float32": "<f4",
    "float16": "<f2",
    "int32": "<i4",
    "uint8": "u1",
    "uint16": "<u2",
    "bool": "bool",
    "complex64": "<c8",
}


@dataclass(frozen=True, kw_only=True)
class _Affine:
    """value = stored number × scale + minimum; the stored type is the quantised one."""

    scale: float
    minimum: float


def parsed(path: Path) -> dict[str, Any] | None:
    """The JSON object in the file, or None if it holds none (or one above 64 MB)."""
    with path.open("rb") as handle:
        return parsed_of(handle, size=path.stat().st_size)


def parsed_of(handle: BinaryIO, *, size: int) -> dict[str, Any] | None:
    """As `parsed`, of an opened file of `size` bytes."""
    handle.seek(0)
    if size > MAX_JSON_BYTES or not handle.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return None
    handle.seek(0)
    try:
        content = json.loads(handle.read(size))
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def is_tfjs(content: dict[str, Any] | None) -> bool:
    """Whether a JSON object is a TensorFlow.js model: it has a weights manifest."""
    return content is not None and isinstance(content.get("weightsManifest"), list)


def shard_names(content: dict[str, Any]) -> set[str]:
    """The file names of the shards that a model.json names."""
    groups = [group for group in content["weightsManifest"] if isinstance(group, dict)]
    return {
        Path(str(name)).name
        for group in groups
        for name in group.get("paths", ())
        if isinstance(group.get("paths"), list)
    }


def stored_tensors(path: Path, *, companions: dict[str, Path]) -> list[StoredTensor]:
    """The weights in manifest order, 4-d kernels turned from (kh, kw, in, out) to (out, in/groups, kh, kw).

    Raises UserError if a shard is missing, or has more or fewer bytes than the manifest says.
    """
    content = parsed(path)
    if content is None or not is_tfjs(content):
        raise UserError(f"{path.name} is no TensorFlow.js model. Choose the model.json of a converted model.")
    layers = _layer_classes(content.get("modelTopology"))
    tensors: list[StoredTensor] = []
    for group in content["weightsManifest"]:
        if (
            not isinstance(group, dict)
            or not isinstance(group.get("paths"), list)
            or not isinstance(group.get("weights"), list)
        ):
            raise UserError(f"{path.name} has a damaged weights manifest. Download the file again.")
        shards = [companion(path, name, companions=companions) for name in group["paths"]]
        position = 0
        for entry in group["weights"]:
            tensor, size = _tensor(path, entry, shards, position)
            tensors.append(_in_kernel_order(tensor, layers))
            position += size
        total = sum(shard.stat().st_size for shard in shards)
        if position > total:
            raise cut_off(shards[-1].name if shards else path.name)
        if position < total:
            raise UserError(
                f"{path.name}: its shards hold {total - position:,} bytes more than it names. Download all again."
            )
    return tensors


def _tensor(path: Path, entry: Any, shards: list[Path], position: int) -> tuple[StoredTensor, int]:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise UserError(f"{path.name} has a damaged weights manifest. Download the file again.")
    name = entry["name"]
    shape = checked_shape(entry.get("shape"), name=name, label=path.name)
    quantised = entry.get("quantization")
    stored = quantised.get("dtype") if isinstance(quantised, dict) else entry.get("dtype")
    if not isinstance(stored, str) or stored not in _TYPES:
        raise UserError(
            f"{path.name}: {shorten(name)} has the number type {shorten(str(stored))}, which is unknown. Use float32."
        )
    dtype = np.dtype(_TYPES[stored])
    affine = None
    if isinstance(quantised, dict) and "scale" in quantised:
        scale, minimum = quantised.get("scale"), quantised.get("min")
        if not isinstance(scale, int | float) or not isinstance(minimum, int | float):
            raise UserError(f"{path.name}: {shorten(name)} has a damaged quantisation. Download the file again.")
        affine = _Affine(scale=float(scale), minimum=float(minimum))
    read = partial(_read, shards, position, shape, dtype, affine)
    return StoredTensor(name, shape, dtype.name, read), value_count(shape) * dtype.itemsize


def _read(
    shards: list[Path], position: int, shape: tuple[int, ...], dtype: np.dtype[Any], affine: _Affine | None
) -> Array:
    wanted = value_count(shape) * dtype.itemsize
    parts = []
    # A tensor may run over the end of one shard into the next (they are cut at 4 MB).
    for shard in shards:
        size = shard.stat().st_size
        if position < size and wanted:
            count = min(wanted, size - position)
            parts.append(read_values(shard, offset=position, count=count, dtype=np.dtype("u1")))
            wanted -= count
        position = max(0, position - size)
    raw = parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, np.uint8), *parts])
    values: Array = raw.view(dtype).reshape(shape)
    return (
        values
        if affine is None
        else (values * np.float32(affine.scale) + np.float32(affine.minimum)).astype(np.float32)
    )


def _layer_classes(topology: Any) -> dict[str, str]:
    """Class of every Keras layer by name, also of those in nested models."""
    return dict(_layers(topology, depth=0))


def _layers(node: Any, *, depth: int) -> Iterator[tuple[str, str]]:
    if depth > 32:
        return
    if isinstance(node, dict):
        kind, config = node.get("class_name"), node.get("config")
        if isinstance(kind, str) and isinstance(config, dict) and isinstance(config.get("name"), str):
            yield config["name"], kind
        for child in node.values():
            yield from _layers(child, depth=depth + 1)
    elif isinstance(node, list):
        for child in node:
            yield from _layers(child, depth=depth + 1)


def _in_kernel_order(tensor: StoredTensor, layers: dict[str, str]) -> StoredTensor:
    if len(tensor.shape) != 4:
        return tensor
    layer, _, last = tensor.name.rpartition("/")
    kind = layers.get(layer.rpartition("/")[2], "")
    if "depthwise" in last or kind == "DepthwiseConv2D":
        return from_depthwise(tensor)
    # Keras keeps transposed convolutions as (kh, kw, out, in).
    return permuted(tensor, (2, 3, 0, 1)) if kind == "Conv2DTranspose" else from_hwio(tensor)
