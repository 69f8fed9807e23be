"""Fills a torch module from a checkpoint, one tensor at a time, with strict key matching."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import nn

from workers.kit import ModelRef, UserError
from workers.sources.checkpoints import iter_tensors

SHOWN = 3


def listed(names: Iterable[str]) -> str:
    """The first names in order, and how many more there are."""
    ordered = sorted(names)
    more = f" and {len(ordered) - SHOWN} more" if len(ordered) > SHOWN else ""
    return ", ".join(ordered[:SHOWN]) + more


def fill_strictly(
    module: nn.Module,
    model: ModelRef,
    *,
    architecture: str,
    rename: Callable[[str], str | None] = lambda name: name,
    skips: Callable[[str], bool] = lambda name: False,
) -> None:
    """Copy the tensors of the model's files into the module's parameters and buffers.

    `rename` turns a checkpoint's name into the module's, None for a name that it does not know; tensors that `skips`
    names are of no use and not looked at. Batch counters (num_batches_tracked) may be absent: nothing reads them.
    Raises UserError naming every missing or unexpected tensor, and for a tensor of another shape.
    """
    state = module.state_dict()
    missing = {name for name in state if not name.endswith("num_batches_tracked")}
    unexpected = []
    with torch.no_grad():
        for header, array in iter_tensors([Path(file) for file in model.files]):
            if skips(header.name):
                continue
            name = rename(header.name)
            if name is None or name not in state:
                unexpected.append(header.name)
                continue
            if tuple(array.shape) != tuple(state[name].shape):
                raise UserError(
                    f"The tensor {header.name} of {model.name} has the shape {tuple(array.shape)}, {architecture} "
                    f"needs {tuple(state[name].shape)}. Is this the checkpoint of another architecture?"
                )
            state[name].copy_(torch.tensor(array))
            missing.discard(name)
    if missing or unexpected:
        parts = [
            *([f"it lacks {listed(missing)}"] if missing else []),
            *([f"it has {listed(unexpected)}, which {architecture} does not know"] if unexpected else []),
        ]
        raise UserError(
            f"The checkpoint of {model.name} does not match {architecture}: {'; '.join(parts)}. "
            "Give the right architecture in the model's configuration."
        )
