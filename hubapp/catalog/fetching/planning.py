"""What would be fetched of a revision, by what is known of it here: no request is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from hubapp.catalog.described import mapping_of, record_of
from hubapp.catalog.models import File, Model, Record
from hubapp.catalog.refreshing import refresh_source
from hubapp.ui import words
from workers.kit import UserError
from workers.sources.fetching import Choice, files_chosen


@dataclass(frozen=True, kw_only=True)
class FetchPlan:
    """The files that a fetch brings.

    size_bytes  of all of them; None where a size is not known before the hub was asked
    reason      why they are not fetched, or ""
    """

    weights: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    size_bytes: int | None = None
    reason: str = ""

    @property
    def files(self) -> int:
        """How many they are."""
        return len(self.weights) + len(self.beside)


def choice_of(model: Model, paths: Sequence[str], record: Mapping[str, Any] | None = None) -> Choice:
    """The files of a model's repository that running it takes; `record` is the hub's own of it."""
    kept = record if record is not None else record_of(model)
    return files_chosen(paths, config=mapping_of(kept.get("config")), library=model.library)


def record_now(model: Model) -> Mapping[str, Any]:
    """The hub's record of a model as it is kept at this moment."""
    kept = Record.objects.filter(model=model).values_list("record", flat=True).first()
    return mapping_of(kept)


def fetch_plan(model: Model, files: Sequence[File]) -> FetchPlan | None:
    """What a fetch would bring of a revision with these files; None for models that come from no hub.

    Without files (the model was never refreshed) nothing is known of it yet, and the plan is empty.
    """
    if refresh_source(model) is None:
        return None
    if not files:
        return FetchPlan()
    chosen = choice_of(model, [file.path for file in files])
    if not chosen.weights:
        return FetchPlan(reason="There is no weight file of a known format in this repository.")
    rows = {file.path: file for file in files}
    sizes = [rows[path].size_bytes for path in chosen.paths]
    known = [size for size in sizes if size is not None]
    size = sum(known) if len(known) == len(sizes) else None
    reason = ""
    if flagged := [path for path in chosen.weights if rows[path].safety == "flagged"]:
        reason = flagged_sentence(flagged[0], rows[flagged[0]].safety_note)
    elif size is not None and size > settings.WEIGHTS_BYTES:
        reason = too_large(size).message
    return FetchPlan(weights=chosen.weights, beside=chosen.beside, size_bytes=size, reason=reason)


def flagged_sentence(path: str, note: str) -> str:
    """Why weights that could do harm are not fetched."""
    return f"{path[-100:]} is flagged, so it is not fetched. {note}".strip()[:1000]


def too_large(size: int) -> UserError:
    """The refusal of a model that is above the limit."""
    limit = words.size(settings.WEIGHTS_BYTES)
    return UserError(
        f"Its files have {words.size(size)}, more than the {limit} of one model that are fetched here. Choose a "
        "smaller model, or ask whoever runs this site to raise the limit."
    )
