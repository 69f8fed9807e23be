"""The members of a stranger's zip, refused where they lead out of it, hide, or unfold to too much."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath

from workers.kit import UserError
from workers.sources.datasets.class_folders import MAX_FILES
from workers.sources.formats.archive import ERRORS, listing

MAX_INFLATION = 200
INFLATION_FLOOR_BYTES = 256 * 2**20
_ENCRYPTED = 0x1 | 0x40


def zip_members(path: Path) -> dict[str, zipfile.ZipInfo]:
    """The files of a zip by name, in its order; folders are left out.

    Raises UserError if it is no whole zip, holds too many, doubled or encrypted members, members whose names lead out
    of it (..), links, or more bytes than such an archive can have (a zip bomb).
    """
    try:
        with path.open("rb") as handle:
            infos = [info for info in listing(handle) if not info.is_dir()]
    except ERRORS as error:
        raise UserError(f"{path.name} is no whole zip file: it is cut off or damaged. Upload it again.") from error
    if len(infos) > MAX_FILES:
        raise UserError(f"{path.name} holds {len(infos):,} files; more than {MAX_FILES:,} are not read.")
    for info in infos:
        _refuse_member(path.name, info)
    if len({info.filename for info in infos}) != len(infos):
        raise UserError(f"{path.name} holds two files of the same name. Pack the folder anew.")
    size, stated = path.stat().st_size, sum(info.file_size for info in infos)
    packed = sum(info.compress_size for info in infos)
    if stated > max(INFLATION_FLOOR_BYTES, MAX_INFLATION * size) or packed > size:
        raise UserError(
            f"{path.name} would unfold to {stated:,} bytes, far more than its {size:,}, as zip bombs do. Pack the "
            "images anew."
        )
    return {info.filename: info for info in infos}


def _refuse_member(label: str, info: zipfile.ZipInfo) -> None:
    name = info.filename
    shown = "".join(char if char.isprintable() else "?" for char in name[-80:])
    windows = PureWindowsPath(name)
    if PurePosixPath(name).is_absolute() or windows.drive or windows.root or ".." in windows.parts or "\\" in name:
        raise UserError(f"{label} holds a file whose name leads out of the archive ({shown}). Pack the folder anew.")
    if info.flag_bits & _ENCRYPTED:
        raise UserError(f"{label} is encrypted ({shown}). Pack the folder without a password.")
    if (info.external_attr >> 16) & 0o170000 == 0o120000:
        raise UserError(f"{label} holds a link ({shown}), which is not followed. Pack the files themselves.")
