"""Which process is ours: told by a path in its command line, because process numbers are used again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

PROC = Path("/proc")


def is_alive(pid: int, *, marker: str) -> bool:
    """Whether process `pid` lives and has `marker` in its command line (without /proc: whether it lives)."""
    if not (PROC / "self").exists():
        return signal_reaches(pid)
    try:
        return os.fsencode(marker) in (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return False


def signal_reaches(pid: int) -> bool:
    """Whether any process has the number `pid`."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def has_process_in(folder: Path) -> bool:
    """Whether any process that we may look at works in `folder`."""
    for entry in PROC.glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink() == folder:
                return True
        except OSError:
            continue
    return False


def wait_until(condition: Callable[[], bool], *, seconds: float, pause: float = 0.02) -> bool:
    """Wait until `condition` holds, at most `seconds`; the answer says whether it does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True
