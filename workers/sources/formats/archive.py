"""Zip archives of weights: listed under bounds, stored members read at their offset."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

from workers.kit import UserError
from workers.sources.formats.stored import INFLATION_FLOOR_BYTES, MAX_INFLATION, cut_off

MAX_MEMBERS = 200_000
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_ENCRYPTED = 0x1
_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)


def members(path: Path) -> dict[str, zipfile.ZipInfo]:
    """The members of the archive by name.

    Raises UserError if it is no whole zip, has too many or doubled members, is encrypted, or states far more bytes than
    it has (a zip bomb).
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except _ERRORS as error:
        raise cut_off(path.name) from error
    if len(infos) > MAX_MEMBERS or len({info.filename for info in infos}) != len(infos):
        raise UserError(f"{path.name} has too many or doubled members for a weight archive. Use another file.")
    if any(info.flag_bits & _ENCRYPTED for info in infos):
        raise UserError(f"{path.name} is an encrypted archive. Unpack it first.")
    size = path.stat().st_size
    if sum(info.file_size for info in infos) > max(INFLATION_FLOOR_BYTES, MAX_INFLATION * size):
        raise UserError(
            f"{path.name} would unfold to far more than its {size:,} bytes, as zip bombs do. Use another file."
        )
    if any(info.file_size > size for info in infos if info.compress_type == zipfile.ZIP_STORED):
        raise cut_off(path.name)
    return {info.filename: info for info in infos}


def member_bytes(path: Path, info: zipfile.ZipInfo) -> bytes:
    """The bytes of one member; `members` has bounded their number. Raises UserError if they are damaged."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(info) as handle:
            data = handle.read(info.file_size)
    except _ERRORS as error:
        raise UserError(f"{path.name} is damaged (in {info.filename[-60:]}). Download the file again.") from error
    if len(data) != info.file_size:
        raise cut_off(path.name)
    return data


def stored_offset(path: Path, info: zipfile.ZipInfo) -> int:
    """Where the bytes of an uncompressed member start in the file; raises UserError if its local header is damaged."""
    with path.open("rb") as handle:
        handle.seek(info.header_offset)
        header = handle.read(_LOCAL_HEADER.size)
    if len(header) != _LOCAL_HEADER.size:
        raise cut_off(path.name)
    signature, *_, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    offset = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length
    if signature != b"PK\x03\x04" or offset + info.file_size > path.stat().st_size:
        raise UserError(f"{path.name} is damaged (in {info.filename[-60:]}). Download the file again.")
    return int(offset)
