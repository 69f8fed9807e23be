"""Zip archives of weights: listed under bounds, stored members read at their offset."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO, cast

from workers.kit import UserError
from workers.sources.formats.stored import INFLATION_FLOOR_BYTES, MAX_INFLATION, cut_off

MAX_MEMBERS = 200_000
MAX_DIRECTORY_BYTES = 2**24
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_ENCRYPTED = 0x1
_BLOCK_BYTES = 2**18
ERRORS = (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)


class _ShortReads:
    """A file as `zipfile` uses it, whose directory it reads in one piece: one that costs gigabytes is no zip."""

    def __init__(self, handle: BinaryIO) -> None:
        self.seek = handle.seek
        self.tell = handle.tell
        self.seekable = handle.seekable
        self._read = handle.read

    def read(self, size: int = -1) -> bytes:
        if size > MAX_DIRECTORY_BYTES:
            raise zipfile.BadZipFile(f"directory of {size:,} bytes")
        return self._read(size)


def listing(handle: BinaryIO) -> list[zipfile.ZipInfo]:
    """The directory of an opened archive, unchecked; raises one of ERRORS if it is damaged or above 16 MB."""
    with zipfile.ZipFile(cast(BinaryIO, _ShortReads(handle))) as archive:
        return archive.infolist()


def members(path: Path) -> dict[str, zipfile.ZipInfo]:
    """The members of the archive by name; raises UserError as `members_of` does."""
    with path.open("rb") as handle:
        return members_of(handle, size=path.stat().st_size, label=path.name)


def members_of(handle: BinaryIO, *, size: int, label: str) -> dict[str, zipfile.ZipInfo]:
    """The members of an opened archive of `size` bytes by name; only its directory is read.

    Raises UserError if it is no whole zip, has too many or doubled members, is encrypted, or states far more bytes than
    it has (a zip bomb).
    """
    try:
        infos = listing(handle)
    except ERRORS as error:
        raise cut_off(label) from error
    if len(infos) > MAX_MEMBERS or len({info.filename for info in infos}) != len(infos):
        raise UserError(f"{label} has too many or doubled members for a weight archive. Use another file.")
    if any(info.flag_bits & _ENCRYPTED for info in infos):
        raise UserError(f"{label} is an encrypted archive. Unpack it first.")
    if sum(info.file_size for info in infos) > max(INFLATION_FLOOR_BYTES, MAX_INFLATION * size):
        raise UserError(f"{label} would unfold to far more than its {size:,} bytes, as zip bombs do. Use another file.")
    if any(info.file_size > size for info in infos if info.compress_type == zipfile.ZIP_STORED):
        raise cut_off(label)
    return {info.filename: info for info in infos}


def member_bytes(path: Path, info: zipfile.ZipInfo, *, limit: int | None = None) -> bytearray:
    """The bytes of one member, at most `limit`; `members` has bounded them. Raises UserError if they are damaged.

    Read without `zipfile`, which parses the whole directory again for every member of a reopened file.
    """
    with path.open("rb") as handle:
        return member_bytes_of(handle, info, size=path.stat().st_size, label=path.name, limit=limit)


def member_bytes_of(
    handle: BinaryIO, info: zipfile.ZipInfo, *, size: int, label: str, limit: int | None = None
) -> bytearray:
    """As `member_bytes`, of an opened archive of `size` bytes."""
    wanted = info.file_size if limit is None else min(limit, info.file_size)
    damaged = UserError(f"{label} is damaged (in {info.filename[-60:]}). Download the file again.")
    inflate = zlib.decompressobj(-zlib.MAX_WBITS) if info.compress_type == zipfile.ZIP_DEFLATED else None
    if inflate is None and info.compress_type != zipfile.ZIP_STORED:
        raise UserError(f"{label} is packed in an unusual way. Unpack it and save it again.")
    data, filled, left = bytearray(wanted), 0, info.compress_size
    handle.seek(_offset_in(handle, info, size=size, label=label))
    while filled < wanted:
        # Small pieces, so that the member is in memory once.
        room = min(_BLOCK_BYTES, wanted - filled)
        packed = inflate.unconsumed_tail if inflate else b""
        if not packed:
            packed = handle.read(min(left, _BLOCK_BYTES if inflate else room))
            left -= len(packed)
        try:
            piece = inflate.decompress(packed, room) if inflate else packed
        except zlib.error as error:
            raise damaged from error
        if not piece and not (packed and left):
            raise damaged
        data[filled : filled + len(piece)] = piece
        filled += len(piece)
    if wanted == info.file_size and zlib.crc32(data) != info.CRC:
        raise damaged
    return data


def stored_offset(path: Path, info: zipfile.ZipInfo) -> int:
    """Where the bytes of a member start in the file; raises UserError if its local header is damaged."""
    with path.open("rb") as handle:
        return _offset_in(handle, info, size=path.stat().st_size, label=path.name)


def _offset_in(handle: BinaryIO, info: zipfile.ZipInfo, *, size: int, label: str) -> int:
    # Where bytes were cut off or added in front, zipfile computes an offset that may be negative.
    if info.header_offset < 0:
        raise cut_off(label)
    handle.seek(info.header_offset)
    header = handle.read(_LOCAL_HEADER.size)
    if len(header) != _LOCAL_HEADER.size:
        raise cut_off(label)
    signature, *_, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    offset = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length
    is_uneven = info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size
    if signature != b"PK\x03\x04" or is_uneven or offset + info.compress_size > size:
        raise UserError(f"{label} is damaged (in {info.filename[-60:]}). Download the file again.")
    return int(offset)
