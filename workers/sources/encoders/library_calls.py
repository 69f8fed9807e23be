"""How libraries of models are called: offline, quiet, never with more memory than there is; errors in a sentence."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from huggingface_hub import constants
from torch import nn

from workers.kit import ModelRef, UserError
from workers.sources.headers import TensorHeader, read_headers

_SLACK = 10_000_000
_GIB = 2**30


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Within this, huggingface_hub and what is built on it ask no server."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


@contextlib.contextmanager
def in_a_sentence(what: str) -> Iterator[None]:
    """Turns whatever a library raises into a UserError that begins with `what`."""
    try:
        yield
    except (UserError, MemoryError, torch.OutOfMemoryError):
        raise
    except ModuleNotFoundError:
        raise
    except Exception as error:  # libraries raise anything for a configuration that is wrong
        said = " ".join(str(error).split())[:200]
        raise UserError(
            f"{what} ({type(error).__name__}: {said}). Is its config.json that of these weights?"
        ) from error


def available_bytes() -> int:
    """Main memory that can be had without swapping."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def stored_headers(model: ModelRef) -> Sequence[TensorHeader]:
    """The tensors of the model's files. Raises UserError where there is none or a file is damaged."""
    if not model.files:
        raise UserError(f"The weights of {model.name} are not on this server. Download it first, then run again.")
    return read_headers([Path(file) for file in model.files])


def refuse_too_large(outline: nn.Module, headers: Sequence[TensorHeader], *, name: str) -> None:
    """Raise UserError where a network cannot be that of the stored tensors, or does not fit into memory.

    `outline` is the network on the meta device, where it takes no memory.
    """
    needed = sum(math.prod(one.shape) for one in (*outline.parameters(), *outline.buffers()))
    stored = sum(math.prod(header.shape) for header in headers)
    if needed > 2 * stored + _SLACK:
        raise UserError(
            f"config.json of {name} asks for a network of {needed:,} values, its weights hold {stored:,}. "
            "Is it the configuration of another model?"
        )
    if 4 * (needed + stored) > available_bytes():
        raise UserError(
            f"{name} needs about {4 * (needed + stored) / _GIB:.1f} GiB of memory, {available_bytes() / _GIB:.1f} GiB "
            "are free. Run it on a larger machine."
        )
