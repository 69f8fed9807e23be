"""Torch checkpoints of the old forms: pickles in a row before raw numbers, and tar archives of such parts."""

from __future__ import annotations

import io
import mmap
from pathlib import Path
from typing import Any

from workers.kit import UserError
from workers.sources.inert import Global
from workers.sources.safety import pickles
from workers.sources.safety.levels import Finding

MAX_TAR_MEMBERS = 1000
_BLOCK = 512
_PARTS = 5
# fmt: off
_ITEM_BYTES = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "LongStorage": 8, "IntStorage": 4,
    "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1, "ComplexFloatStorage": 8,
    "ComplexDoubleStorage": 16, "UntypedStorage": 1,
}
# fmt: on


def check_torch(path: Path) -> tuple[list[Finding], str]:
    """The five pickles of a legacy file (magic, version, machine, object, storage keys), then numbers to its end."""
    reading = pickles.Reading()
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as source:
        sizes: dict[str, int] = {}
        for _ in range(_PARTS):
            if not pickles.read_one(source, reading):
                return reading.findings, "unknown"
            sizes.update(_item_bytes(reading.last))
            if source.tell() > pickles.MAX_PICKLE_BYTES:
                raise UserError(f"{path.name} has pickles of more than {pickles.MAX_PICKLE_BYTES:,} bytes.")
        keys = reading.last.tree if reading.last else None
        position = source.tell()
        for key in keys if isinstance(keys, list) else ():
            count = int.from_bytes(source[position : position + 8], "little")
            if str(key) not in sizes or count >= 2**48:
                raise UserError(f"{path.name} has a storage of unknown type or size.")
            position += 8 + count * sizes[str(key)]
        if position != len(source):
            reading.findings.append(Finding("structure", "Its storages do not end where the file ends."))
    return reading.findings, "pickle-clean" if reading.is_clean else "unknown"


def _item_bytes(pickle: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for reference in pickle.persistent_ids if pickle else ():
        value = reference.value
        if isinstance(value, tuple) and len(value) > 2 and value[0] == "storage" and isinstance(value[1], Global):
            width = _ITEM_BYTES.get(value[1].name)
            if width is not None and isinstance(value[2], str | int):
                found[str(value[2])] = width
    return found


def check_tar(path: Path) -> tuple[list[Finding], str]:
    """A tar archive, as torch wrote before 2017: never better than unknown, but what runs commands inside is named."""
    findings = [Finding("archive", "It is a tar archive of other files.")]
    size = path.stat().st_size
    with path.open("rb") as handle:
        position = 0
        for _ in range(MAX_TAR_MEMBERS):
            handle.seek(position)
            header = handle.read(_BLOCK)
            length = _octal(header[124:136])
            if len(header) < _BLOCK or not header.strip(b"\0") or length is None or position + length > size:
                break
            name = header[:100].rstrip(b"\0").decode("latin-1")
            content = handle.read(min(length, 16 * pickles.SALVAGE_BYTES))
            findings += _evidence(content, "".join(char if char.isprintable() else "?" for char in name))
            position += _BLOCK + -(-length // _BLOCK) * _BLOCK
    return findings, "unknown"


def _evidence(content: bytes, place: str) -> list[Finding]:
    """Dangerous imports in the pickles that a member starts with, and in those between its numbers."""
    source = io.BytesIO(content)
    reading = pickles.Reading()
    while source.tell() < len(content) and reading.count < pickles.MAX_PICKLES:
        if not pickles.read_one(source, reading, place=place):
            break
    return [one for one in reading.findings if one.kind == "import"]


def _octal(field: bytes) -> int | None:
    digits = field.strip(b" \0")
    return int(digits, 8) if digits and set(digits) <= set(b"01234567") else None
