"""How well a model is documented and how safe its files are, as its page says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

from hubapp.catalog.cards import card_split
from hubapp.catalog.described import RecordData, mapping_of, record_of
from hubapp.catalog.documentation import LEVELS as DOCUMENTATION_LEVELS
from hubapp.catalog.documentation import Documentation, documentation_score
from hubapp.catalog.models import File, Model
from workers.sources.safety import LEVELS, record_findings, record_safety

DOCUMENTATION_LOOKS = {"good": "good", "partial": "outline", "thin": "warn", "none": "bad", "not-read": "off"}
DOCUMENTATION_WORDS = {"good": "good", "partial": "partial", "thin": "thin", "none": "no card", "not-read": "not read"}
SAFETY_LOOKS = {
    "safe-format": "good",
    "pickle-clean": "warn",
    "pickle-unscanned": "warn",
    "unknown": "off",
    "flagged": "bad",
}


@dataclass(frozen=True, kw_only=True)
class ReadCard:
    """A model's card: what its front matter says (else the record's copy of it), the text below, what was wrong.

    body is None where the card was not read; exists is None where nobody knows whether there is one.
    """

    front_matter: Mapping[str, Any]
    body: str | None
    problem: str
    exists: bool | None


def read_card(model: Model, text: str | None, paths: Sequence[str]) -> ReadCard:
    """The card of a model from its stored text, or what is known without it."""
    record = record_of(model)
    if text is not None:
        front_matter, body, problem = card_split(text)
        return ReadCard(front_matter=front_matter, body=body, problem=problem, exists=True)
    stated = mapping_of(record.get("cardData"))
    names = {path.lower() for path in paths}
    if model.documentation_level == "none":
        exists: bool | None = False
    else:
        exists = "readme.md" in names if names and record else (True if stated else None)
    return ReadCard(front_matter=stated, body=None, problem="", exists=exists)


@dataclass(frozen=True, kw_only=True)
class Documented:
    """The documentation score with its words and its badge's look."""

    score: Documentation
    words: str
    look: str
    meaning: str


def documented(model: Model, card: ReadCard, hidden: Set[str] = frozenset()) -> Documented:
    """How well a model is documented, each rule with its finding; evidence with a name of `hidden` is left out."""
    score = documentation_score(
        has_card=card.exists, front_matter=card.front_matter, body=card.body, tags=model.tags or ()
    )
    if hidden:
        shown = (
            one if not any(name in one.evidence for name in hidden) else replace(one, evidence="")
            for one in score.findings
        )
        score = replace(score, findings=tuple(shown))
    return Documented(
        score=score,
        words=DOCUMENTATION_WORDS[score.level],
        look=DOCUMENTATION_LOOKS[score.level],
        meaning=DOCUMENTATION_LEVELS[score.level],
    )


def documented_json(found: Documented) -> dict[str, Any]:
    """The documentation score for a model's twin."""
    return {
        "points": found.score.points,
        "most": found.score.most,
        "level": found.score.level,
        "findings": [
            {
                "rule": one.rule.name,
                "title": one.rule.title,
                "is_met": one.is_met,
                "points": one.points,
                "most": one.rule.points,
                "evidence": one.evidence,
                "missing": one.rule.missing if one.is_met is False else "",
            }
            for one in found.score.findings
        ],
    }


@dataclass(frozen=True, kw_only=True)
class Safety:
    """A level of safety in words; `notes` say what was found beside it."""

    level: str
    title: str
    meaning: str
    look: str
    notes: tuple[str, ...] = ()


NAMES_ONLY = "By their names its weight files hold numbers and no code. Their bytes were not read: nothing is proven."


def safety_level(key: str) -> Safety:
    """A level by its key; what is no level is unknown."""
    level = LEVELS.get(key, LEVELS["unknown"])
    return Safety(level=level.key, title=level.title, meaning=level.meaning, look=SAFETY_LOOKS[level.key])


def safety_of(model: Model, files: Sequence[File], paths: Sequence[str]) -> Safety:
    """How safe a model's files are: as they were read, else by their names and by what the hub says."""
    record: RecordData = record_of(model)
    status = record.get("securityRepoStatus")
    stated = status if isinstance(status, str | Mapping) else None
    found = safety_level(model.safety or record_safety(paths, stated))
    notes = [f"{one.sentence} ({one.place})" if one.place else one.sentence for one in record_findings(paths, stated)]
    notes = [f"{file.path}: {file.safety_note}" for file in files if file.safety == "flagged"] + notes
    if any(file.safety for file in files):
        return replace(found, notes=tuple(notes[:12]))
    if found.level == "safe-format":
        found = replace(found, title=f"{found.title}, by their names", meaning=NAMES_ONLY)
    elif files or paths:
        notes.append("Judged by the names of its files; their bytes were not read for this.")
    return replace(found, notes=tuple(notes[:12]))
