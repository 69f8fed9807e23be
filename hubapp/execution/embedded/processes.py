"""Which process is ours: told by a path in its command line, because process numbers are used again."""

from __future__ import annotations

import os
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


def has_process_in(folder: Path, *, uid: int, name: str) -> bool:
    """Whether a process works in `folder`; where we may not look, whether `uid` has a process called `name`."""
    for entry in PROC.glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink() == folder:
                return True
        except PermissionError:
            if _runs_as(entry, uid=uid, name=name):
                return True
        except OSError:
            continue
    return False


def _runs_as(entry: Path, *, uid: int, name: str) -> bool:
    try:
        return entry.stat().st_uid == uid and (entry / "comm").read_text().strip() == name
    except OSError:
        return False
