"""One name for each licence: the Hub's identifiers and people's spellings to SPDX, or to an identifier of our own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from hubapp.catalog.licences.table import FAMILIES, Terms, licence_table

MOST_CHARACTERS = 300
MOST_PARTS = 8
# Strictest last: the family of a model that states several licences is the strictest of them.
_ORDER = {family: place for place, family in enumerate(FAMILIES)}
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,60}")
_SEVERAL = re.compile(r"\s+(?:and|or)\s+|\s*[,;|&]\s*", re.IGNORECASE)
_NAMED = re.compile(r"\s*\((?:other|custom)\)\s*$", re.IGNORECASE)
_NOISE = {"license", "licence", "licensed", "licenses", "licences", "the", "version", "v", "under", "agreement"}
_NOISE |= {"international", "unported", "generic"}
_TOGETHER = (
    ("creative commons", "cc"),
    ("noncommercial", "non commercial"),
    ("sharealike", "share alike"),
    ("noderivatives", "no derivatives"),
    ("noderivs", "no derivatives"),
)
_NOT_STATED = {"", "none", "null", "n/a", "na", "-"}


@dataclass(frozen=True, kw_only=True)
class Licence:
    """What a model states about its licence, under one name.

    id        SPDX identifier where there is one, else the Hub's or our own; "other" and "unknown" as stated; several
              joined with AND, since a list does not say which part each holds for; "" where nothing is stated
    spdx      the SPDX identifier or expression, "" where there is none
    stated    what was stated, shortened
    title     for people
    family    a key of `FAMILIES`
    is_known  the licence was recognised, whether or not the table holds its terms
    parts     the licences, where several are stated
    """

    id: str
    spdx: str
    stated: str
    title: str
    family: str
    is_known: bool
    parts: tuple[Licence, ...] = ()


NOT_STATED = Licence(id="", spdx="", stated="", title="not stated", family="", is_known=False)


def licence_normalise(stated: object, *, name: str = "", link: str = "") -> Licence:
    """The licence that a record states: `stated` is the card's `license` (a text, a list of texts, or nothing).

    `name` and `link` are the card's `license_name` and `license_link`; they count where `stated` is "other" or unknown
    to the table. Never raises: what is not text is taken as its text, too much of it is cut off.
    """
    if isinstance(stated, str) and len(stated) <= MOST_CHARACTERS:
        key: tuple[str, ...] = (stated,)
    elif stated is None:
        key = ()
    elif isinstance(stated, (list, tuple, set, frozenset)):
        parts = sorted(stated, key=str) if isinstance(stated, (set, frozenset)) else stated
        key = tuple(_text(part) for part in parts[:MOST_PARTS])
    else:
        key = (_text(stated),)
    return _normalised(key, _text(name) if name else "", _text(link) if link else "")


def _text(value: object) -> str:
    return "" if value is None else str(value)[:MOST_CHARACTERS]


def _clean(text: str) -> str:
    """One line without characters that no database or page can show."""
    return "".join(sign for sign in " ".join(text.split()) if sign.isprintable())


@lru_cache(maxsize=20_000)
def _normalised(stated: tuple[str, ...], name: str, link: str) -> Licence:
    found: dict[str, Licence] = {}
    for text in stated:
        for licence in _licences_of(text, name, link):
            found.setdefault(licence.id, licence)
    named = [licence for licence in found.values() if licence.id]
    if not named:
        return _by_name(name, link, "") or NOT_STATED
    return named[0] if len(named) == 1 else _several(named[:MOST_PARTS])


def _licences_of(text: str, name: str, link: str) -> Sequence[Licence]:
    text = _clean(text).removeprefix("license:").strip()
    if text.lower() in _NOT_STATED:
        return ()
    if found := _known(text):
        if found.id in {"other", "unknown"}:
            return (_by_name(name, link, text) or found,)
        return (found,)
    pieces = [piece for piece in _SEVERAL.split(text.strip("()[] ")) if piece]
    if 1 < len(pieces) <= MOST_PARTS and (several := [_known(piece) for piece in pieces]) and all(several):
        return [licence for licence in several if licence]
    return (_by_name(name, link, text) or _other(text),)


def _by_name(name: str, link: str, stated: str) -> Licence | None:
    """The licence that the card's licence name or link tells; None where neither is given."""
    name = _clean(name)
    found = (_known(name) if name else None) or _links().get(_link_key(link))
    if found and found.id not in {"other", "unknown"}:
        return _with_stated(found, name or stated)
    return _other(name) if name and name.lower() not in _NOT_STATED else None


