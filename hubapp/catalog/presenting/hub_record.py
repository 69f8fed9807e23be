"""A model as a hub's record: what `huggingface_hub.ModelInfo(**record)` reads, and every field that the hub gave."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence, Set
from typing import Any

from hubapp.catalog.described import mapping_of, record_of
from hubapp.catalog.models import File, Model, Revision
from workers.sources.hub_records import model_info_check


def hub_record(
    model: Model,
    revision: Revision | None,
    files: Sequence[File],
    *,
    front_matter: Mapping[str, Any] | None = None,
    hidden: Set[str] = frozenset(),
) -> dict[str, Any]:
    """The record of a model in the hub's words: the hub's own where there is one, with the newest counters.

    hidden  names of bases that the reader may not know of: they are taken out of tags and card data
    """
    record: dict[str, Any] = {**record_of(model)}
    record |= {
        "id": model.slug,
        "author": model.author or record.get("author"),
        "sha": model.sha or (revision.commit if revision else "") or None,
        "lastModified": _moment(model.updated_at),
        "createdAt": _moment(model.published_at),
        "private": model.is_private,
        "gated": model.gated or False,
        "tags": record["tags"] if isinstance(record.get("tags"), list) else list(model.tags),
        "pipeline_tag": model.task or None,
        "library_name": model.library or None,
        "downloads": model.downloads,
        "likes": model.likes,
        "trendingScore": model.trending,
    }
    if not isinstance(record.get("siblings"), list):
        record["siblings"] = [{"rfilename": file.path, "size": file.size_bytes} for file in files]
    if not record.get("safetensors") and revision is not None and _is_safetensors(files):
        counts = revision.parameters_by_dtype
        if counts:
            record["safetensors"] = {"parameters": counts, "total": sum(counts.values())}
    if not isinstance(record.get("cardData"), dict):
        record["cardData"] = _card_data(model, front_matter)
    return _without(record, hidden) if hidden else record


def _moment(moment: dt.datetime) -> str:
    """A moment as hubs write it, the only form that huggingface_hub reads."""
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _is_safetensors(files: Sequence[File]) -> bool:
    return any(file.format == "safetensors" for file in files)


def _card_data(model: Model, front_matter: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The card's front matter where huggingface_hub takes it, else the licence alone."""
    stated = dict(front_matter or {})
    if stated and not model_info_check({"id": model.slug, "cardData": stated}):
        return stated
    return {"license": model.licence_stated or model.licence} if model.licence_stated or model.licence else None


def _without(record: dict[str, Any], hidden: Set[str]) -> dict[str, Any]:
    """The record without names that the reader may not know of."""
    kept = {name: value for name, value in record.items() if name != "baseModels" or not hidden}
    kept["tags"] = [tag for tag in record["tags"] if not (isinstance(tag, str) and _names(tag, hidden))]
    card = mapping_of(record.get("cardData"))
    if card:
        kept["cardData"] = {name: _card_value(name, value, hidden) for name, value in card.items()}
    return kept


def _names(tag: str, hidden: Set[str]) -> bool:
    return tag.startswith("base_model:") and any(tag.endswith(f":{name}") for name in hidden)


def _card_value(name: str, value: Any, hidden: Set[str]) -> Any:
    if name == "new_version":
        return None if value in hidden else value
    if name != "base_model":
        return value
    if isinstance(value, list):
        return [one for one in value if not _is_hidden(one, hidden)]
    return None if _is_hidden(value, hidden) else value


def _is_hidden(value: Any, hidden: Set[str]) -> bool:
    name = mapping_of(value).get("name") if isinstance(value, dict) else value
    return isinstance(name, str) and name in hidden
