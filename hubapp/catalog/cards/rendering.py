"""A card as HTML for our pages: rewritten so that it fits them, then sanitised by an allow list, which comes last."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from urllib.parse import urljoin, urlsplit

import nh3
from django.utils.safestring import SafeString, mark_safe

from hubapp.catalog.cards.markup import (
    HEADINGS,
    MAX_CARD_CHARACTERS,
    SILENT,
    VOID,
    End,
    Piece,
    Start,
    Text,
    card_pieces,
)

MAX_ADDRESS_CHARACTERS = 2000
_HIGHEST_LEVEL = 3  # below the page's h1 and its section's h2
_PREFIX = "card-"
_TOO_LONG = f"<p>The card is longer than {MAX_CARD_CHARACTERS:,} characters; the rest is not shown.</p>"
_MEDIA = {"img": "image", "video": "video", "audio": "audio"}
_NO_WORD = re.compile(r"[^\w\s-]")
_LANGUAGE = re.compile(r"language-[\w+#.-]{1,40}")
_ANCHOR = re.compile(rf"{_PREFIX}[\w-]{{1,100}}")
_ADDRESS = re.compile(r"(?:https?://|mailto:)[^\s\x00-\x20\x7f\\]+", re.IGNORECASE)
_ALIGNED = {"left": "text-start", "center": "text-center", "right": "text-end"}
_KEPT = ("title", "start", "open", "colspan", "rowspan")
_TEXT_ALIGN = re.compile(r"text-align:\s*(left|center|right)")

# fmt: off
_TAGS = {
    "a", "abbr", "b", "blockquote", "br", "caption", "cite", "code", "dd", "del", "details", "div", "dl", "dt", "em",
    "figcaption", "figure", "h3", "h4", "h5", "h6", "hr", "i", "ins", "kbd", "li", "mark", "ol", "p", "pre", "q", "s",
    "samp", "small", "span", "strong", "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr",
    "u", "ul", "var",
}
_ATTRIBUTES = {
    "a": {"href", "id", "title"}, "abbr": {"title"}, "code": {"class"}, "details": {"open"},
    "div": {"class", "tabindex", "role", "aria-label"}, "h3": {"id"}, "h4": {"id"}, "h5": {"id"}, "h6": {"id"},
    "ol": {"start"}, "pre": {"class", "tabindex"}, "span": {"class"}, "table": {"class"},
    "td": {"class", "colspan", "rowspan"}, "th": {"class", "colspan", "rowspan"},
}
# fmt: on
_CLASSES = {
    "div": {"hs-table-scroll"},
    "pre": {"hs-code"},
    "span": {"text-body-secondary"},
    "table": {"hs-table"},
    "td": set(_ALIGNED.values()),
    "th": set(_ALIGNED.values()),
}
_REL = "nofollow noopener noreferrer ugc"
_VALUES = {
    "id": _ANCHOR,
    "rel": re.compile(re.escape(_REL)),  # which the sanitiser itself puts there, before it asks
    "tabindex": re.compile("0"),
    "role": re.compile("region"),
    "aria-label": re.compile(r"Table [0-9]{1,6} of the card"),
    "colspan": re.compile(r"[0-9]{1,2}"),
    "rowspan": re.compile(r"[0-9]{1,2}"),
    "start": re.compile(r"[0-9]{1,9}"),
    "title": re.compile(r".*", re.DOTALL),
    "open": re.compile(r".*", re.DOTALL),
}


def card_html(body: str, *, base_url: str = "") -> SafeString:
    """The Markdown of a card as sanitised HTML whose headings start at h3; no address in it is fetched by itself.

    base_url  what relative links count from, such as "https://hub.example/org/name/blob/main/"; without it they become
              plain text
    Images, videos and sounds become links that name them. Headings carry ids that begin with "card-", and links within
    the card lead there. What exceeds 300,000 characters, 100,000 tags or 40 levels is cut.
    """
    pieces = list(card_pieces(body))
    cleaned = nh3.clean(
        "".join(_Writer(pieces, base_url).written()),
        tags=_TAGS,
        clean_content_tags=set(SILENT),
        attributes=_ATTRIBUTES,
        attribute_filter=_allowed,
        url_schemes={"http", "https", "mailto"},
        link_rel=_REL,
    )
    return mark_safe(cleaned + (_TOO_LONG if len(body) > MAX_CARD_CHARACTERS else ""))  # noqa: S308 - sanitised above


def _allowed(tag: str, attribute: str, value: str) -> str | None:
    """The value of an attribute if it is one that our own rewriting makes."""
    allowed = _VALUES.get(attribute)
    if attribute == "class":
        is_allowed = value in _CLASSES.get(tag, ()) or (tag == "code" and _LANGUAGE.fullmatch(value) is not None)
    elif attribute == "href":
        is_allowed = _is_address(value)
    else:
        is_allowed = allowed is not None and allowed.fullmatch(value) is not None
    return value[:MAX_ADDRESS_CHARACTERS] if is_allowed else None


def _is_address(value: str) -> bool:
    is_inner = value.startswith(f"#{_PREFIX}") and _ANCHOR.fullmatch(value[1:]) is not None
    return is_inner or (len(value) <= MAX_ADDRESS_CHARACTERS and _ADDRESS.fullmatch(value) is not None)


class _Writer:
    """Turns the pieces of a card into HTML that fits the page."""

    def __init__(self, pieces: Sequence[Piece], base_url: str) -> None:
        self.pieces = pieces
        self.base_url = base_url
        self.levels = _outline(pieces)
        self.anchors = _anchors(pieces)
        self.slugs = set(self.anchors.values())
        self.tables = 0
        self.in_link = False

    def written(self) -> Iterator[str]:
        """The HTML in parts."""
        open_tags: list[str] = []
        for place, piece in enumerate(self.pieces):
            if isinstance(piece, Text):
                yield html.escape(piece.text, quote=False)
            elif isinstance(piece, End):
                yield open_tags.pop()
                self.in_link = self.in_link and piece.tag != "a"
            elif piece.tag in _MEDIA and (piece.tag in VOID or not self.in_link):
                yield self._media(piece)
                if piece.tag not in VOID:
                    open_tags.append("")
            elif piece.tag in VOID:
                yield f"<{piece.tag}>"
            else:
                start, end = self._element(place, piece)
                open_tags.append(end)
                yield start

    def _element(self, place: int, piece: Start) -> tuple[str, str]:
        tag, given = piece.tag, piece.attributes
        if tag in HEADINGS:
            level = self.levels[place]
            return f'<h{level} id="{_PREFIX}{self.anchors[place]}">', f"</h{level}>"
        if tag == "a":
            return self._link(place, given)
        if tag == "pre":
            return '<pre class="hs-code" tabindex="0">', "</pre>"
        if tag == "table":
            self.tables += 1
            label = f"Table {self.tables} of the card"
            box = f'<div class="hs-table-scroll" tabindex="0" role="region" aria-label="{label}">'
            return f'{box}<table class="hs-table">', "</table></div>"
        kept: dict[str, str] = {
            key: given[key] for key in ("title", "start", "open", "colspan", "rowspan") if key in given
        }
        if tag == "code" and "class" in given:
            kept["class"] = given["class"]
        if tag in {"td", "th"}:
            stated = _TEXT_ALIGN.search(given.get("style", ""))
            aligned = _ALIGNED.get(stated[1] if stated else given.get("align", "").lower())
            kept |= {"class": aligned} if aligned else {}
        return f"<{tag}{_attributes(kept)}>", f"</{tag}>"

    def _link(self, place: int, given: dict[str, str]) -> tuple[str, str]:
        kept: dict[str, str] = {}
        if place in self.anchors:
            kept["id"] = _PREFIX + self.anchors[place]
        address = self._address(given.get("href", ""))
        # A link without a text can be neither seen nor read out.
        if address and self._has_text(place):
            kept["href"] = address
            self.in_link = True
            kept |= {"title": given["title"]} if "title" in given else {}
        return (f"<a{_attributes(kept)}>", "</a>") if kept else ("", "")

    def _has_text(self, place: int) -> bool:
        for piece in self.pieces[place + 1 : place + 200]:
            if isinstance(piece, End) and piece.tag == "a":
                return False
            if (isinstance(piece, Text) and piece.text.strip()) or (isinstance(piece, Start) and piece.tag == "img"):
                return True
        return False

    def _address(self, stated: str) -> str:
        """Where a link leads, absolute or within the card; empty if nowhere."""
        stated = stated.strip()
        if stated.startswith("#"):
            slug = _slug(stated[1:])
            return f"#{_PREFIX}{slug}" if slug in self.slugs else ""
        try:
            address = urljoin(self.base_url, stated) if self.base_url and stated else stated
            host = urlsplit(address).netloc
        except ValueError:
            return ""
        return address if _is_address(address) and (host or address.lower().startswith("mailto:")) else ""

    def _media(self, piece: Start) -> str:
        """What stands for an image, a video or a sound, none of which is loaded."""
        address = self._address(piece.attributes.get("src", ""))
        is_web = address.lower().startswith("http")
        alt = " ".join(piece.attributes.get("alt", "").split())[:300]
        host = urlsplit(address).hostname if is_web else ""
        said = f"{_MEDIA[piece.tag]}{': ' if alt else ''}{alt} (not loaded{f' from {host}' if host else ''})"
        text = f'<span class="text-body-secondary">{html.escape(said)}</span>'
        return f"<a{_attributes({'href': address})}>{text}</a>" if is_web and not self.in_link else text


def _attributes(given: dict[str, str]) -> str:
    return "".join(f' {key}="{html.escape(value)}"' for key, value in given.items())


def _outline(pieces: Sequence[Piece]) -> dict[int, int]:
    """The level of each heading by its place: below the page's own, and never skipping one."""
    levels: dict[int, int] = {}
    above: list[int] = []
    for place, piece in enumerate(pieces):
        if isinstance(piece, Start) and piece.tag in HEADINGS:
            stated = int(piece.tag[1])
            while above and above[-1] >= stated:
                above.pop()
            levels[place] = min(_HIGHEST_LEVEL + len(above), 6)
            above.append(stated)
    return levels


