"""The tensors of a model's weight files, one at a time, as numpy arrays: no torch, nothing unpickled, no code run."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.kit import UserError
from workers.sources.formats.stored import LOW_PRECISION
from workers.sources.headers import TensorHeader, listed_tensors

_UPCAST = frozenset({"float16", *LOW_PRECISION})
# Types that numpy knows only through ml_dtypes and that later arithmetic does not.
_PACKED_INTEGERS = {"int4": np.int8, "int2": np.int8, "uint4": np.uint8, "uint2": np.uint8}


def iter_tensors(
    paths: Sequence[Path], *, names: Collection[str] | None = None
) -> Iterator[tuple[TensorHeader, npt.NDArray[Any]]]:
    """Each tensor of a model with its header, read when its turn comes, so that no more than one is in memory.

    paths  the model's weight files, as for `read_headers`
    names  which tensors, by header name; all if None. Raises UserError if one of them is not there

    Arrays are C-contiguous and the caller's own. float16, bfloat16 and float8 come as float32, every other type as
    stored; values, NaN and infinities included, are passed on unchanged. Convolution kernels are
    (out, in/groups, kh, kw). ONNX messages are parsed as a whole. Raises UserError as `read_headers` does.
    """
    listed = listed_tensors(paths)
    if names is not None:
        missing = sorted(set(names) - {header.name for header, _ in listed})
        if missing:
            files = ", ".join(path.name for path in paths)
            raise UserError(
                f"{files} has no tensor {missing[0][:80]}. Choose names that the model's tensor list shows."
            )
    for header, tensor in listed:
        if names is None or header.name in names:
            yield header, usable(tensor.read())


def usable(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Stored values as arithmetic can use them: low precision as float32, packed integers as int8, writeable."""
    name = array.dtype.name
    if name in _UPCAST or name.startswith("float4"):
        return array.astype(np.float32)
    if name in _PACKED_INTEGERS:
        return array.astype(_PACKED_INTEGERS[name])
    return array if array.flags.writeable else array.copy()
