"""The files of a stranger's folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def files_below(folder: Path) -> list[str]:
    """Relative paths of the files of a folder, with "/"; links are not followed and not listed."""
    found = []
    for root, folders, names in os.walk(folder, followlinks=False):
        folders.sort()
        base = Path(root)
        found += [
            (base / name).relative_to(folder).as_posix()
            for name in names
            if stat.S_ISREG((base / name).lstat().st_mode)
        ]
    return sorted(found)