def _anchors(pieces: Sequence[Piece]) -> dict[int, str]:
    """The id, without its prefix, of every heading and every named anchor by its place; each is there once."""
    anchors: dict[int, str] = {}
    taken: set[str] = set()
    numbers: Counter[str] = Counter()
    for place, piece in enumerate(pieces):
        if not isinstance(piece, Start):
            continue
        if piece.tag in HEADINGS:
            slug = _slug(_text_until(pieces, place, piece.tag)) or "section"
        else:
            named = piece.attributes.get("id") or piece.attributes.get("name") if piece.tag == "a" else ""
            slug = _slug(named or "")
        if not slug:
            continue
        numbers[slug] += 1
        anchor = slug if numbers[slug] == 1 else f"{slug}-{numbers[slug] - 1}"
        # "a-1" may be a heading of its own.
        anchors[place] = anchor if anchor not in taken else f"{anchor}-{place}"
        taken.add(anchors[place])
    return anchors


def _text_until(pieces: Sequence[Piece], place: int, tag: str) -> str:
    parts: list[str] = []
    for piece in pieces[place + 1 : place + 100]:
        if isinstance(piece, End) and piece.tag == tag:
            break
        if isinstance(piece, Text):
            parts.append(piece.text[:200])
    return "".join(parts)


def _slug(text: str) -> str:
    """An anchor as hubs make it of a heading: small letters, hyphens for spaces, no other signs."""
    return re.sub(r"\s", "-", _NO_WORD.sub("", text[:400].strip().lower()))[:80]
