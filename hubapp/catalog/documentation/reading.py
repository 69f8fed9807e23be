"""A card's sections as parts to judge, with lines such as "Limitations: …" as headings of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from hubapp.catalog.cards import Section, card_sections
from hubapp.catalog.documentation.headings import heading_rules

MOST_BODY = 100_000
# A line that opens with a label ranks below the real headings.
LABEL_LEVEL = 7
MOST_LABEL_WORDS = 5
_LABEL = re.compile(r"([^\W\d_][\w &/,'()-]{2,50})(?:(:)(?:\s(.*))?)?")


@dataclass(kw_only=True)
class Part:
    """A heading and what stands below it up to the next heading of any level; level 0 is what precedes the first.

    text   the prose and the cells of tables
    code   the code blocks
    rows   the rows of tables
    links  the addresses of links
    """

    level: int
    title: str
    text: str
    code: Sequence[str] = ()
    rows: Sequence[str] = ()
    links: Sequence[str] = field(default=())


def card_parts(body: str) -> list[Part]:
    """The parts of a card in order. A labelled line is a part besides being text of the part that holds it."""
    parts = []
    for section in card_sections(body[:MOST_BODY]):
        rows = [" | ".join(row) for table in section.tables for row in table]
        parts.append(
            Part(
                level=section.level,
                title=section.title,
                text=section.text,
                code=section.code_blocks,
                rows=rows,
                links=section.links,
            )
        )
        parts += _labelled(section)
    return parts


def _labelled(section: Section) -> Iterator[Part]:
    """A part for each labelled line that a rule is about, with the lines up to the next label.

    A label begins with a capital and ends in a colon or stands alone on its line; in a table or a table of contents,
    standing alone means nothing.
    """
    is_contents = sum(link.startswith("#") for link in section.links) > 1
    cells = {cell for table in section.tables for row in table for cell in row}
    title, lines = "", [""]
    for line in section.text.split("\n"):
        found = _LABEL.fullmatch(line[:2_000])
        is_alone = found is not None and not found.group(2)
        label = "" if not found or line in cells or (is_alone and is_contents) else found.group(1)
        is_label = label[:1].isupper() and len(label.split()) <= MOST_LABEL_WORDS and bool(heading_rules(label))
        if found and (is_label or found.group(2)):
            if title:
                yield Part(level=LABEL_LEVEL, title=title, text="\n".join(lines))
            title, lines = label if is_label else "", [found.group(3) or ""]
        else:
            lines.append(line)
    if title:
        yield Part(level=LABEL_LEVEL, title=title, text="\n".join(lines))


def part_with_below(parts: Sequence[Part], place: int) -> list[Part]:
    """A part and the parts below it: up to the next heading of its own level or a higher one."""
    level = parts[place].level
    end = place + 1
    while end < len(parts) and parts[end].level > level > 0:
        end += 1
    return list(parts[place:end])
