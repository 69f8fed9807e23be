"""Arrays of numpy: files and archives whose numbers are plain, and those that hold pickled objects."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from workers.kit import UserError
from workers.sources.formats.archive import member_bytes
from workers.sources.safety import pickles
from workers.sources.safety.levels import Finding

MAX_OBJECT_BYTES = 64 * 2**20
_HEADER_BYTES = 12 + 65_536
_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def check_npy(path: Path, *, size: int) -> tuple[list[Finding], str]:
    """A single array: "safe-format" if its numbers fill the file, else what its pickle holds."""
    with path.open("rb") as handle:
        head = handle.read(_HEADER_BYTES)
        start, values = _header(head, path.name)
        if values is not None:
            is_exact = start + values == size
            return ([], "safe-format") if is_exact else ([_wrong_size()], "unknown")
        if size > MAX_OBJECT_BYTES:
            return [
                Finding("cap", f"Its objects take more than {MAX_OBJECT_BYTES:,} bytes and were not read.")
            ], "unknown"
        handle.seek(start)
        source = io.BytesIO(handle.read(size - start))
    reading = pickles.read_all(source, size=size - start)
    return reading.findings, "pickle-clean" if reading.is_clean else "unknown"


def check_npz(path: Path, listed: dict[str, zipfile.ZipInfo]) -> tuple[list[Finding], str]:
    """An archive of arrays: "safe-format" if all are plain numbers, else what their pickles hold."""
    findings: list[Finding] = []
    has_objects, is_clean = False, True
    for name, info in listed.items():
        start, values = _header(bytes(member_bytes(path, info, limit=_HEADER_BYTES)), name)
        if values is not None:
            if start + values != info.file_size:
                findings.append(_wrong_size(name))
                is_clean = False
            continue
        has_objects = True
        if info.file_size > MAX_OBJECT_BYTES:
            findings.append(Finding("cap", f"Its objects take more than {MAX_OBJECT_BYTES:,} bytes.", name[-100:]))
            is_clean = False
            continue
        source = io.BytesIO(member_bytes(path, info))
        source.seek(start)
        reading = pickles.read_all(source, size=info.file_size, place=name[-100:])
        findings += reading.findings
        is_clean = is_clean and reading.is_clean
        if len(findings) > pickles.MAX_FINDINGS:
            break
    if not is_clean:
        return findings, "unknown"
    return findings, "pickle-clean" if has_objects else "safe-format"


def _wrong_size(name: str = "") -> Finding:
    return Finding("structure", "An array does not have the bytes that its shape needs.", name[-100:])


def _header(head: bytes, label: str) -> tuple[int, int | None]:
    """Where the values start, and how many bytes they take; None for Python objects, which are a pickle."""
    handle = io.BytesIO(head)
    try:
        version = np.lib.format.read_magic(handle)
        shape, _, dtype = _READERS[version](handle)
        count = 1
        for length in shape:
            count *= int(length)
    except (ValueError, TypeError, SyntaxError, KeyError, OverflowError) as error:
        raise UserError(f"{label[-100:]} is an array with a damaged header.") from error
    if dtype.hasobject:
        return handle.tell(), None
    return handle.tell(), count * dtype.itemsize
