"""How a frozen torch module is run: device, threads, precision, and smaller batches when memory runs out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from workers.kit import UserError

Rows = TypeVar("Rows")


def device_of(name: str) -> torch.device:
    """The torch device of that name. Raises UserError if this machine has none."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"There is no device {name!r}: use 'cpu' or 'cuda:0'.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"The device {name!r} is not on this machine: run the job on 'cpu' or start a worker for that GPU."
        )
    return device


@contextlib.contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(max(number, 1))
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Forward(Generic[Rows]):
    """Runs `compute(rows)` without gradients on a device and brings the result back as float32.

    On CUDA in half precision by autocast, unless that overflows once: then float32 from there on, the batch repeated.
    When the device's memory runs out the batch is halved, and stays so; at one row the error passes on.
    """

    def __init__(self, compute: Callable[[Rows], torch.Tensor], *, device: torch.device, threads: int) -> None:
        self._compute, self._device, self._thread_count = compute, device, threads
        self.is_half = device.type == "cuda"
        self.row_limit = 0

    @property
    def precision(self) -> str:
        """The precision in words."""
        return "float16 by autocast, stored as float32" if self.is_half else "float32"

    def __call__(self, rows: Rows, *, count: int, take: Callable[[Rows, int, int], Rows]) -> npt.NDArray[np.float32]:
        """The results of `count` rows, (count, d); `take(rows, start, stop)` cuts a part out."""
        parts: list[npt.NDArray[np.float32]] = []
        start = 0
        with _threads(self._thread_count), torch.inference_mode():
            while start < count:
                size = min(self.row_limit or count, count - start)
                part = self._attempt(take(rows, start, start + size), size=size)
                if part is None:
                    self.row_limit = (size + 1) // 2
                    torch.cuda.empty_cache()
                    continue
                parts.append(part)
                start += size
        return np.concatenate(parts)

    def _attempt(self, rows: Rows, *, size: int) -> npt.NDArray[np.float32] | None:
        """One batch, or None where memory ran out; freeing waits until this frame, which the error holds, is left."""
        try:
            result = self._computed(rows)
            if self.is_half and not np.isfinite(result).all():
                self.is_half = False
                result = self._computed(rows)
        except torch.cuda.OutOfMemoryError:
            if size == 1:
                raise
            return None
        return result

    def _computed(self, rows: Rows) -> npt.NDArray[np.float32]:
        with torch.autocast("cuda", dtype=torch.float16, enabled=self.is_half):
            result = self._compute(rows)
        array: npt.NDArray[np.float32] = result.float().cpu().numpy()
        return array
