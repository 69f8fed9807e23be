"""Where the files lie that a table or a class folder names: in a folder, or in a zip that is not unpacked."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

from workers.kit import UserError
from workers.sources.datasets.pictures import MAX_BYTES, UnreadableImage
from workers.sources.formats.archive import member_bytes

OpenFile = Callable[[str], bytes]
"""The bytes of the file of a name. Raises UnreadableImage for names that lead out and for what cannot be opened."""

_LEADS_OUT = "names of files that lead out of the folder"
_TOO_LARGE = f"files above {MAX_BYTES // 2**20} MB"


def inner_path(text: str) -> PurePosixPath:
    """The path that a cell names, with "/". Raises UnreadableImage where it leads out of its folder."""
    plain = text.strip().replace("\\", "/")
    path = PurePosixPath(plain)
    if not plain or "\0" in plain or path.is_absolute() or PureWindowsPath(plain).drive or ".." in path.parts:
        raise UnreadableImage(_LEADS_OUT)
    return path


def file_bytes(path: Path) -> bytes:
    """The bytes of a regular file, not through a link, at most MAX_BYTES. Raises UnreadableImage for anything else."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UnreadableImage("not files")
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise UnreadableImage("files that cannot be opened") from error
    return data


def in_folder(folder: Path) -> OpenFile:
    """Opens files below a folder."""
    root = folder.resolve()

    def read(name: str) -> bytes:
        place = folder / inner_path(name)
        if not place.resolve().is_relative_to(root):
            raise UnreadableImage(_LEADS_OUT)
        return file_bytes(place)

    return read


def in_zip(path: Path, members: Mapping[str, zipfile.ZipInfo], *, below: str = "") -> OpenFile:
    """Opens members of a zip; names count from the folder `below` within it."""

    def read(name: str) -> bytes:
        info = members.get(str(PurePosixPath(below) / inner_path(name)))
        if info is None:
            raise UnreadableImage("files that are not in the archive")
        if info.file_size > MAX_BYTES:
            raise UnreadableImage(_TOO_LARGE)
        try:
            return bytes(member_bytes(path, info))
        except UserError as error:
            raise UnreadableImage("files that are damaged in the archive") from error

    return read
