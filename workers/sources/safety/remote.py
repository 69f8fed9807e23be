"""How safe a file is as far as byte ranges tell: pickles are read whole, numbers are not downloaded.

What is judged from a part of the file says so in its sentence. Doubt is "unknown", as for files that lie here.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
from typing import BinaryIO, cast

from workers.kit import UserError
from workers.sources.formats import safetensors_file
from workers.sources.formats.archive import member_bytes_of, members_of
from workers.sources.formats.ranges import Allowance, RangeFile, RangeSource
from workers.sources.headers import identify_opened
from workers.sources.safety import pickles
from workers.sources.safety.levels import FileSafety, Finding

MAX_PICKLE_BYTES = 8 * 2**20
FIRST_PICKLE_BYTES = 2**18
MAX_MEMBERS = 50_000
_HEAD_BYTES = 4096
_LEGACY_PARTS = 5
_END = struct.Struct("<4s4H2LH")
_LOCAL = struct.Struct("<4s5H3L2H")
_PICKLES = re.compile(r"[^/]+/(data|constants)\.pkl")
_OTHERS = re.compile(
    r"[^/]+/((data|constants)/[0-9]{1,9}|version|byteorder|\.format_version|\.storage_alignment"
    r"|\.data/serialization_id|\.data/[0-9]{1,9})"
)
_NUMBERS_ONLY = frozenset({"gguf", "onnx", "tfjs"})
# fmt: off
_PACKED = {
    b"7z\xbc\xaf\x27\x1c": "7z", b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd", b"Rar!\x1a\x07": "rar", b"PK\x05\x06": "zip", b"PK\x07\x08": "zip",
}
# fmt: on
Judgement = tuple[str, list[Finding], str]


def range_safety(source: RangeSource, *, label: str, allowance: Allowance | None = None) -> FileSafety:
    """How safe a file is to load, by its content, of which byte ranges are read; its name counts for nothing.

    label      what sentences call it
    allowance  what may be transferred
    Of PyTorch files the directory and the pickles are read, of safetensors the header, of other pickles all if they
    have at most 8 MiB, of GGUF and ONNX the first bytes. What is damaged, or needs more transfer than is allowed,
    is "unknown". Raises RequestError where the hub does not answer, and UserError where not even the first bytes are
    allowed.
    """
    file = RangeFile(source, label=label, allowance=allowance, first_bytes=_HEAD_BYTES)
    size = file.size  # an error of the transfer comes here
    try:
        kind, findings, level = _judge(file, size=size, label=label)
    except UserError as error:
        if type(error) is not UserError:
            raise
        kind, findings, level = "unknown", [Finding("structure", error.message)], "unknown"
    if any(finding.kind == "import" for finding in findings):
        level = "flagged"
    findings = sorted(findings, key=lambda finding: finding.kind != "import")[: pickles.MAX_FINDINGS]
    return FileSafety(level, kind, tuple(findings), _sentence(level, kind, findings))


def _judge(file: RangeFile, *, size: int, label: str) -> Judgement:
    # A range file has all that the readers use of one, and its reads allocate no more than is there.
    handle = cast(BinaryIO, file)
    head = file.read(_HEAD_BYTES)
    if not size:
        raise UserError(f"{label} is empty.")
    packed = next((name for magic, name in _PACKED.items() if head.startswith(magic)), "")
    if packed and not safetensors_file.is_safetensors(head, size):
        return packed, [Finding("archive", f"It is packed ({packed}) and was not unpacked.")], "unknown"
    if head[257:262] == b"ustar":
        return "tar", [Finding("archive", "It is a tar archive of other files.")], "unknown"
    kind = identify_opened(handle, size=size)
    if kind == "torch-zip":
        return (kind, *_torch_zip(handle, size=size, label=label))
    if kind == "torch-legacy":
        return (kind, *_torch_legacy(file, size=size))
    if kind == "safetensors":
        file.seek(0)
        safetensors_file.read_header(handle, size=size, label=label)
        return kind, [], "safe-format"
    if kind in _NUMBERS_ONLY:
        is_two = pickles.imports_at_start(head)
        found = [Finding("polyglot", f"It starts as {kind} and reads as a pickle too.")] if is_two else []
        return kind, found, "unknown" if is_two else "safe-format"
    if kind == "npz":
        return kind, [Finding("cap", "Its arrays may hold pickles and were not read.")], "unknown"
    if pickles.looks_like_pickle(head):
        return ("pickle", *_pickle(file, size=size))
    return "unknown", pickles.salvage(io.BytesIO(head)), "unknown"


def _torch_zip(handle: BinaryIO, *, size: int, label: str) -> tuple[list[Finding], str]:
    infos = members_of(handle, size=size, label=label)
    if len(infos) > MAX_MEMBERS:
        raise UserError(f"{label} lists {len(infos):,} members; more than {MAX_MEMBERS:,} are not read.")
    _end_check(handle, size=size, count=len(infos), label=label)
    _order_check(list(infos.values()), label=label)
    findings: list[Finding] = []
    is_clean = True
    for name, info in infos.items():
        if _PICKLES.fullmatch(name):
            _local_check(handle, info, label=label)
            reading = _member(handle, info, size=size, label=label)
            findings += reading.findings
            is_clean = is_clean and reading.is_clean and reading.count == 1
        elif not _OTHERS.fullmatch(name):
            is_clean = False
            shown = "".join(letter if letter.isprintable() else "?" for letter in name[-100:])
            findings.append(Finding("structure", "It has a member that a checkpoint does not need.", shown))
        if len(findings) > pickles.MAX_FINDINGS:
            break
    return findings, "pickle-clean" if is_clean and not findings else "unknown"


def _member(handle: BinaryIO, info: zipfile.ZipInfo, *, size: int, label: str) -> pickles.Reading:
    if info.file_size > MAX_PICKLE_BYTES:
        sentence = f"A pickle in it is larger than {MAX_PICKLE_BYTES:,} bytes and was not read."
        return pickles.Reading(findings=[Finding("cap", sentence)], is_whole=False)
    data = member_bytes_of(handle, info, size=size, label=label)
    return pickles.read_all(io.BytesIO(data), size=len(data), place=info.filename[-100:])


def _end_check(handle: BinaryIO, *, size: int, count: int, label: str) -> None:
    """Raise UserError unless the archive's end is the file's end and states as many members as were listed."""
    handle.seek(max(0, size - _END.size))
    tail = handle.read(_END.size)
    if len(tail) < _END.size or not tail.startswith(b"PK\x05\x06") or tail[-2:] != b"\0\0":
        raise UserError(f"{label} is a cut-off archive, or something follows the archive in it.")
    stated = _END.unpack(tail)[4]
    if stated not in {count, 0xFFFF}:
        raise UserError(f"{label} has an archive directory that does not list what it says.")


def _order_check(infos: list[zipfile.ZipInfo], *, label: str) -> None:
    """Raise UserError if members overlap, or if the archive does not begin with one."""
    position = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < position or (not position and info.header_offset):
            raise UserError(f"{label} has members that overlap, or something before its first member.")
        position = info.header_offset + _LOCAL.size + len(info.orig_filename) + info.compress_size


def _local_check(handle: BinaryIO, info: zipfile.ZipInfo, *, label: str) -> None:
    """Raise UserError unless a member's own header says what the directory says of its name, flags and method."""
    handle.seek(max(0, info.header_offset))
    head = handle.read(_LOCAL.size)
    if len(head) < _LOCAL.size:
        raise UserError(f"{label} is cut off.")
    signature, _, flags, method, *_, length, _ = _LOCAL.unpack(head)
    name = info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437", "replace")
    stated = (b"PK\x03\x04", info.flag_bits, info.compress_type, name)
    if (signature, flags, method, handle.read(length)) != stated:
        raise UserError(f"{label} has a member that is described in two ways.")


