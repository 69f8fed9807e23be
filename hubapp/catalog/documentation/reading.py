"""A card's body as sections: heading, text, code and tables, each line once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

MOST_BODY = 200_000
MOST_SECTIONS = 1_000
MOST_LINE = 2_000
# Lines all in bold are headings in many cards; they rank below the real ones.
BOLD_LEVEL = 7

_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+|$|(?=[^\s#]))(.*)")
_HTML_HEADING = re.compile(r"\s{0,8}<h([1-6])[^<>]{0,200}>([^<>]{1,200})", re.IGNORECASE)
_BOLD = re.compile(r"\s{0,3}(?:[-*]\s)?\*\*([^*]{2,80})\*\*[ :]{0,3}(.*)")
_FENCE = re.compile(r"\s{0,8}(`{3,}|~{3,})")
_UNDERLINE = re.compile(r" {0,3}(=+|-{3,})\s*")


@dataclass(kw_only=True)
class Part:
    """A heading and what stands below it up to the next heading of any level; level 0 is what precedes the first."""

    level: int
    title: str
    lines: list[str] = field(default_factory=list)
    code: list[str] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The prose, without code and tables."""
        return "\n".join(self.lines)


def without_comments(text: str) -> str:
    """The text without HTML comments; one that is never closed hides the rest."""
    kept, start = [], 0
    while (begin := text.find("<!--", start)) >= 0:
        kept.append(text[start:begin])
        end = text.find("-->", begin + 4)
        if end < 0:
            return "".join(kept)
        start = end + 3
    kept.append(text[start:])
    return "".join(kept)


def card_parts(body: str) -> list[Part]:
    """The parts of a card in order; what is beyond the caps is left out."""
    parts = [Part(level=0, title="")]
    fence = ""
    code: list[str] = []
    for raw in without_comments(body[:MOST_BODY]).splitlines():
        line = raw[:MOST_LINE]
        part = parts[-1]
        if fence:
            if line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                part.code.append("\n".join(code))
                fence, code = "", []
            else:
                code.append(line)
        elif opened := _FENCE.match(line):
            fence = opened.group(1)
        elif len(parts) < MOST_SECTIONS and (found := _heading(line, part)):
            parts.append(found)
        elif line.lstrip().startswith("|") or line.count("|") >= 2:
            part.rows.append(line)
        elif line.startswith(("    ", "\t")) and line.strip() and not "".join(part.lines[-1:]).strip():
            part.code.append(line)
        else:
            part.lines.append(line)
    if code:
        parts[-1].code.append("\n".join(code))
    return parts


def _heading(line: str, part: Part) -> Part | None:
    if found := _HEADING.match(line):
        return Part(level=len(found.group(1)), title=found.group(2).strip().rstrip("#").strip())
    if found := _HTML_HEADING.match(line):
        return Part(level=int(found.group(1)), title=found.group(2).strip())
    if part.lines and part.lines[-1].strip() and (found := _UNDERLINE.fullmatch(line)):
        title = part.lines[-1].strip()
        if len(title) <= 120 and (found.group(1)[0] == "=" or len(part.lines) < 2 or not part.lines[-2].strip()):
            part.lines.pop()
            return Part(level=1 if found.group(1)[0] == "=" else 2, title=title)
    if found := _BOLD.fullmatch(line):
        rest = found.group(2).strip()
        return Part(level=BOLD_LEVEL, title=found.group(1).strip().rstrip(":"), lines=[rest] if rest else [])
    return None


def part_with_below(parts: Sequence[Part], place: int) -> list[Part]:
    """A part and the parts below it: up to the next heading of its own level or a higher one."""
    level = parts[place].level
    end = place + 1
    while end < len(parts) and parts[end].level > level > 0:
        end += 1
    return list(parts[place:end])
