from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from workers.sources.encoders.freed_memory import keep_freed_memory

# Blocks of 48 MB, as the activations of a network on the CPU; page faults and resident pages are what getrusage and
# /proc count.
SCRIPT = """
import ctypes, resource
from workers.sources.encoders.freed_memory import keep_freed_memory, return_freed_memory
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes, libc.memset.argtypes = [ctypes.c_void_p], [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]

def faults(rounds=20, size=48 * 2**20):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        block = libc.malloc(size)
        libc.memset(block, 1, size)
        libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1])

print(faults(), int(keep_freed_memory()), faults(), resident(), end=" ")
return_freed_memory()
print(resident())
"""


@pytest.mark.skipif(not keep_freed_memory(), reason="this allocator cannot be told to keep freed memory")
def test_freed_blocks_are_used_again_and_given_back_in_the_end() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    before, is_kept, after, full, empty = map(int, done.stdout.split())
    assert is_kept
    assert after < before / 4, "each block was new to the process"
    assert empty < full
