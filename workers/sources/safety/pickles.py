"""Pickles read as opcodes by two readers that know nothing of one another; nothing is imported or called.

The first is `workers.sources.opcodes`, a machine that keeps the stack and the memo; the second is picklescan's scan of
one stream of bytes. picklescan's readers of paths, zips and 7z archives are never used: they have no caps.
"""

from __future__ import annotations

import io
import logging
import pickletools
import re
from dataclasses import dataclass, field
from typing import Any

from picklescan import scanner

from workers.kit import UserError
from workers.sources.inert import Global, Pickle
from workers.sources.opcodes import read_pickle
from workers.sources.safety.imports import import_kind
from workers.sources.safety.levels import Finding

MAX_PICKLE_BYTES = 256 * 2**20
# picklescan keeps every opcode of a stream in a list, about 200 bytes each.
MAX_OPCODES = 1_000_000
MAX_PICKLES = 64
# picklescan spells out the memo's values at every STACK_GLOBAL.
MAX_SPELLED_BYTES = 2**30
SALVAGE_BYTES = 2**16
MAX_FINDINGS = 50
_LABEL = "The pickle"
_WOULD_RUN = re.compile(rf"{_LABEL} would run (?P<path>.+) when loaded the usual way\.", re.DOTALL)
_IMPORTS = frozenset({"GLOBAL", "INST", "STACK_GLOBAL"})
# The names of what a pickle imports come with warnings of our own.
logging.getLogger("picklescan").setLevel(logging.CRITICAL)


@dataclass
class Reading:
    """What two readers found in the pickles of one stream.

    count     whole pickles that were read
    is_whole  whether each was read to its end by both readers, which agree
    last      the last whole pickle
    """

    findings: list[Finding] = field(default_factory=list)
    count: int = 0
    is_whole: bool = True
    last: Pickle | None = None

    @property
    def is_flagged(self) -> bool:
        """Whether an import runs commands or opens files."""
        return any(finding.kind == "import" for finding in self.findings)

    @property
    def is_clean(self) -> bool:
        """Whether at least one pickle is there, all are whole, and nothing was found."""
        return self.count > 0 and self.is_whole and not self.findings


def read_one(source: Any, reading: Reading, *, place: str = "") -> bool:
    """Read one pickle at the position of `source` with both readers and add what they find; whether it was whole."""
    start = source.tell()
    try:
        _bounded(source)
        source.seek(start)
        pickle = read_pickle(source, label=_LABEL)
    except UserError as error:
        reading.is_whole = False
        _add_error(reading, error.message, place)
        source.seek(start)
        _salvage(source, reading, place)
        return False
    end = source.tell()
    source.seek(start)
    ours = {(found.module, found.name) for found in pickle.globals}
    theirs, verdicts = _second_reader(source, is_whole=True)
    if theirs is None or theirs != ours or source.tell() not in {end, end - 1}:
        reading.is_whole = False
        _add(reading, Finding("disagreement", "Two readers of the pickle do not agree on what it imports.", place))
    # The second reader writes "unknown" for what it cannot follow.
    named = {pair for pair in theirs or () if "unknown" not in pair}
    for module, name in sorted(ours | named):
        _judge(reading, Global(module, name), place, is_denied=verdicts.get((module, name), False))
    source.seek(end)
    reading.count += 1
    reading.last = pickle
    return True


def read_all(source: Any, *, size: int, place: str = "") -> Reading:
    """Read pickle after pickle to the end of the source; what follows the last one and is no pickle is a finding."""
    reading = Reading()
    if size > MAX_PICKLE_BYTES:
        reading.is_whole = False
        _add(reading, Finding("cap", f"The pickle is larger than {MAX_PICKLE_BYTES:,} bytes and was not read.", place))
        _salvage(source, reading, place)
        return reading
    while source.tell() < size:
        if reading.count >= MAX_PICKLES:
            reading.is_whole = False
            _add(reading, Finding("cap", f"More than {MAX_PICKLES} pickles follow one another.", place))
            break
        if not read_one(source, reading, place=place):
            break
    return reading


