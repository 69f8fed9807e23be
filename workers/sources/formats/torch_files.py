"""PyTorch checkpoints, zip and legacy, read from their opcodes: no torch, nothing unpickled.

Layouts as in torch/serialization.py: the zip form keeps `<root>/data.pkl` and one member per storage; the legacy form
is five pickles in a row (magic number, protocol version, machine facts, object, storage keys) and then each storage as
an int64 count and its numbers.
"""

from __future__ import annotations

import io
import math
import mmap
import zipfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from workers.kit import UserError
from workers.sources.formats.archive import member_bytes_of, members_of, stored_offset
from workers.sources.formats.stored import (
    LOW_PRECISION,
    Array,
    Listed,
    StoredTensor,
    checked_shape,
    cut_off,
    read_values,
    shorten,
    value_count,
)
from workers.sources.inert import Call, Global, PersistentId, Pickle, leaves
from workers.sources.opcodes import PickleSource, read_pickle

MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
MAX_PICKLE_BYTES = 256 * 2**20
# An expanded tensor (stride 0) may state more values than its storage holds, up to here.
MAX_EXPANDED_VALUES = 1_000_000

# The rest of a training checkpoint that holds tensors but no weights.
NOT_WEIGHTS = (
    "optimizer",
    "optimizers",
    "optimizer_state_dict",
    "optimizer_states",
    "optim",
    "lr_schedulers",
    "scaler",
    "rng_state",
)

