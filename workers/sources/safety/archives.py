"""Whether a zip is what its directory says: read by hand where zipfile would forgive or would have no cap."""

from __future__ import annotations

import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from workers.kit import UserError
from workers.sources.formats.archive import members

MAX_MEMBERS = 50_000
MAX_DIRECTORY_BYTES = 8 * 2**20
# Where a member has this flag, its sums follow its bytes: signature, sum and two sizes of 4 or 8 bytes.
_HAS_DESCRIPTOR = 0x8
_DESCRIPTORS = (struct.Struct("<4s3L"), struct.Struct("<4sL2Q"))
_KNOWN_FLAGS = 0x2 | 0x4 | _HAS_DESCRIPTOR | 0x800
_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCAL = struct.Struct("<4s5H3L2H")


@dataclass(frozen=True)
class _Directory:
    """Where the directory starts, and how many members it says to list."""

    start: int
    count: int


def sound_members(path: Path) -> dict[str, zipfile.ZipInfo]:
    """The members by name, if the archive has one reading only.

    Raises UserError if it is a bomb (ratio, overlapping or too many members), if a member's local header differs from
    the directory (name, flags, method, sum, sizes), if bytes belong to no member, or if something stands before or
    behind the archive.
    """
    directory = _directory(path)
    infos = members(path)
    if len(infos) != directory.count:
        raise UserError(f"{path.name} has an archive directory that does not list what it says.")
    folded = {name.replace("\\", "/").strip("/").lower() for name in infos}
    if len(folded) != len(infos) or any(info.orig_filename != info.filename for info in infos.values()):
        raise UserError(f"{path.name} has members whose names can be read in two ways.")
    position = 0
    with path.open("rb") as handle:
        for info in sorted(infos.values(), key=lambda info: info.header_offset):
            if info.header_offset < position:
                raise UserError(f"{path.name} has members that overlap, as zip bombs do.")
            if info.header_offset > position:
                raise UserError(f"{path.name} has bytes that belong to no member, before {_shown(info.filename)}.")
            position = _end_of_member(path.name, handle, info)
            if position > directory.start:
                raise UserError(f"{path.name} has a member that reaches over its end ({_shown(info.filename)}).")
    if position != directory.start:
        raise UserError(f"{path.name} has bytes between its last member and its directory that belong to neither.")
    return infos


def _shown(name: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in name[-60:])


def _directory(path: Path) -> _Directory:
    """The directory as the end of the file states it; the archive must fill the file."""
    size = path.stat().st_size
    with path.open("rb") as handle:
        handle.seek(max(0, size - _END.size))
        tail = handle.read(_END.size)
        if len(tail) < _END.size or not tail.startswith(b"PK\x05\x06") or tail[-2:] != b"\0\0":
            raise UserError(f"{path.name} is a cut-off archive, or something follows the archive in it.")
        _, disk, first_disk, here, count, length, start, _ = _END.unpack(tail)
        end = size - _END.size
        if end >= _END64_LOCATOR.size:
            handle.seek(end - _END64_LOCATOR.size)
            locator = handle.read(_END64_LOCATOR.size)
            if locator.startswith(b"PK\x06\x07"):
                _, _, at, _ = _END64_LOCATOR.unpack(locator)
                if at + _END64.size != end - _END64_LOCATOR.size:
                    raise UserError(f"{path.name} has an archive directory of an unusual form.")
                handle.seek(at)
                signature, _, _, _, disk, first_disk, here, count, length, start = _END64.unpack(
                    handle.read(_END64.size)
                )
                if signature != b"PK\x06\x06":
                    raise UserError(f"{path.name} has an archive directory of an unusual form.")
                end = at
    if disk or first_disk or here != count:
        raise UserError(f"{path.name} is one part of an archive in several parts.")
    if count > MAX_MEMBERS or length > MAX_DIRECTORY_BYTES:
        raise UserError(f"{path.name} lists {count:,} members; more than {MAX_MEMBERS:,} are not read.")
    if start + length != end:
        raise UserError(f"{path.name} has something before its archive, or an archive directory that lies elsewhere.")
    return _Directory(start, count)


def _end_of_member(label: str, handle: IO[bytes], info: zipfile.ZipInfo) -> int:
    """The position behind a member, whose local header and descriptor must say what the directory says."""
    name = _shown(info.filename)
    handle.seek(info.header_offset)
    head = handle.read(_LOCAL.size)
    if len(head) < _LOCAL.size:
        raise UserError(f"{label} is cut off (in {name}).")
    signature, _, flags, method, _, _, crc, packed, unpacked, name_length, extra_length = _LOCAL.unpack(head)
    written, extra = handle.read(name_length), handle.read(extra_length)
    # As zipfile reads the names of the directory.
    stated = info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437", "replace")
    if signature != b"PK\x03\x04" or written != stated:
        raise UserError(f"{label} has a member with two names ({name}).")
    if flags != info.flag_bits or method != info.compress_type or flags & ~_KNOWN_FLAGS:
        raise UserError(f"{label} has a member that is marked in two ways, or encrypted ({name}).")
    if method not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise UserError(f"{label} has a member that is packed in an unusual way ({name}).")
    end: int = info.header_offset + _LOCAL.size + name_length + extra_length + info.compress_size
    sums = (info.CRC, info.compress_size, info.file_size)
    if not flags & _HAS_DESCRIPTOR:
        if (crc, *_sizes64(extra, packed, unpacked)) != sums:
            raise UserError(f"{label} has a member with two sums or sizes ({name}).")
        return end
    handle.seek(end)
    tail = handle.read(_DESCRIPTORS[-1].size)
    for form in _DESCRIPTORS:
        if len(tail) >= form.size and form.unpack_from(tail) == (b"PK\x07\x08", *sums):
            return end + form.size
    raise UserError(f"{label} has a member with two sums or sizes ({name}).")


def _sizes64(extra: bytes, packed: int, unpacked: int) -> tuple[int, int]:
    """The sizes of a local header, from its zip64 field where they do not fit."""
    if 0xFFFFFFFF not in (packed, unpacked):
        return packed, unpacked
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1 and length >= 16 and at + 20 <= len(extra):
            wide: tuple[int, int] = struct.unpack_from("<2Q", extra, at + 4)
            return wide[1], wide[0]
        at += 4 + length
    return packed, unpacked