def _known(text: str) -> Licence | None:
    text = _NAMED.sub("", text)
    if text.startswith(("http://", "https://")):
        return _links().get(_link_key(text))
    if found := _spellings().get(_spelling(text)):
        return _with_stated(found, text)
    if not _IDENTIFIER.fullmatch(text):
        return None
    try:
        spdx = str(canonicalize_license_expression(text))
    except InvalidLicenseExpression:
        return None
    if spdx.startswith("LicenseRef-"):
        return None
    return Licence(id=spdx, spdx=spdx, stated=text, title=spdx, family="unknown", is_known=True)


def _other(text: str) -> Licence:
    return Licence(id="other", spdx="", stated=text, title=text, family="other", is_known=False)


def _with_stated(licence: Licence, stated: str) -> Licence:
    return Licence(
        id=licence.id,
        spdx=licence.spdx,
        stated=stated,
        title=licence.title,
        family=licence.family,
        is_known=licence.is_known,
    )


def _several(parts: Sequence[Licence]) -> Licence:
    names = sorted(part.id for part in parts)
    return Licence(
        id=" AND ".join(names),
        spdx=" AND ".join(names) if all(part.spdx for part in parts) else "",
        stated=", ".join(part.stated for part in parts),
        title=" and ".join(part.title for part in parts),
        family=max((part.family for part in parts), key=lambda family: _ORDER[family]),
        is_known=all(part.is_known for part in parts),
        parts=tuple(parts),
    )


def _of_terms(terms: Terms) -> Licence:
    return Licence(
        id=terms.id,
        spdx=terms.id if terms.is_spdx else "",
        stated=terms.id,
        title=terms.title,
        family=terms.family,
        is_known=terms.id not in {"other", "unknown", "proprietary", "cc"},
    )


def _spelling(text: str) -> str:
    """A spelling without case, punctuation and filler words: "Apache License, Version 2.0" → "apache 2.0"."""
    text = re.sub(r"\bv(?:er|ersion)?\.?\s*(?=\d)", " ", text.lower())
    for whole, split in _TOGETHER:
        text = text.replace(whole, split)
    words = [word.strip(".") for word in re.split(r"[^a-z0-9+.*]+", text)]
    kept = [re.sub(r"^(\d+)$", r"\1.0", word) for word in words if word and word not in _NOISE]
    return " ".join(kept)


@cache
def _spellings() -> dict[str, Licence]:
    found: dict[str, Licence] = {}
    for terms in licence_table().values():
        licence = _of_terms(terms)
        for text in (terms.id, terms.hub, terms.title, *terms.aliases):
            if text and not text.startswith("http"):
                found.setdefault(_spelling(text), licence)
    found.pop("", None)
    return found


def _link_key(link: str) -> str:
    """An address without what does not tell licences apart: scheme, www, the file's ending, the deed's language."""
    link = link.strip().lower().split("#")[0].split("?")[0]
    link = re.sub(r"^https?://(?:www\.)?", "", link).rstrip("/")
    link = re.sub(r"/(?:legalcode|deed)(?:\.[a-z-]{2,7})?$", "", link)
    return re.sub(r"\.(?:html?|txt|md)$", "", link).replace("/raw/", "/blob/").replace("/resolve/", "/blob/")


@cache
def _links() -> dict[str, Licence]:
    found: dict[str, Licence] = {}
    for terms in licence_table().values():
        spdx_page = (f"https://spdx.org/licenses/{terms.id}.html",) if terms.is_spdx else ()
        for text in (terms.source, *terms.aliases, *spdx_page):
            if text.startswith("http"):
                found.setdefault(_link_key(text), _of_terms(terms))
    return found
