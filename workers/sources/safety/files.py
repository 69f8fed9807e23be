"""How safe one file is: what it is by its content, then the checks of that format, all under caps.

Doubt is "unknown". A file that can be read as two things, or that a reader stumbles over, is never better than that.
"""

from __future__ import annotations

import io
import mmap
import re
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from workers.kit import UserError
from workers.sources.formats import onnx_file, tfjs, torch_files
from workers.sources.formats.archive import member_bytes
from workers.sources.formats.safetensors_file import is_safetensors
from workers.sources.headers import identify, read_headers
from workers.sources.safety import arrays, legacy, pickles
from workers.sources.safety.archives import sound_members
from workers.sources.safety.levels import FileSafety, Finding
from workers.sources.safety.messages import check_onnx

MAX_JSON_BYTES = 16 * 2**20
MAX_MEMBER_BYTES = 64 * 2**20
# Of a storage, which no loader unpickles, so much is looked at.
MAX_STORAGE_PEEK = 2**16
MAX_HEADER_FILES = 100
_HEAD_BYTES = 4096
# fmt: off
_ARCHIVES = {
    b"7z\xbc\xaf\x27\x1c": "7z", b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd", b"Rar!\x1a\x07": "rar", b"\x04\x22\x4d\x18": "lz4", b"PK\x05\x06": "zip",
    b"PK\x07\x08": "zip", b"\x5d\0\0": "lzma", b"ZF": "joblib-zlib",
}
# fmt: on
_NUMBERS_ONLY = frozenset({"safetensors", "gguf", "npz", "onnx", "tfjs"})
_TORCH_PICKLES = re.compile(r"[^/]+/(data|constants)\.pkl")
_TORCH_STORAGES = re.compile(r"[^/]+/(data|constants)/[0-9]{1,9}")
_TORCH_FACTS = re.compile(
    r"[^/]+/(version|byteorder|\.format_version|\.storage_alignment|\.data/serialization_id|\.data/[0-9]{1,9})"
)
_ORDER = {"import": 0, "polyglot": 1, "disagreement": 2, "unlisted-import": 3}


def file_safety(path: Path, *, companions: Sequence[Path] = ()) -> FileSafety:
    """How safe a file is to load, by its content; its name and extension count for nothing.

    companions  the other files of the model, for formats that name part files (TensorFlow.js, ONNX external data)
    Reads at most a few hundred megabytes and never raises: a file that cannot be read or judged is "unknown".
    """
    try:
        with warnings.catch_warnings():
            # Texts of protocol 0 with odd escapes make Python warn of code that nobody wrote.
            warnings.simplefilter("ignore", DeprecationWarning)
            kind, findings, level = _judge(path, list(companions)[:MAX_HEADER_FILES])
    except UserError as error:
        kind, findings, level = "unknown", [Finding("structure", error.message)], "unknown"
    except Exception as error:  # a scanner that stumbles has not found the file clean
        sentence = f"Reading it failed ({type(error).__name__}), so it could not be judged."
        kind, findings, level = "unknown", [Finding("error", sentence)], "unknown"
    if any(finding.kind == "import" for finding in findings):
        level = "flagged"
    findings = sorted(findings, key=lambda finding: _ORDER.get(finding.kind, 9))[: pickles.MAX_FINDINGS]
    return FileSafety(level, kind, tuple(findings), _sentence(level, kind, findings))


Judgement = tuple[str, list[Finding], str]


def _judge(path: Path, companions: list[Path]) -> Judgement:
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path.name} is no regular file.")  # a pipe would never end
        size = path.stat().st_size
        with path.open("rb") as handle:
            head = handle.read(pickles.SALVAGE_BYTES)
    except OSError as error:
        raise UserError(f"{path.name} cannot be read ({error.strerror or error}).") from error
    if not size:
        raise UserError(f"{path.name} is empty.")
    kind, check = _kind(path, head, size, companions)
    try:
        findings, level = check()
    except UserError as error:
        findings, level = [Finding("structure", error.message), *pickles.salvage(io.BytesIO(head))], "unknown"
    second = _second_nature(path, head, kind)
    if second and level != "flagged":
        findings, level = [*findings, Finding("polyglot", second)], "unknown"
    return kind, findings, level