def looks_like_pickle(head: bytes) -> bool:
    """Whether the bytes start as pickles do: with a protocol, or with a container or an import of protocol 0."""
    return (head[:1] == b"\x80" and len(head) > 1 and head[1] <= 5) or head[:1] in {b"}", b"]", b"c", b"(", b"i"}


def imports_at_start(data: bytes) -> bool:
    """Whether the bytes, read as a pickle whatever they are, come to name an import: a file that is two things."""
    try:
        for count, (opcode, _, _) in enumerate(pickletools.genops(io.BytesIO(data[:SALVAGE_BYTES]))):
            # STACK_GLOBAL takes two texts from the stack; numpy's magic starts with that byte.
            if opcode.name in _IMPORTS and (count >= 2 or opcode.name != "STACK_GLOBAL"):
                return True
    except (ValueError, IndexError, UnicodeError, OverflowError):
        return False
    return False


def salvage(source: Any, *, place: str = "") -> list[Finding]:
    """Dangerous imports that the second reader sees in the first 64 KiB of something that is no whole pickle."""
    reading = Reading()
    _salvage(source, reading, place)
    return reading.findings


def _bounded(source: Any) -> None:
    """Raises UserError for a pickle that the second reader could not read in bounded time and memory."""
    lookups = longest = 0
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(source)):
            if count >= MAX_OPCODES:
                raise UserError(f"{_LABEL} has more than {MAX_OPCODES:,} operations; that is no weight file.")
            lookups += opcode.name == "STACK_GLOBAL"
            if isinstance(argument, bytes | bytearray):
                longest = max(longest, len(argument))
    except (ValueError, IndexError, UnicodeError, OverflowError):
        return  # the first reader says what is wrong, and whether it comes after a dangerous import
    if lookups * longest > MAX_SPELLED_BYTES:
        raise UserError(f"{_LABEL} mixes long bytes and imports in a way that weight files do not need.")


def _second_reader(source: Any, *, is_whole: bool) -> tuple[set[tuple[str, str]] | None, dict[tuple[str, str], bool]]:
    try:
        result = scanner.scan_pickle_bytes(source, "pickle", multiple_pickles=not is_whole)
    except Exception:  # whatever it stumbles over, it has not agreed
        return None, {}
    names = {(str(found.module), str(found.name)) for found in result.globals}
    denied = {
        (str(found.module), str(found.name)): found.safety is scanner.SafetyLevel.Dangerous for found in result.globals
    }
    return (None if result.scan_err else names), denied


def _salvage(source: Any, reading: Reading, place: str) -> None:
    _, verdicts = _second_reader(io.BytesIO(source.read(SALVAGE_BYTES)), is_whole=False)
    for (module, name), is_denied in sorted(verdicts.items()):
        found = Global(module, name)
        if import_kind(found) == "flagged" or (is_denied and "unknown" not in (module, name)):
            _judge(reading, found, place, is_denied=is_denied)


def _judge(reading: Reading, found: Global, place: str, *, is_denied: bool) -> None:
    kind = import_kind(found)
    shown = _shown(found.path)
    if kind == "flagged" or (is_denied and "unknown" not in (found.module, found.name)):
        _add(reading, Finding("import", f"It would use {shown} when loaded the usual way.", place, shown))
    elif kind == "unlisted":
        _add(reading, Finding("unlisted-import", f"It imports {shown}, which is on no list.", place, shown))


def _add_error(reading: Reading, message: str, place: str) -> None:
    would_run = _WOULD_RUN.match(message)
    if would_run:
        shown = _shown(would_run["path"])
        _add(reading, Finding("import", f"It would use {shown} when loaded the usual way.", place, shown))
    else:
        _add(reading, Finding("cap" if "more than" in message else "error", message, place))


def _add(reading: Reading, finding: Finding) -> None:
    if finding not in reading.findings and len(reading.findings) < MAX_FINDINGS:
        reading.findings.append(finding)


def _shown(path: str) -> str:
    """A name from a stranger, short and printable."""
    text = "".join(char if char.isprintable() else "?" for char in path[:120])
    return text + "…" if len(path) > 120 else text
