"""How a frozen torch module is run: device, threads, precision, and smaller batches when memory runs out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import numpy as np
import torch

from workers.kit import UserError
from workers.sources.encoders.freed_memory import keep_freed_memory
from workers.sources.protocols import Encoded

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


def _is_finite(result: Encoded) -> bool:
    return all(np.isfinite(values).all() for values in (result.features, result.logits) if values is not None)


HALVES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


class Forward(Generic[Rows]):
    """Runs `compute(rows)` without gradients on a device and brings features and logits back as float32.

    `precision` is that of a `Reading`: "auto" is float16 on CUDA and float32 elsewhere; half precision is by autocast,
    and where it overflows once it is float32 from there on, the batch repeated. When the device's memory runs out the
    batch is halved, and stays so; at one row the error passes on.
    """

    def __init__(
        self,
        compute: Callable[[Rows], tuple[torch.Tensor, torch.Tensor | None]],
        *,
        device: torch.device,
        threads: int,
        precision: str = "auto",
    ) -> None:
        self._compute, self._device, self._thread_count = compute, device, threads
        if device.type == "cpu":
            keep_freed_memory()
        named = "float16" if precision == "auto" and device.type == "cuda" else precision
        self.half = HALVES.get(named)
        self.row_limit = 0

    @property
    def precision(self) -> str:
        """The precision in words."""
        name = next((name for name, half in HALVES.items() if half is self.half), "")
        return f"{name} by autocast, stored as float32" if name else "float32"

    def __call__(self, rows: Rows, *, count: int, take: Callable[[Rows, int, int], Rows]) -> Encoded:
        """The results of `count` rows; `take(rows, start, stop)` cuts a part out."""
        parts: list[Encoded] = []
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
        logits = [part.logits for part in parts if part.logits is not None]
        return Encoded(
            features=np.concatenate([part.features for part in parts]),
            logits=np.concatenate(logits) if logits else None,
        )

    def _attempt(self, rows: Rows, *, size: int) -> Encoded | None:
        """One batch, or None where memory ran out; freeing waits until this frame, which the error holds, is left."""
        try:
            result = self._computed(rows)
            if self.half is not None and not _is_finite(result):
                self.half = None
                result = self._computed(rows)
        except torch.cuda.OutOfMemoryError:
            if size == 1:
                raise
            return None
        return result

    def _computed(self, rows: Rows) -> Encoded:
        with torch.autocast(self._device.type, dtype=self.half or torch.bfloat16, enabled=self.half is not None):
            features, logits = self._compute(rows)
        return Encoded(
            features=features.float().cpu().numpy(), logits=None if logits is None else logits.float().cpu().numpy()
        )