Check = Callable[[], tuple[list[Finding], str]]


def _kind(path: Path, head: bytes, size: int, companions: list[Path]) -> tuple[str, Check]:
    """What the file is by its first bytes, and the check to make; cheap, so that no reader meets what it cannot cap."""
    if head.startswith(b"PK\x03\x04"):
        return _zip_kind(path)
    packed = next((name for magic, name in _ARCHIVES.items() if head.startswith(magic)), "")
    if packed and not is_safetensors(head, size):
        return packed, lambda: ([Finding("archive", f"It is packed ({packed}) and was not unpacked.")], "unknown")
    if _is_tar(head):
        return "tar", lambda: legacy.check_tar(path)
    if head.startswith(b"\x93NUMPY"):
        return "npy", lambda: arrays.check_npy(path, size=size)
    if head[:1] == b"\x80" and head[2:].startswith(torch_files.MAGIC):
        return "torch-legacy", lambda: legacy.check_torch(path)
    if head[:1] in {b"{", b" ", b"\t", b"\r", b"\n", b"\xef"} and size > MAX_JSON_BYTES:
        raise UserError(f"{path.name} is a text of more than {MAX_JSON_BYTES:,} bytes and was not read.")
    if head[:1] == b"\x08":
        check_onnx(path)
    kind = identify(path)
    if kind in _NUMBERS_ONLY:
        return kind, lambda: _numbers(path, companions)
    if _is_part(path, companions):
        return "numbers", lambda: ([], "safe-format")
    if pickles.looks_like_pickle(head):
        return "pickle", lambda: _pickle(path, size)
    return "unknown", lambda: _unknown(path, head)


def _part_names(path: Path) -> set[str]:
    """The names of the files in which an ONNX or TensorFlow.js model keeps its numbers."""
    with path.open("rb") as handle:
        start = handle.read(1)
    if start == b"\x08":
        check_onnx(path)
        return onnx_file.part_names(path) if identify(path) == "onnx" else set()
    content = tfjs.parsed(path) if path.stat().st_size <= MAX_JSON_BYTES else None
    return tfjs.shard_names(content) if content and tfjs.is_tfjs(content) else set()


def _is_part(path: Path, companions: list[Path]) -> bool:
    """Whether another file of the model, itself sound, names this one as the place of its numbers."""
    owners = (other for other in companions if other != path and path.name in _part_names(other))
    return any(read_headers([owner, path]) for owner in owners)


def _numbers(path: Path, companions: list[Path]) -> tuple[list[Finding], str]:
    named = _part_names(path) if companions else set()
    if not read_headers([path, *(other for other in companions if other.name in named)]):
        return [Finding("structure", "It holds no tensor.")], "unknown"
    return [], "safe-format"


def _pickle(path: Path, size: int) -> tuple[list[Finding], str]:
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as source:
        reading = pickles.read_all(source, size=size)
    return reading.findings, "pickle-clean" if reading.is_clean else "unknown"


def _unknown(path: Path, head: bytes) -> tuple[list[Finding], str]:
    findings = pickles.salvage(io.BytesIO(head))
    try:
        read_headers([path])
    except UserError as error:
        findings.append(Finding("structure", error.message))
    return findings, "unknown"


def _zip_kind(path: Path) -> tuple[str, Check]:
    listed = sound_members(path)
    kind = identify(path)
    if kind == "npz":
        return "npz", lambda: arrays.check_npz(path, listed)
    if kind == "torch-zip":
        return "torch-zip", lambda: _torch_zip(path, listed)
    return "zip", lambda: _other_zip(path, listed)


