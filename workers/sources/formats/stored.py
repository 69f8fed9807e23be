"""What the format readers share: a stored tensor, number types, bounded reading, kernel layouts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import numpy.typing as npt

from workers.kit import UserError

Array = npt.NDArray[Any]

MAX_DIMENSIONS = 32
# A deflated archive may state this many times its own size, or the floor, before it counts as a bomb.
MAX_INFLATION = 20
INFLATION_FLOOR_BYTES = 64 * 2**20

LOW_PRECISION = {
    name: np.dtype(getattr(ml_dtypes, name))
    for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu")
}


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor in a file.

    shape  as `read` returns it; convolution kernels are (out, in/groups, kh, kw)
    dtype  number type in the file, by numpy's (or ml_dtypes') name
    read   reads the values in that number type, in native byte order; raises UserError if the file ends too early
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], Array]


class Listed(NamedTuple):
    """What a file says of one tensor: its name, its shape in the order of `StoredTensor`, its number type by name."""

    name: str
    shape: tuple[int, ...]
    dtype: str


def checked_shape(shape: object, *, name: str, label: str) -> tuple[int, ...]:
    """The shape as a tuple of whole numbers; raises UserError for anything else."""
    is_shape = isinstance(shape, Sequence) and not isinstance(shape, str | bytes) and len(shape) <= MAX_DIMENSIONS
    if not is_shape or not all(type(size) is int and 0 <= size < 2**48 for size in shape):  # type: ignore[attr-defined]
        raise UserError(f"{label}: the tensor {shorten(name)} states an impossible shape. Use another file.")
    return tuple(shape)  # type: ignore[arg-type]


def read_values(path: Path, *, offset: int, count: int, dtype: np.dtype[Any]) -> Array:
    """`count` numbers from byte `offset` of a file, flat and in native order; raises UserError if there are fewer."""
    wanted = count * dtype.itemsize
    try:
        raw = np.fromfile(path, dtype=np.uint8, count=wanted, offset=offset)
    except OSError as error:
        raise UserError(
            f"{path.name} cannot be read ({error.strerror or error}). Check that the file is still there."
        ) from error
    if raw.size != wanted:
        raise cut_off(path.name)
    return native(raw.view(dtype))


def native(array: Array) -> Array:
    """The same values in native byte order."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def cut_off(label: str) -> UserError:
    """The error for a file that is shorter than it says."""
    return UserError(f"{label} ends before its tensors do: it was cut off. Download the file again.")


def shorten(name: str) -> str:
    """A name for a sentence, at most 80 characters."""
    return name if len(name) <= 80 else f"{name[:77]}…"


def value_count(shape: tuple[int, ...]) -> int:
    """How many numbers a shape holds."""
    return math.prod(shape)


def companion(base: Path, location: object, *, companions: dict[str, Path]) -> Path:
    """The file that `base` refers to by a relative path; raises UserError if it lies elsewhere or is missing."""
    relative = part_path(location, label=base.name)
    path = base.parent / relative
    if path.is_file():
        # Content stores link files to where they keep them, so only the stated path is held to the folder.
        return path
    if relative.name in companions:
        return companions[relative.name]
    raise part_missing(str(relative), label=base.name)


def part_path(location: object, *, label: str) -> PurePosixPath:
    """The path below a file's folder by which it names a part of it; raises UserError for one that leads elsewhere."""
    if not isinstance(location, str) or not location or "\\" in location or "\0" in location:
        raise UserError(f"{label} names a part file that is not a relative path. Use another file.")
    relative = PurePosixPath(location)
    if relative.is_absolute() or ".." in relative.parts:
        raise UserError(
            f"{label} names the part file {shorten(location)}, which lies outside its folder. Use another file."
        )
    return relative


def part_missing(location: str, *, label: str) -> UserError:
    """The error for a part file that is not there."""
    return UserError(f"{label} needs the file {shorten(location)} beside it, which is missing. Download that one too.")


def is_hwio(shapes: Sequence[tuple[int, ...]], *, when_unsure: bool) -> bool:
    """Whether the 4-d kernels of a file lie as (kh, kw, in, out), judged by where all of them are small and square.

    when_unsure  the answer if both or neither order fits (also without kernels)
    """
    fits_front = all(shape[0] == shape[1] <= 11 for shape in shapes)
    fits_back = all(shape[2] == shape[3] <= 11 for shape in shapes)
    return when_unsure if fits_front == fits_back else fits_front


def from_hwio(tensor: StoredTensor) -> StoredTensor:
    """A (kh, kw, in, out) kernel as (out, in, kh, kw)."""
    return permuted(tensor, (3, 2, 0, 1))


def from_depthwise(tensor: StoredTensor) -> StoredTensor:
    """A (kh, kw, in, multiplier) kernel as (in × multiplier, 1, kh, kw)."""
    height, width, channels, multiplier = tensor.shape
    shape = (channels * multiplier, 1, height, width)
    return StoredTensor(
        tensor.name,
        shape,
        tensor.dtype,
        lambda: np.ascontiguousarray(tensor.read().transpose(2, 3, 0, 1)).reshape(shape),
    )


def permuted(tensor: StoredTensor, axes: tuple[int, ...]) -> StoredTensor:
    """The tensor with its axes in another order."""
    shape = tuple(tensor.shape[axis] for axis in axes)
    return StoredTensor(tensor.name, shape, tensor.dtype, lambda: np.ascontiguousarray(tensor.read().transpose(axes)))