def _torch_legacy(file: RangeFile, *, size: int) -> tuple[list[Finding], str]:
    """The five pickles at the start of a legacy file; their numbers follow."""
    reading = pickles.Reading()
    for most in (FIRST_PICKLE_BYTES, MAX_PICKLE_BYTES):
        file.seek(0)
        source, reading = io.BytesIO(file.read(min(most, size))), pickles.Reading()
        if all(pickles.read_one(source, reading) for _ in range(_LEGACY_PARTS)) or size <= most:
            break
    is_clean = reading.is_clean and reading.count == _LEGACY_PARTS
    return reading.findings, "pickle-clean" if is_clean else "unknown"


def _pickle(file: RangeFile, *, size: int) -> tuple[list[Finding], str]:
    file.seek(0)
    data = file.read(min(size, MAX_PICKLE_BYTES))
    if size > MAX_PICKLE_BYTES:
        cap = Finding("cap", f"It is a pickle of more than {MAX_PICKLE_BYTES:,} bytes and was not read whole.")
        return [cap, *pickles.salvage(io.BytesIO(data))], "unknown"
    reading = pickles.read_all(io.BytesIO(data), size=size)
    return reading.findings, "pickle-clean" if reading.is_clean else "unknown"


def _sentence(level: str, kind: str, findings: list[Finding]) -> str:
    if level == "safe-format" and kind == "safetensors":
        return "Numbers only (safetensors), and the header is sound."
    if level == "safe-format":
        return f"Numbers only ({kind}), by its first bytes; the rest lies at its hub and was not read."
    if level == "pickle-clean":
        beside = "" if kind == "pickle" else " Its numbers lie at its hub and were not read."
        return (
            "A Python pickle in which two readers found only imports known to be harmless; that is no proof." + beside
        )
    if level == "flagged":
        names = sorted({finding.name for finding in findings if finding.kind == "import"})
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return f"It would use {', '.join(names[:3])}{more} when loaded the usual way. Do not load it."
    return f"It could not be judged: {findings[0].sentence}" if findings else "It could not be judged."
