"""What both pages say of a model: its revision, its size, what its licence says of a use."""

from __future__ import annotations

from dataclasses import dataclass

from hubapp.catalog.licences import use_verdict
from hubapp.catalog.models import Model
from hubapp.catalog.presenting.rights import licence_of

ANY_USE = "any"


@dataclass(frozen=True, kw_only=True)
class Permission:
    """A model's licence by title, and its answer to a use with the reason; both "" where no use was named."""

    licence: str
    answer: str = ""
    words: str = ""


def permission_of(model: Model, use: str) -> Permission:
    """What the model's own licence says of a use, a key of USES, or ANY_USE."""
    licence = licence_of(model)
    if use == ANY_USE:
        return Permission(licence=licence.title)
    verdict = use_verdict(licence, use)
    return Permission(licence=licence.title, answer=verdict.answer, words=verdict.sentence)


def revision_digest(model: Model) -> str:
    """The digest of its current revision; "" without one."""
    return model.current_revision.digest if model.current_revision else ""


def parameters_of(model: Model) -> int:
    """Learned values of its current revision; 0 where they are not known."""
    return (model.current_revision.parameters or 0) if model.current_revision else 0
