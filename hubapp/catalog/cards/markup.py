"""Markdown and the HTML inside it as a stream of tags and texts: linear in time, balanced, of bounded depth.

What is not a well-formed tag is text. This makes HTML that is easy to read and cheap to sanitise; it is no sanitiser,
`rendering` ends with one.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore

MAX_CARD_CHARACTERS = 300_000
# Inline rules take quadratic time for some texts; no paragraph that a person wrote is as long.
MAX_INLINE_CHARACTERS = 6_000
MAX_TAGS = 100_000
MAX_DEPTH = 40
# An unclosed <b> is opened again in every later block.
MAX_FORMATTING = 6

HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"})
# Dropped with what is inside.
SILENT = frozenset({
    "applet", "datalist", "frameset", "iframe", "math", "noembed", "noframes", "noscript", "object", "script", "select",
    "style", "svg", "template", "textarea", "title", "xmp",
})  # fmt: skip
_FORMATTING = frozenset({
    "a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u",
})  # fmt: skip
# Their start ends an open paragraph.
BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "center", "details", "dd", "div", "dl", "dt", "figcaption", "figure",
    "footer", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section", "summary", "table", "tbody", "td",
    "tfoot", "th", "thead", "tr", "ul", *HEADINGS,
})  # fmt: skip
# The start of these ends an open element of the same kind, as in HTML.
_IMPLIED = {
    **dict.fromkeys(HEADINGS, frozenset(HEADINGS)), "li": frozenset({"li"}), "dt": frozenset({"dt", "dd"}),
    "dd": frozenset({"dt", "dd"}), "td": frozenset({"td", "th"}), "th": frozenset({"td", "th"}),
    "tr": frozenset({"td", "th", "tr"}),
    **dict.fromkeys(("thead", "tbody", "tfoot"), frozenset({"td", "th", "tr", "thead", "tbody", "tfoot"})),
}  # fmt: skip
_NAME = re.compile(r"</?([a-zA-Z][a-zA-Z0-9:-]{0,60})(?=[\s/>])")
# Values hold no "<", so that the search for the end of an unclosed one stops at the next tag.
_ATTRIBUTE = re.compile(r"""[\s/]*([^\s"'<>/=]+)(?:\s*=\s*(?:"([^"<]*)"|'([^'<]*)'|([^\s"'<>`]+)))?""")
_TAIL = re.compile(r"[\s/]*>")
_DECLARATION = re.compile(r"<[!?][^<>]*>")
# int() refuses numbers of thousands of digits.
_LONG_REFERENCE = re.compile(r"&#0*[0-9]{8,};?")


@dataclass(frozen=True)
class Start:
    """A start tag; void elements have no end."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class End:
    """The end tag of the innermost open element."""

    tag: str


@dataclass(frozen=True)
class Text:
    """Characters, unescaped."""

    text: str


Piece = Start | End | Text


def _long_as_text(state: StateCore) -> None:
    for token in state.tokens:
        if token.type == "inline" and len(token.content) > MAX_INLINE_CHARACTERS:
            token.type = "text"


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": True, "maxNesting": 20}).enable(["table", "strikethrough"])
    parser.core.ruler.before("inline", "long_as_text", _long_as_text)
    return parser


_MARKDOWN = _parser()


def card_pieces(body: str) -> Iterator[Piece]:
    """The card as balanced tags and texts; what is over the caps is cut."""
    return _balanced(_tokens(_MARKDOWN.render(body[:MAX_CARD_CHARACTERS])))


@dataclass(frozen=True)
class _Tag:
    """A tag as it stands in the text."""

    tag: str
    is_end: bool
    attributes: dict[str, str]


def _tokens(text: str) -> Iterator[_Tag | Text]:
    """Tags and texts in their order; comments, declarations and elements that hold no text are left out."""
    position, pending = 0, 0
    unclosed: set[str] = set()
    while (at := text.find("<", position)) >= 0:
        found, end = _at(text, at, unclosed)
        if end == at:
            position = at + 1
            continue
        if at > pending:
            yield Text(_unescaped(text[pending:at]))
        if found is not None:
            yield found
        position = pending = end
    if pending < len(text):
        yield Text(_unescaped(text[pending:]))


def _at(text: str, at: int, unclosed: set[str]) -> tuple[_Tag | None, int]:
    """The tag at a "<" and the position behind it; the same position if it is no tag, no tag if it is left out."""
    if text.startswith("<!--", at):
        end = -1 if "--" in unclosed else text.find("-->", at + 4)
        if end < 0:
            unclosed.add("--")
            return None, at
        return None, end + 3
    if declaration := _DECLARATION.match(text, at):
        return None, declaration.end()
    name = _NAME.match(text, at)
    if name is None:
        return None, at
    tag, is_end = name[1].lower(), text[at + 1] == "/"
    attributes: dict[str, str] = {}
    position = name.end()
    while attribute := _ATTRIBUTE.match(text, position):
        key = attribute[1].lower()
        if key not in attributes and len(attributes) < 40:
            attributes[key] = _unescaped(attribute[2] or attribute[3] or attribute[4] or "")
        position = attribute.end()
    tail = _TAIL.match(text, position)
    if tail is None:
        return None, at
    if tag in SILENT and not is_end and tag not in unclosed:
        closing = re.compile(rf"</{tag}[^<>]*>", re.IGNORECASE).search(text, tail.end())
        if closing:
            return None, closing.end()
        unclosed.add(tag)
    return (None if tag in SILENT else _Tag(tag, is_end, attributes)), tail.end()


def _unescaped(text: str) -> str:
    return html.unescape(_LONG_REFERENCE.sub("\ufffd", text)) if "&" in text else text


def _balanced(tokens: Iterator[_Tag | Text]) -> Iterator[Piece]:
    """Every start with its end, in order and of bounded number and depth."""
    stack: list[str] = []
    count = 0
    for token in tokens:
        if isinstance(token, Text):
            yield token
            continue
        count += 1
        if count > MAX_TAGS:
            continue
        if token.is_end:
            if token.tag in stack:
                yield from _closed(stack, token.tag)
            continue
        if token.tag in VOID:
            yield Start(token.tag, token.attributes)
            continue
        yield from _implied_ends(stack, token.tag)
        is_formatting = token.tag in _FORMATTING
        if len(stack) >= MAX_DEPTH or (is_formatting and sum(tag in _FORMATTING for tag in stack) >= MAX_FORMATTING):
            continue
        stack.append(token.tag)
        yield Start(token.tag, token.attributes)
    while stack:
        yield End(stack.pop())


def _implied_ends(stack: list[str], tag: str) -> Iterator[Piece]:
    if tag == "a" and "a" in stack:
        yield from _closed(stack, "a")
    if tag not in BLOCKS:
        return
    implied = _IMPLIED.get(tag, frozenset()) | {"p"}
    while (block := next((one for one in reversed(stack) if one in BLOCKS), None)) in implied:
        yield from _closed(stack, str(block))


def _closed(stack: list[str], tag: str) -> Iterator[Piece]:
    """The ends down to and with the innermost open `tag`."""
    while True:
        innermost = stack.pop()
        yield End(innermost)
        if innermost == tag:
            return
