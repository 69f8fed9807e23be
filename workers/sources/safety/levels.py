"""The words for how safe a file is, from best to worst, and what was found in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Level:
    """A word for how safe files are: the key in data and URLs, the title on pages, what it means in one sentence."""

    key: str
    title: str
    meaning: str


# fmt: off
_ORDERED = (
    Level("safe-format", "Numbers only",
          "The format holds numbers and no code, and the header was read and found sound."),
    Level("pickle-clean", "Pickle, nothing found",
          "A Python pickle in which two readers found only imports known to be harmless: evidence, not a verdict."),
    Level("pickle-unscanned", "Pickle, not read",
          "By its name a Python pickle, which can run code when loaded; its bytes were not read."),
    Level("unknown", "Unknown",
          "It could not be judged: an unknown or damaged format, an archive, an unlisted import, or readers that disagree."),  # noqa: E501
    Level("flagged", "Flagged",
          "It names what runs commands or opens files when loaded the usual way; do not load it."),
)
# fmt: on
LEVELS: dict[str, Level] = {level.key: level for level in _ORDERED}
"""Every level by its key, from best to worst."""

_RANKS = {key: rank for rank, key in enumerate(LEVELS)}


@dataclass(frozen=True)
class Finding:
    """One thing that was noticed.

    kind      "import" (flagged), "unlisted-import", "structure", "polyglot", "archive", "cap", "error", "disagreement",
              "code", "hub"
    sentence  what it is, for people
    place     the member or the byte where it is; empty for the whole file
    name      the dotted name of an import; else empty
    """

    kind: str
    sentence: str
    place: str = ""
    name: str = ""


@dataclass(frozen=True)
class FileSafety:
    """How safe one file is.

    level     a key of `LEVELS`; never "pickle-unscanned", which is for files whose bytes were not read
    format    what the file is by its content ("safetensors", "torch-zip", "pickle", "7z", "unknown", ...)
    findings  what was noticed, the worst first
    sentence  the level and its reason, for people
    """

    level: str
    format: str
    findings: tuple[Finding, ...]
    sentence: str


def folder_safety(levels: Iterable[str]) -> str:
    """The worst of several levels; "unknown" for none and for words that are no level."""
    found = [level if level in _RANKS else "unknown" for level in levels]
    return max(found, key=_RANKS.__getitem__, default="unknown")
