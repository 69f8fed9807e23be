"""Arrays kept by numpy: npz archives and pickles of arrays, neither of them unpickled."""

from __future__ import annotations

import io
import math
import mmap
import re
import zipfile
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from workers.kit import UserError
from workers.sources.formats.archive import member_bytes, members, stored_offset
from workers.sources.formats.stored import (
    LOW_PRECISION,
    Array,
    StoredTensor,
    checked_shape,
    cut_off,
    from_depthwise,
    from_hwio,
    is_hwio,
    native,
    read_values,
    shorten,
    value_count,
)
from workers.sources.inert import Call, Global, Span, leaves
from workers.sources.opcodes import read_pickle

_HEADER_BYTES = 12 + 65_536
_TYPE_CODE = re.compile(
    r"[|<>=]?(b1|\?|[iu][1248]|f[248]|c(8|16)|bool|u?int(8|16|32|64)|float(16|32|64)|complex(64|128))"
)


def stored_tensors_npz(path: Path, *, companions: dict[str, Path]) -> list[StoredTensor]:
    """The arrays of an npz archive. Raises UserError for members of Python objects and for damaged ones."""
    tensors = [_npy(path, info) for name, info in members(path).items() if name.endswith(".npy")]
    return _in_kernel_order(tensors, when_unsure=False)


def _npy(path: Path, info: zipfile.ZipInfo) -> StoredTensor:
    name = info.filename.removesuffix(".npy")
    try:
        shape, is_fortran, dtype, start = _npy_header(io.BytesIO(member_bytes(path, info, limit=_HEADER_BYTES)))
    except (ValueError, TypeError, SyntaxError) as error:
        raise UserError(
            f"{path.name}: the array {shorten(name)} has a damaged header. Download the file again."
        ) from error
    if dtype.hasobject or dtype.names or dtype.kind not in "biufc":
        raise UserError(
            f"{path.name}: {shorten(name)} holds Python objects or texts, which are never read. Save plain numbers."
        )
    shape = checked_shape(shape, name=name, label=path.name)
    if start + value_count(shape) * dtype.itemsize != info.file_size:
        raise UserError(
            f"{path.name}: the array {shorten(name)} does not have the bytes its shape needs. Download the file again."
        )
    return StoredTensor(
        name,
        shape,
        dtype.newbyteorder("=").name,
        partial(_read_npy, path, info, start, shape, dtype, is_fortran=is_fortran),
    )


