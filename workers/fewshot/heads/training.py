"""Seeded training of small torch modules on the CPU: batches, AdamW, cosine decay."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from workers.fewshot.heads.protocol import Array, centred


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread: steps this small lose more to waiting than they gain, and sums keep their order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def finite(logits: Tensor) -> Array:
    """Centred logits in float64; what a training that failed left without a finite value counts as 0."""
    return centred(np.nan_to_num(logits.numpy().astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0))


def batches(rows: int, size: int, generator: torch.Generator) -> list[Tensor]:
    """A random order of 0..rows−1 in batches; a last batch of one row joins the one before (batch norm needs two)."""
    parts = list(torch.split(torch.randperm(rows, generator=generator), size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def train(
    module: nn.Module,
    loss: Callable[[Tensor], Tensor],
    *,
    rows: int,
    epochs: int,
    least_steps: int,
    batch: int,
    learning_rate: float,
    weight_decay: float,
    generator: torch.Generator,
) -> bool:
    """Minimise `loss` (of row numbers) by AdamW with a cosine decay to zero; False if it was ever not finite.

    Few rows make few steps an epoch, so there are at least `least_steps` in all.
    """
    optimiser = torch.optim.AdamW(module.parameters(), lr=learning_rate, weight_decay=weight_decay)
    in_epoch = math.ceil(rows / batch)
    epochs = max(epochs, math.ceil(least_steps / in_epoch))
    steps = epochs * in_epoch
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: 0.5 * (1.0 + math.cos(math.pi * min(step, steps) / steps))
    )
    module.train()
    is_finite = True
    with one_thread():
        for part in (part for _ in range(epochs) for part in batches(rows, batch, generator)):
            optimiser.zero_grad()
            value = loss(part)
            if not bool(torch.isfinite(value)):
                is_finite = False
                continue
            torch.autograd.backward(value)
            optimiser.step()
            schedule.step()
    module.eval()
    return is_finite
