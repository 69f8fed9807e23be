"""Freed memory stays with the process while networks run on the CPU.

glibc hands blocks of 32 MB and more straight back to the system and gets every page of the next one zeroed: networks on
a CPU, whose activations are of that size, spend most of their time in page faults (MobileNetV2 on 32 images of 112
pixels: 190 to 400 images a second with its defaults, 610 to 660 without).
"""

from __future__ import annotations

import ctypes
from functools import cache

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST = 2**30


@cache
def _libc() -> ctypes.CDLL | None:
    """glibc, if that is what this process runs on."""
    try:
        library = ctypes.CDLL(None)
    except OSError:
        return None
    return library if hasattr(library, "gnu_get_libc_version") else None


@cache
def keep_freed_memory() -> bool:
    """Let the allocator keep freed blocks of up to 1 GiB for the next ones; False where it cannot be told."""
    libc = _libc()
    return libc is not None and all(libc.mallopt(option, LARGEST) for option in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD))


def return_freed_memory() -> None:
    """Give back to the system what is kept and unused, after a model has done its work."""
    libc = _libc()
    if libc is not None:
        libc.malloc_trim(0)