_STORAGE_TYPES = {
    "DoubleStorage": np.dtype("f8"),
    "FloatStorage": np.dtype("f4"),
    "HalfStorage": np.dtype("f2"),
    "BFloat16Storage": LOW_PRECISION["bfloat16"],
    "LongStorage": np.dtype("i8"),
    "IntStorage": np.dtype("i4"),
    "ShortStorage": np.dtype("i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("bool"),
    "ComplexFloatStorage": np.dtype("c8"),
    "ComplexDoubleStorage": np.dtype("c16"),
    "UntypedStorage": np.dtype("u1"),
}
# fmt: off
_TORCH_NAMES = (
    "float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64", "bool",
)
# fmt: on
_TORCH_TYPES = {name: np.dtype(name) for name in _TORCH_NAMES} | LOW_PRECISION
_REBUILDS = frozenset({"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3"})
_WRAPPERS = frozenset({"_rebuild_parameter", "_rebuild_parameter_with_state"})


@dataclass(frozen=True, kw_only=True)
class _Storage:
    """Flat numbers of one type in a file: from which byte, how many bytes."""

    path: Path
    offset: int
    size: int
    is_little: bool


@dataclass(frozen=True, kw_only=True)
class _View:
    """A tensor as its pickle states it; counts are in numbers, not bytes."""

    key: str
    dtype: np.dtype[Any]
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def stored_tensors_zip(path: Path, *, companions: dict[str, Path]) -> list[StoredTensor]:
    """The tensors of a zipped `torch.save` file (also of whole modules and TorchScript), in the order of its pickle."""
    with path.open("rb") as handle:
        views = _zip_views(handle, path.stat().st_size, path.name)
    storages = {
        key: _Storage(path=path, offset=stored_offset(path, info), size=info.file_size, is_little=views.is_little)
        for key, info in views.storages.items()
    }
    _check(views.named, views.sizes, path.name)
    return _tensors(views.named, storages)


def listed_tensors_zip(handle: BinaryIO, *, size: int, label: str) -> list[Listed]:
    """What a zipped `torch.save` file of `size` bytes holds; only its directory and its pickle are read."""
    views = _zip_views(handle, size, label)
    _check(views.named, views.sizes, label)
    return [Listed(name, view.shape, view.dtype.name) for name, view in views.named]


@dataclass(frozen=True, kw_only=True)
class _ZipViews:
    """The tensors of a zipped checkpoint and the members that their storages lie in, by key."""

    named: list[tuple[str, _View]]
    storages: dict[str, zipfile.ZipInfo]
    is_little: bool

    @property
    def sizes(self) -> dict[str, int]:
        return {key: info.file_size for key, info in self.storages.items()}


def _zip_views(handle: BinaryIO, size: int, label: str) -> _ZipViews:
    listed = members_of(handle, size=size, label=label)
    pickles = [name for name in listed if name == "data.pkl" or (name.endswith("/data.pkl") and name.count("/") == 1)]
    if len(pickles) != 1:
        raise UserError(f"{label} has no single data.pkl, so it is no PyTorch checkpoint. Use another file.")
    root = pickles[0].removesuffix("data.pkl")
    if listed[pickles[0]].file_size > MAX_PICKLE_BYTES:
        raise UserError(
            f"{label} has a pickle above {MAX_PICKLE_BYTES:,} bytes; that is no weight file. Use another one."
        )
    pickled = member_bytes_of(handle, listed[pickles[0]], size=size, label=label)
    named = _views(read_pickle(io.BytesIO(pickled), label=label).tree, label)
    order = listed.get(f"{root}byteorder")
    is_little = (
        order is None
        or order.file_size > 16
        or member_bytes_of(handle, order, size=size, label=label).strip() != b"big"
    )
    storages: dict[str, zipfile.ZipInfo] = {}
    for _, view in named:
        info = listed.get(f"{root}data/{view.key}")
        if info is None:
            raise cut_off(label)
        if info.compress_type != zipfile.ZIP_STORED:
            raise UserError(f"{label} has compressed tensors, which torch.save never writes. Unpack and save it again.")
        storages[view.key] = info
    return _ZipViews(named=named, storages=storages, is_little=is_little)


def stored_tensors_legacy(path: Path, *, companions: dict[str, Path]) -> list[StoredTensor]:
    """The tensors of a `torch.save` file of the form before torch 1.6, in the order of the pickle."""
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as source:
        views = _legacy_views(source, path.name)
        item_sizes = {key: item_size for key, (_, item_size) in views.stated.items()}
        storages: dict[str, _Storage] = {}
        position = source.tell()
        for key in views.keys:
            count = int.from_bytes(source[position : position + 8], "little" if views.is_little else "big")
            size = count * item_sizes.get(key, 0)
            if key not in item_sizes or position + 8 + size > len(source):
                raise cut_off(path.name)
            storages[key] = _Storage(path=path, offset=position + 8, size=size, is_little=views.is_little)
            position += 8 + size
    _check(views.named, {key: storage.size for key, storage in storages.items()}, path.name)
    return _tensors(views.named, storages)


def listed_tensors_legacy(source: PickleSource, *, size: int, label: str) -> list[Listed]:
    """What a legacy `torch.save` file of `size` bytes holds; only the pickles at its beginning are read.

    The counts before each storage are not read: those that the pickle states are checked against the file's size.
    """
    views = _legacy_views(source, label)
    if not set(views.keys) <= set(views.stated):
        raise cut_off(label)
    sizes = {key: math.prod(views.stated[key]) for key in views.keys}
    if source.tell() + sum(8 + stored for stored in sizes.values()) > size:
        raise cut_off(label)
    _check(views.named, sizes, label)
    return [Listed(name, view.shape, view.dtype.name) for name, view in views.named]


@dataclass(frozen=True, kw_only=True)
class _LegacyViews:
    """The tensors of a legacy checkpoint, its storages in their order, and count and item size of each as stated."""

    named: list[tuple[str, _View]]
    keys: list[str]
    stated: dict[str, tuple[int, int]]
    is_little: bool


def _legacy_views(source: PickleSource, label: str) -> _LegacyViews:
    _, stated, machine, pickled, listed = (read_pickle(source, label=label) for _ in range(5))
    version, facts, keys = stated.tree, machine.tree, listed.tree
    if version != 1001 or not isinstance(facts, dict) or not isinstance(keys, list):
        raise UserError(f"{label} is no legacy PyTorch checkpoint of version 1001. Save it again with a newer torch.")
    return _LegacyViews(
        named=_views(pickled.tree, label),
        keys=[str(key) for key in keys],
        stated=_stated_sizes(pickled),
        is_little=bool(facts.get("little_endian", True)),
    )


def _is_tensor(call: Call) -> bool:
    name = call.callable.name
    return (
        call.callable.module == "torch._utils" and name.startswith("_rebuild")
    ) or call.callable.path == "torch._tensor._rebuild_from_type_v2"


def _views(tree: Any, label: str) -> list[tuple[str, _View]]:
    if isinstance(tree, dict):
        tree = {key: child for key, child in tree.items() if key not in NOT_WEIGHTS}
    found = [(name, _view(name, call, label)) for name, call in leaves(tree, is_leaf=_is_tensor, label=label)]
    if not found:
        raise UserError(f"{label} is a PyTorch file without any tensor. Choose the file that holds the weights.")
    return found


def _view(name: str, call: Call, label: str) -> _View:
    unsupported = UserError(
        f"{label}: the tensor {shorten(name)} is stored in a way ({call.callable.name}) that cannot be read."
    )
    args = call.args
    # Parameters and subclasses wrap the call that describes the tensor.
    for _ in range(4):
        if call.callable.name in _WRAPPERS and args and isinstance(args[0], Call):
            call, args = args[0], args[0].args
        elif call.callable.name == "_rebuild_from_type_v2" and len(args) >= 3 and isinstance(args[0], Global):
            call, args = Call(args[0], args[2]), args[2]
    if call.callable.path not in {f"torch._utils.{rebuild}" for rebuild in _REBUILDS} or len(args) < 4:
        raise unsupported
    storage, offset, shape, strides = args[:4]
    shape = checked_shape(shape, name=name, label=label)
    if not isinstance(storage, PersistentId) or type(offset) is not int or offset < 0:
        raise unsupported
    strides = checked_shape(strides, name=name, label=label)
    key, dtype, shift = _storage_of(storage.value, unsupported)
    if call.callable.name == "_rebuild_tensor_v3":
        stated = args[6] if len(args) > 6 else None
        if not isinstance(stated, Global) or stated.module != "torch" or stated.name not in _TORCH_TYPES:
            raise unsupported
        dtype = _TORCH_TYPES[stated.name]
    if len(shape) != len(strides):
        raise unsupported
    return _View(key=key, dtype=dtype, offset=offset + shift, shape=shape, strides=strides)


def _storage_of(value: Any, unsupported: UserError) -> tuple[str, np.dtype[Any], int]:
    if not isinstance(value, tuple) or len(value) < 5 or value[0] != "storage" or not isinstance(value[1], Global):
        raise unsupported
    if value[1].name not in _STORAGE_TYPES or not isinstance(value[2], str | int):
        raise unsupported
    shift = 0
    # Legacy files of old versions save a storage that is a window on another: (key, offset, size).
    window = value[5] if len(value) > 5 else None
    if isinstance(window, tuple) and len(window) == 3 and type(window[1]) is int and window[1] >= 0:
        shift = window[1]
    return str(value[2]), _STORAGE_TYPES[value[1].name], shift


def _stated_sizes(pickled: Pickle) -> dict[str, tuple[int, int]]:
    """Count and bytes per number of every storage that the pickle names, those of the optimiser too."""
    sizes: dict[str, tuple[int, int]] = {}
    for reference in pickled.persistent_ids:
        value = reference.value
        if isinstance(value, tuple) and len(value) > 2 and value[0] == "storage" and isinstance(value[1], Global):
            dtype = _STORAGE_TYPES.get(value[1].name)
            count = value[4] if len(value) > 4 and type(value[4]) is int and value[4] >= 0 else 0
            if dtype is not None:
                sizes[str(value[2])] = count, dtype.itemsize
    return sizes


def _check(named: list[tuple[str, _View]], sizes: dict[str, int], label: str) -> None:
    """Raise UserError unless every tensor lies within its storage; `sizes` are bytes by key."""
    for name, view in named:
        if view.key not in sizes:
            raise cut_off(label)
        held = sizes[view.key] // view.dtype.itemsize
        values = value_count(view.shape)
        if values and view.offset + _extent(view) > held:
            raise UserError(
                f"{label}: the tensor {shorten(name)} reaches over the end of its storage. Download the file again."
            )
        if values > max(held, MAX_EXPANDED_VALUES):
            raise UserError(
                f"{label}: the tensor {shorten(name)} states {values:,} values but stores {held:,}. Save it contiguous."
            )


def _tensors(named: list[tuple[str, _View]], storages: dict[str, _Storage]) -> list[StoredTensor]:
    return [
        StoredTensor(name, view.shape, view.dtype.name, partial(_read, view, storages[view.key]))
        for name, view in named
    ]


def _extent(view: _View) -> int:
    return 1 + sum((size - 1) * stride for size, stride in zip(view.shape, view.strides, strict=True))


def _read(view: _View, storage: _Storage) -> Array:
    dtype = view.dtype
    if value_count(view.shape) == 0:
        return np.empty(view.shape, dtype)
    # Whole numbers of the same width, so that the byte order also holds for types that numpy does not know itself.
    width = dtype.itemsize // 2 if dtype.kind == "c" else dtype.itemsize
    words = read_values(
        storage.path,
        offset=storage.offset + view.offset * dtype.itemsize,
        count=_extent(view) * dtype.itemsize // width,
        dtype=np.dtype(f"{'<' if storage.is_little else '>'}u{width}"),
    )
    strides = tuple(stride * dtype.itemsize for stride in view.strides)
    strided: Array = np.ndarray(view.shape, dtype, buffer=words.view(dtype), strides=strides)
    return np.array(strided, order="C")
