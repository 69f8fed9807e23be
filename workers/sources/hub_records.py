"""Records of models as hubs give them: read from JSON, and checked before anybody keeps them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from huggingface_hub.hf_api import ModelInfo

from workers.sources.hub_names import name_check, shown

MAX_RECORD_CHARS = 8 * 2**20
_NUL_ESCAPED = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  # as json.dumps writes it, after no or paired backslashes


@dataclass(frozen=True)
class BadRecord:
    """A record that was set aside.

    index   its place on the page (or in the file), from 0
    name    what it calls itself, cut, or ""
    reason  a predicate: "has no id"
    """

    index: int
    name: str
    reason: str


def json_read(body: bytes) -> Any:
    """The value of a JSON text in UTF-8. NaN and Infinity, which JSON does not know, become texts.

    Raises ValueError for anything else that is not JSON, is nested too deeply or holds absurdly long numbers.
    """
    try:
        return json.loads(body.decode("utf-8-sig"), parse_constant=str)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def record_kept(entry: Any) -> tuple[Any, str]:
    """A record from a hub or a dump as it can be kept, and ""; or what it is, and why not, a predicate: "has no id".

    It must be an object with a valid name as `id` (or `modelId`), at most 8 Mi characters of JSON long, and load in
    huggingface_hub's own type. What PostgreSQL cannot store in a text (NUL, half a surrogate pair) becomes U+FFFD;
    nothing else is changed. About 50 µs a record.
    """
    if not isinstance(entry, dict):
        return entry, f"is {_kind(entry)} and no object"
    name = name_of(entry)
    if not name:
        return entry, "has no id"
    if problem := name_check(name):
        return entry, f"has an id that {problem}"
    try:
        text = json.dumps(entry, ensure_ascii=False, allow_nan=False)
        record = entry if _is_storable(text) else storable(entry)
    except (ValueError, TypeError, RecursionError):
        return entry, "holds values that JSON does not know"
    if len(text) > MAX_RECORD_CHARS:
        return entry, f"is longer than {MAX_RECORD_CHARS:,} characters"
    return record, model_info_check(record)


def name_of(record: object) -> str:
    """The name that a record gives itself, unchecked; "" if none. Old dumps call it `modelId`."""
    if not isinstance(record, dict):
        return ""
    name = record.get("id", record.get("modelId"))
    return name if isinstance(name, str) else ""


def model_info_check(record: dict[str, Any]) -> str:
    """Why huggingface_hub's `ModelInfo` does not take a record; "" if it does. About 20 µs a record."""
    fields = {"id": name_of(record), **record}
    card = fields.get("cardData")
    if isinstance(card, dict) and "model-index" in card:
        # It is skipped with a warning where it is malformed; a sync of a whole hub needs no thousand warnings.
        fields["cardData"] = {key: value for key, value in card.items() if key != "model-index"}
    try:
        ModelInfo(**fields)  # type: ignore[no-untyped-call]
    except Exception as error:  # whatever a stranger's record provokes is about the record
        return f"does not load in huggingface_hub ({type(error).__name__}: {shown(str(error), limit=150)})"
    return ""


def _is_storable(text: str) -> bool:
    if "\\u0000" in text and _NUL_ESCAPED.search(text):
        return False
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def storable(value: Any) -> Any:
    """A JSON value with what PostgreSQL cannot store in texts (NUL, half a surrogate pair) as U+FFFD."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {storable(key): storable(each) for key, each in value.items()}
    return [storable(each) for each in value] if isinstance(value, list) else value


def _kind(value: object) -> str:
    names: dict[type, str] = {str: "a text", list: "a list", int: "a number", float: "a number", bool: "true or false"}
    return names.get(type(value), "nothing")