def _npy_header(handle: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    version = np.lib.format.read_magic(handle)
    if version == (1, 0):
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(handle)
    elif version == (2, 0):
        shape, is_fortran, dtype = np.lib.format.read_array_header_2_0(handle)
    else:
        raise ValueError("structured array")
    return shape, is_fortran, dtype, handle.tell()


def _read_npy(
    path: Path, info: zipfile.ZipInfo, start: int, shape: tuple[int, ...], dtype: np.dtype[Any], *, is_fortran: bool
) -> Array:
    if info.compress_type == zipfile.ZIP_STORED:
        flat = read_values(path, offset=stored_offset(path, info) + start, count=value_count(shape), dtype=dtype)
    else:
        flat = native(np.frombuffer(member_bytes(path, info), dtype=dtype, offset=start))
    return _shaped(flat, shape, is_fortran=is_fortran)


def _shaped(flat: Array, shape: tuple[int, ...], *, is_fortran: bool) -> Array:
    return np.ascontiguousarray(flat.reshape(shape, order="F" if is_fortran else "C")).reshape(shape)


def _in_kernel_order(tensors: list[StoredTensor], *, when_unsure: bool) -> list[StoredTensor]:
    kernels = [tensor.shape for tensor in tensors if len(tensor.shape) == 4]
    if not is_hwio(kernels, when_unsure=when_unsure):
        return tensors
    return [_from_hwio(tensor) if len(tensor.shape) == 4 else tensor for tensor in tensors]


def _from_hwio(tensor: StoredTensor) -> StoredTensor:
    # Keras keeps depthwise kernels as (kh, kw, in, multiplier).
    return from_depthwise(tensor) if "depthwise" in tensor.name.lower() else from_hwio(tensor)


def stored_tensors_pickle(path: Path, *, companions: dict[str, Path]) -> list[StoredTensor]:
    """The arrays of a pickle of (nested) dictionaries and lists of numpy arrays, named by their dotted path.

    4-d arrays count as (kh, kw, in, out) unless only the other order can be meant. Raises UserError if there is none.
    """
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as source:
        tree = read_pickle(source, label=path.name).tree
    found = [(name or "array", call) for name, call in leaves(tree, is_leaf=_is_array, label=path.name)]
    if not found:
        raise UserError(
            f"{path.name} is a Python pickle without number arrays. Choose the file that holds the weights."
        )
    return _in_kernel_order([_pickled(path, name, call) for name, call in found], when_unsure=True)


_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric")


def _is_array(call: Call) -> bool:
    return call.callable.module in _MODULES and call.callable.name in {"_reconstruct", "scalar", "_frombuffer"}


def _pickled(path: Path, name: str, call: Call) -> StoredTensor:
    broken = UserError(
        f"{path.name}: the array {shorten(name)} is stored in a way that cannot be read. Save plain number arrays."
    )
    try:
        if call.callable.name == "_reconstruct":
            _, shape, stated, is_fortran, data = call.state
        elif call.callable.name == "scalar":
            (stated, data), shape, is_fortran = call.args, (), False
        else:
            data, stated, shape, order = call.args
            is_fortran = order == "F"
    except (TypeError, ValueError):
        raise broken from None
    shape = checked_shape(shape, name=name, label=path.name)
    dtype = _dtype(stated)
    if dtype is None:
        raise broken
    held = _raw(path, data)
    if held is None:
        raise broken
    if isinstance(held, Span) and held.encoding != "utf-8" and held.length != value_count(shape) * dtype.itemsize:
        raise cut_off(path.name)
    if isinstance(held, bytes) and len(held) != value_count(shape) * dtype.itemsize:
        raise cut_off(path.name)
    return StoredTensor(
        name,
        shape,
        dtype.newbyteorder("=").name,
        partial(_read_pickled, path, held, shape, dtype, is_fortran=bool(is_fortran)),
    )


_BYTES_CALLS = frozenset(
    {"_codecs.encode", "builtins.bytes", "builtins.bytearray", "__builtin__.bytes", "__builtin__.bytearray"}
)


def _raw(path: Path, data: Any) -> bytes | Span | None:
    # Python 3 writes bytes in protocol 2 as text through _codecs.encode(text, "latin1"); Python 2 writes a str.
    if isinstance(data, Call) and data.callable.path in _BYTES_CALLS:
        data = data.args[0] if data.args else b""
    if isinstance(data, str):
        try:
            return data.encode("latin-1")
        except UnicodeEncodeError:
            return None
    return data if isinstance(data, bytes | Span) else None


def _read_pickled(
    path: Path, held: bytes | Span, shape: tuple[int, ...], dtype: np.dtype[Any], *, is_fortran: bool
) -> Array:
    if isinstance(held, Span) and held.encoding == "utf-8":
        text = read_values(path, offset=held.start, count=held.length, dtype=np.dtype("u1")).tobytes()
        try:
            held = text.decode("utf-8").encode("latin-1")
        except UnicodeError as error:
            raise UserError(f"{path.name} holds an array with damaged bytes. Download the file again.") from error
    if isinstance(held, Span):
        flat = read_values(path, offset=held.start, count=math.prod(shape), dtype=dtype)
    else:
        if len(held) != value_count(shape) * dtype.itemsize:
            raise cut_off(path.name)
        flat = native(np.frombuffer(held, dtype=dtype))
    return _shaped(flat, shape, is_fortran=is_fortran)


def _dtype(stated: Any) -> np.dtype[Any] | None:
    """The number type that a pickled `numpy.dtype` call means; None for objects, texts and records."""
    if not isinstance(stated, Call) or stated.callable.path != "numpy.dtype" or not stated.args:
        return None
    code = stated.args[0]
    if isinstance(code, Global):
        return LOW_PRECISION.get(code.name) if code.module == "ml_dtypes" else None
    if isinstance(code, bytes):
        code = code.decode("latin-1")
    if not isinstance(code, str) or not _TYPE_CODE.fullmatch(code):
        return None
    dtype = np.dtype(code)
    order = stated.state[1] if isinstance(stated.state, tuple) and len(stated.state) > 1 else "="
    order = order.decode("latin-1") if isinstance(order, bytes) else order
    return dtype.newbyteorder(">") if order == ">" else dtype
