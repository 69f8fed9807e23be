"""Records of models as hubs give them: read from JSON, and checked before anybody keeps them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from huggingface_hub.hf_api import ModelInfo

from workers.sources.hub_names import name_check, shown

MAX_RECORD_CHARS = 8 * 2**20
# As json.dumps escapes them: NUL, which PostgreSQL's jsonb refuses, and halves of surrogate pairs, which UTF-8 does.
_UNSTORABLE = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


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


def record_check(record: object) -> str:
    """Why a record from a hub or a dump cannot be kept; "" if it can. A predicate: "has no id".

    It must be an object with a valid name as `id` (or `modelId`), storable as JSON in PostgreSQL, at most 8 Mi
    characters long, and load in huggingface_hub's own type.
    """
    if not isinstance(record, dict):
        return f"is {_kind(record)} and no object"
    name = name_of(record)
    if not name:
        return "has no id"
    if problem := name_check(name):
        return f"has an id that {problem}"
    return _storage_check(record) or model_info_check(record)


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


def _storage_check(record: dict[str, Any]) -> str:
    try:
        text = json.dumps(record, ensure_ascii=False, allow_nan=False)
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "holds half a surrogate pair"
    except (ValueError, TypeError, RecursionError):
        return "holds values that JSON does not know"
    if len(text) > MAX_RECORD_CHARS:
        return f"is longer than {MAX_RECORD_CHARS:,} characters"
    return "holds a NUL character" if "\\u0000" in text and _UNSTORABLE.search(text) else ""


def _kind(value: object) -> str:
    names: dict[type, str] = {str: "a text", list: "a list", int: "a number", float: "a number", bool: "true or false"}
    return names.get(type(value), "nothing")
