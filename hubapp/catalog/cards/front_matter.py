"""The YAML block at the top of a card, read event by event under caps: no tags, no expansion of aliases, no dates.

Words stay words: `language: no` is "no" and a date is its text, where YAML 1.1 would make a boolean and a date of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

MAX_FRONT_MATTER_CHARACTERS = 1_000_000
MAX_EVENTS = 200_000
MAX_DEPTH = 32
MAX_SCALAR_CHARACTERS = 100_000
_OPENING = re.compile(r"\s{0,200}---[ \t]*\n")
_CLOSING = re.compile(r"^(---|\.\.\.)[ \t]*$", re.MULTILINE)
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?([0-9]{1,40}\.[0-9]{0,40}|\.[0-9]{1,40}|[0-9]{1,40}(?=[eE]))([eE][-+]?[0-9]{1,3})?")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def card_split(text: str) -> tuple[dict[str, Any], str, str]:
    """The front matter, the Markdown below it, and one sentence on what was wrong with the front matter.

    Values are None, bool, int, float, str, and lists and dictionaries (with text keys) of those, whatever the writer
    meant: where a text is expected a list may stand. Front matter that cannot be read is empty; the body is kept.
    Byte order marks, line ends of Windows, NULs and lone surrogates are mended.
    """
    text = clean_text(text)
    opening = _OPENING.match(text)
    if opening is None:
        return {}, text, ""
    closing = _CLOSING.search(text, opening.end())
    if closing is None:
        return {}, text, "The front matter has no closing line of three dashes."
    block, body = text[opening.end() : closing.start()], text[closing.end() :].removeprefix("\n")
    try:
        found = _read(block)
    except _Refused as error:
        return {}, body, str(error)
    except yaml.MarkedYAMLError as error:
        line = f" (line {error.problem_mark.line + 2})" if error.problem_mark else ""
        return {}, body, f"The front matter is not valid YAML{line}."
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}, body, "The front matter is not valid YAML."
    if found is None:
        return {}, body, ""
    if not isinstance(found, dict):
        # Two rulers around a text, rather: nothing of it may get lost.
        return {}, text, "The card starts with a line of three dashes, but no names with values follow."
    return found, body, ""


def clean_text(text: str) -> str:
    """The text without byte order mark, with line feeds only, and with U+FFFD for what no database keeps."""
    text = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")


class _Refused(Exception):
    """The front matter exceeds a cap; the message is the sentence."""


def _read(block: str) -> Any:
    if len(block) > MAX_FRONT_MATTER_CHARACTERS:
        raise _Refused(f"The front matter is longer than {MAX_FRONT_MATTER_CHARACTERS:,} characters.")
    loader = _LOADER(block)
    try:
        return _build(_events(loader))
    finally:
        loader.dispose()


def _events(loader: Any) -> Iterator[Any]:
    count = 0
    while (event := loader.get_event()) is not None:
        count += 1
        if count > MAX_EVENTS:
            raise _Refused(f"The front matter has more than {MAX_EVENTS:,} parts.")
        yield event


_NO_KEY = object()


def _build(events: Iterator[Any]) -> Any:
    """The value of the first document."""
    anchors: dict[str, Any] = {}
    # Open collections, each with the key that waits for its value.
    stack: list[tuple[dict[str, Any] | list[Any], list[Any]]] = []
    for event in events:
        if isinstance(event, yaml.DocumentEndEvent | yaml.StreamEndEvent):
            return None
        if isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent):
            continue
        if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            value: Any = stack.pop()[0]
            if not stack:
                return value
            continue
        value = _value(event, anchors)
        if stack:
            _put(stack[-1], value)
        if isinstance(value, dict | list):
            if len(stack) >= MAX_DEPTH:
                raise _Refused(f"The front matter is nested more than {MAX_DEPTH} levels deep.")
            stack.append((value, [_NO_KEY]))
        elif not stack:
            return value
    return None


def _value(event: Any, anchors: dict[str, Any]) -> Any:
    if isinstance(event, yaml.AliasEvent):
        if event.anchor not in anchors:
            raise _Refused("The front matter repeats whole parts by aliases, which are not followed.")
        return anchors[event.anchor]
    if isinstance(event, yaml.MappingStartEvent):
        return {}
    if isinstance(event, yaml.SequenceStartEvent):
        return []
    value = _scalar(event.value, is_plain=event.implicit[0])
    if event.anchor:
        anchors[event.anchor] = value
    return value


def _put(place: tuple[dict[str, Any] | list[Any], list[Any]], value: Any) -> None:
    target, waiting = place
    if isinstance(target, list):
        target.append(value)
    elif waiting[0] is _NO_KEY:
        if isinstance(value, dict | list):
            raise _Refused("The front matter has a list or a mapping in the place of a name.")
        waiting[0] = value if isinstance(value, str) else _key_text(value)
    else:
        target[waiting[0]] = value
        waiting[0] = _NO_KEY


def _key_text(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _scalar(text: str, *, is_plain: bool) -> Any:
    if len(text) > MAX_SCALAR_CHARACTERS:
        raise _Refused(f"The front matter has a value of more than {MAX_SCALAR_CHARACTERS:,} characters.")
    text = text.replace("\0", "\ufffd")
    if not is_plain:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text
