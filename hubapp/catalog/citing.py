"""The papers that a card names: arXiv numbers in its links and in its BibTeX, with the titles that stand there."""

from __future__ import annotations

import re

MAX_PAPERS = 100
MAX_TITLE = 500
MAX_ENTRIES = 50
MAX_ENTRY_CHARACTERS = 10_000
_NUMBER = r"(\d{4}\.\d{4,5}|[a-z-]{2,12}(?:\.[A-Z]{2})?/\d{7})(?:v\d{1,3})?(?![\d/])"
_PLACE = r"https?://(?:(?:www\.|export\.)?arxiv\.org/(?:abs|pdf|html)|huggingface\.co/papers|hf\.co/papers)/"
_ADDRESS = re.compile(_PLACE + _NUMBER, re.IGNORECASE)
_LINK = re.compile(r"\[([^\[\]\n]{1,400})\]\(<?" + _PLACE + _NUMBER, re.IGNORECASE)
_ENTRY = re.compile(r"@[A-Za-z]{3,20}\s{0,5}\{")
_FIELD = re.compile(r"(?<![A-Za-z])(title|eprint|journal|url|note|doi)\s{0,5}=\s{0,5}([{\"])", re.IGNORECASE)
_IN_FIELD = re.compile(r"(?<![\d.])" + _NUMBER)
# A link's text of fewer words is a method's name rather than a title.
LEAST_TITLE_WORDS = 4
# The template of cards links it (a calculator of emissions): no paper of the model.
OF_THE_TEMPLATE = "1910.09700"
_LEAST_LETTERS = re.compile(r"[^\W\d_]{2,}.*\s.*[^\W\d_]{2,}")
# What links to papers say that is no title.
_NO_TITLE = re.compile(r"\b(?:arxiv|paper|here|link|pdf|preprint|report|et al|this)\b", re.IGNORECASE)


def papers_cited(body: str) -> dict[str, str]:
    """The arXiv numbers, without their versions, that a card names, each with its title or ""; the first 100."""
    found: dict[str, str] = {}
    for match in _ADDRESS.finditer(body):
        _add(found, match[1], "")
    for match in _LINK.finditer(body):
        text = " ".join(match[1].strip("*_`“”\"' ").split())
        is_title = len(text.split()) >= LEAST_TITLE_WORDS and not _NO_TITLE.search(text)
        _add(found, match[2], text if is_title else "")
    found.pop(OF_THE_TEMPLATE, None)
    for entry in _entries(body):
        fields = _fields(entry)
        places = (fields.get(name, "") for name in ("eprint", "journal", "url", "note", "doi"))
        named = next((found_in for place in places if (found_in := _IN_FIELD.search(place))), None)
        if named:
            _add(found, named[1], _plain(fields.get("title", "")), is_better=True)
    return dict(list(found.items())[:MAX_PAPERS])


def _add(found: dict[str, str], number: str, title: str, *, is_better: bool = False) -> None:
    title = "".join(letter for letter in title[:MAX_TITLE] if letter.isprintable()).strip()
    title = title if _LEAST_LETTERS.search(title) else ""
    if number not in found or (title and (is_better or not found[number])):
        found[number] = title


def _entries(body: str) -> list[str]:
    """The texts of BibTeX entries, each up to its closing brace."""
    entries = []
    for start in list(_ENTRY.finditer(body))[:MAX_ENTRIES]:
        text, depth = body[start.end() : start.end() + MAX_ENTRY_CHARACTERS], 1
        for place, letter in enumerate(text):
            depth += (letter == "{") - (letter == "}")
            if not depth:
                entries.append(text[:place])
                break
    return entries


def _fields(entry: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for found in _FIELD.finditer(entry):
        fields.setdefault(found[1].lower(), _value(entry[found.end() : found.end() + 2000], found[2]))
    return fields


def _value(text: str, opening: str) -> str:
    """A field's text up to its end: the closing brace of its own, or the closing quotation mark."""
    depth = 0
    for place, letter in enumerate(text):
        if not depth and letter == ("}" if opening == "{" else '"'):
            return text[:place]
        depth += (letter == "{") - (letter == "}")
    return text[:MAX_TITLE]


def _plain(title: str) -> str:
    """A BibTeX title without its braces."""
    return " ".join(re.sub(r"[{}]", "", title).split())