def _torch_zip(path: Path, listed: dict[str, zipfile.ZipInfo]) -> tuple[list[Finding], str]:
    """Every member is looked at: pickles are read whole, storages at their start, anything else is unknown."""
    findings: list[Finding] = []
    is_clean, peeks = True, 0
    for name, info in listed.items():
        if _TORCH_PICKLES.fullmatch(name):
            reading = _member_pickle(path, info)
            findings += reading.findings
            is_clean = is_clean and reading.is_clean and reading.count == 1
        elif _TORCH_STORAGES.fullmatch(name):
            start = bytes(member_bytes(path, info, limit=MAX_STORAGE_PEEK if peeks < 1000 else 16))
            peeks += 1
            found = _hidden(start, name)
            findings += found
            is_clean = is_clean and not found
        elif not _TORCH_FACTS.fullmatch(name) or info.file_size > _HEAD_BYTES:
            is_clean = False
            findings.append(Finding("structure", "It has a member that a checkpoint does not need.", _shown(name)))
            findings += _evidence(path, info)
        if len(findings) > pickles.MAX_FINDINGS:
            is_clean = False
            break
    return findings, "pickle-clean" if is_clean else "unknown"


def _hidden(start: bytes, name: str) -> list[Finding]:
    """What a storage is that is more than numbers: an archive, or a pickle that names an import."""
    for magic, kind in {b"PK\x03\x04": "zip", **_ARCHIVES}.items():
        if len(magic) > 3 and start.startswith(magic):
            return [Finding("archive", f"A storage of it is an archive ({kind}).", _shown(name))]
    if pickles.looks_like_pickle(start) and pickles.imports_at_start(start):
        found = pickles.salvage(io.BytesIO(start), place=_shown(name))
        return found or [Finding("polyglot", "A storage of it reads as a pickle that imports something.", _shown(name))]
    return []


def _other_zip(path: Path, listed: dict[str, zipfile.ZipInfo]) -> tuple[list[Finding], str]:
    """An archive of no weight format: unknown, but what runs commands inside is still named."""
    findings = [Finding("archive", "It is an archive of other files.")]
    for info in list(listed.values())[:1000]:
        findings += _evidence(path, info)
    return findings, "unknown"


def _evidence(path: Path, info: zipfile.ZipInfo) -> list[Finding]:
    start = bytes(member_bytes(path, info, limit=pickles.SALVAGE_BYTES))
    if not pickles.looks_like_pickle(start):
        return pickles.salvage(io.BytesIO(start), place=_shown(info.filename))
    return [one for one in _member_pickle(path, info).findings if one.kind == "import"]


def _member_pickle(path: Path, info: zipfile.ZipInfo) -> pickles.Reading:
    place = _shown(info.filename)
    if info.file_size > MAX_MEMBER_BYTES:
        sentence = f"A pickle in it is larger than {MAX_MEMBER_BYTES:,} bytes and was not read."
        return pickles.Reading(findings=[Finding("cap", sentence, place)], is_whole=False)
    return pickles.read_all(io.BytesIO(member_bytes(path, info)), size=info.file_size, place=place)


def _second_nature(path: Path, head: bytes, kind: str) -> str:
    """Why the file can be read as something else too; empty if it cannot."""
    is_zip = kind in {"npz", "torch-zip", "zip"}
    if not is_zip and zipfile.is_zipfile(path):
        return f"It starts as {kind} and ends as a zip archive."
    if kind != "tar" and _is_tar(head):
        return f"It starts as {kind} and is a tar archive too."
    if kind in _NUMBERS_ONLY | {"npy", "numbers"} and pickles.imports_at_start(head):
        return f"It starts as {kind} and reads as a pickle too."
    return ""


def _is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"


def _shown(name: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in name[-100:])


def _sentence(level: str, kind: str, findings: list[Finding]) -> str:
    if level == "safe-format":
        return f"Numbers only ({kind}), and the header is sound."
    if level == "pickle-clean":
        return "A Python pickle in which two readers found only imports known to be harmless; that is no proof."
    if level == "flagged":
        names = sorted({finding.name for finding in findings if finding.kind == "import"})
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return f"It would use {', '.join(names[:3])}{more} when loaded the usual way. Do not load it."
    return f"It could not be judged: {findings[0].sentence}" if findings else "It could not be judged."
