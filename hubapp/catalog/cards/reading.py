"""What a card says, without its looks: as plain text for search, and by section for judging its documentation."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from hubapp.catalog.cards.markup import BLOCKS, HEADINGS, Piece, Start, Text, card_pieces

MAX_TEXT_CHARACTERS = 20_000
MAX_SECTIONS = 2000
_ADDRESS = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)


@dataclass(frozen=True)
class Section:
    """A heading of a card and what stands below it, up to the next heading of any level.

    level        1 to 6 as the writer set it; 0 for what stands above the first heading
    title        the heading's text
    text         paragraphs, lists and table cells as plain text, a line for each block; without code blocks
    code_blocks  the code blocks' texts
    tables       the tables, each as rows of cells
    links        the addresses of its links, as stated
    """

    level: int
    title: str
    text: str
    code_blocks: tuple[str, ...]
    tables: tuple[tuple[tuple[str, ...], ...], ...]
    links: tuple[str, ...] = ()


def card_text(body: str) -> str:
    """The card's words for search: no code blocks, no addresses, no markup; at most 20,000 characters."""
    reader = _Reader()
    reader.read(card_pieces(body))
    words = "\n".join(part for section in reader.sections for part in (section.title, section.text) if part)
    return " ".join(_ADDRESS.sub(" ", words).split())[:MAX_TEXT_CHARACTERS]


def card_sections(body: str) -> list[Section]:
    """The sections of a card in their order, the part above the first heading first if it says anything.

    Headings of Markdown (both forms) and of HTML count; nothing is left out as boilerplate.
    """
    reader = _Reader()
    reader.read(card_pieces(body))
    return [one for one in reader.sections if one.level or one.text or one.code_blocks or one.tables or one.links]


class _Reader:
    """Collects sections from the pieces of a card."""

    def __init__(self) -> None:
        self.sections: list[Section] = []
        self._begin(0)

    def _begin(self, level: int) -> None:
        self.level = level
        self.title: list[str] = []
        self.text: list[str] = []
        self.codes: list[str] = []
        self.tables: list[list[list[list[str]]]] = []
        self.links: list[str] = []
        self.open: list[str] = []

    def _finish(self) -> None:
        lines = (" ".join(line.split()) for line in "".join(self.text).split("\n"))
        self.sections.append(
            Section(
                level=self.level,
                title=_flat(self.title),
                text="\n".join(line for line in lines if line),
                code_blocks=tuple(self.codes),
                tables=tuple(
                    tuple(tuple(_flat(cell) for cell in row) for row in table if row) for table in self.tables
                ),
                links=tuple(self.links),
            )
        )

    def read(self, pieces: Iterable[Piece]) -> None:
        """Go through the pieces; the sections are whole afterwards."""
        heading = pre = 0
        cells = 0
        for piece in pieces:
            if isinstance(piece, Text):
                self._add(piece.text, in_heading=heading > 0, in_code=pre > 0, in_cell=cells > 0)
                continue
            is_start = isinstance(piece, Start)
            change = 1 if is_start else -1
            if is_start and piece.tag in HEADINGS and not cells and len(self.sections) < MAX_SECTIONS:
                self._finish()
                self._begin(int(piece.tag[1]))
            if piece.tag in HEADINGS:
                heading += change
            elif piece.tag == "pre":
                pre += change
                self.codes += [""] if is_start else []
            elif piece.tag in {"td", "th"}:
                cells += change
            if isinstance(piece, Start):
                self._start(piece)
            if piece.tag in BLOCKS or piece.tag == "br":
                self.text.append("\n" if not cells else " ")
        self._finish()

    def _start(self, piece: Start) -> None:
        if piece.tag == "a" and piece.attributes.get("href"):
            self.links.append(piece.attributes["href"][:2000])
        elif piece.tag == "table":
            self.tables.append([])
        elif piece.tag == "tr" and self.tables:
            self.tables[-1].append([])
        elif piece.tag in {"td", "th"} and self.tables and self.tables[-1]:
            self.tables[-1][-1].append([])

    def _add(self, text: str, *, in_heading: bool, in_code: bool, in_cell: bool) -> None:
        if in_code and self.codes:
            self.codes[-1] += text
            return
        if in_heading:
            self.title.append(text)
            return
        self.text.append(text)
        if in_cell and self.tables and self.tables[-1] and self.tables[-1][-1]:
            self.tables[-1][-1][-1].append(text)


def _flat(parts: Iterable[str]) -> str:
    return " ".join("".join(parts).split())
