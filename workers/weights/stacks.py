"""Equal tensors of several layers laid side by side, each read once: in memory where they are small, else on disk."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.kit import UserError

Array = npt.NDArray[Any]

IN_MEMORY_BYTES = 2**26
# Of what is free on the disk of the run's folder.
_LARGEST_SHARE = 0.5


class Stack:
    """The rows of a (count, values) array of float32, or float64, filled one by one; used in a `with` block.

    Beyond 64 MiB the rows lie in a file of `folder` that goes when the block ends, so that memory holds one tensor and
    what is being worked on. Raises UserError where the disk has no room for them.
    """

    def __init__(self, count: int, values: int, *, dtype: Any, folder: Path) -> None:
        self._shape = (count, values)
        self._dtype = np.dtype(np.float64 if np.dtype(dtype) == np.float64 else np.float32)
        self._filled = 0
        size = count * values * self._dtype.itemsize
        self._memory: Array | None = np.empty(self._shape, dtype=self._dtype) if size <= IN_MEMORY_BYTES else None
        self._path = folder / f"{uuid.uuid4().hex}.stack"
        if self._memory is None and size > shutil.disk_usage(folder).free * _LARGEST_SHARE:
            raise UserError(
                f"Comparing {count} layers of {values:,} weights needs {size / 2**30:.1f} GiB on disk for a while, "
                "more than half of what is free there. Make room in the site's data folder."
            )

    def append(self, weight: Array) -> None:
        """Add the next row: a tensor of as many values."""
        if self._memory is not None:
            self._memory[self._filled] = weight.reshape(-1)
        else:
            # Written, not mapped: a full disk is then an error of this line and not the end of the process.
            with self._path.open("ab") as handle:
                np.ascontiguousarray(weight, dtype=self._dtype).tofile(handle)
        self._filled += 1

    @property
    def rows(self) -> Array:
        """The filled rows, (count, values). Raises ValueError if rows are missing."""
        if self._filled != self._shape[0]:
            raise ValueError(f"{self._filled} of {self._shape[0]} rows are there")
        if self._memory is not None:
            return self._memory
        return np.memmap(self._path, dtype=self._dtype, mode="r", shape=self._shape)

    def __enter__(self) -> Stack:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._memory = None
        self._path.unlink(missing_ok=True)
