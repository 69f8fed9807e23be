"""What the licences of a model's bases leave allowed, and where a model states more than its bases grant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hubapp.catalog.licences.normalising import Licence
from hubapp.catalog.licences.table import Cell, Terms, licence_terms
from hubapp.catalog.licences.verdicts import Answer, strictest, use_verdict

ConflictKind = Literal["no derivatives", "same licence", "non-commercial", "use restrictions", "more permissive"]
_FREEDOM: dict[Cell, int] = {"no": 0, "conditions": 1, "yes": 2, "unknown": -1}


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """A model states a licence that one of its bases does not leave room for."""

    kind: ConflictKind
    base: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class ChainVerdict:
    """What a model and all its bases together allow.

    answer     the strictest of the links: a "not allowed" anywhere decides, then an unknown, then conditions
    sentences  one for the model and one for each base, in the order given
    conflicts  where the model's licence is at odds with a base's
    notes      duties that follow from a base, such as a name, and licences that are missing
    """

    answer: Answer
    sentences: tuple[str, ...]
    conflicts: tuple[Conflict, ...]
    notes: tuple[str, ...]


def chain_verdict(
    chain: Sequence[tuple[str, Licence, str]], licence: Licence, use: str, *, name: str = ""
) -> ChainVerdict:
    """What the licence of a model and those of all its ancestors allow for `use`.

    chain    (name of the base, its licence, its relation to what was made of it) for every ancestor, in any order
    licence  what the model itself states
    name     the model's own name, for the rules on names; "" leaves them out
    """
    own = use_verdict(licence, use)
    answers, sentences = [own.answer], [f"The model itself: {own.sentence}"]
    conflicts: list[Conflict] = []
    notes: list[str] = []
    for base, base_licence, relation in chain:
        verdict = use_verdict(base_licence, use)
        answers.append(verdict.answer)
        kind = f" ({relation})" if relation else ""
        sentences.append(f"{base}{kind}: {verdict.sentence}")
        if conflict := licence_conflict(base_licence, licence, base=base):
            conflicts.append(conflict)
        notes += _notes(base, base_licence, licence, name)
    return ChainVerdict(
        answer=strictest(answers),
        sentences=tuple(sentences),
        conflicts=tuple(conflicts),
        notes=tuple(dict.fromkeys(notes)),
    )


def licence_conflict(base_licence: Licence, licence: Licence, *, base: str = "the base") -> Conflict | None:
    """Whether something made of a base under `base_licence` may state `licence`; None where it may, or none can tell.

    Of several licences of the base each one binds; the first conflict found is named.
    """
    for base_part in base_licence.parts or (base_licence,):
        for part in licence.parts or (licence,):
            if found := _conflict(base_part, part, base):
                return found
    return None


def licence_changes(licences: Sequence[Licence]) -> bool:
    """Whether the licence changes along a chain, an unstated one counting as another."""
    return len({licence.id for licence in licences}) > 1


def _conflict(base_licence: Licence, licence: Licence, base: str) -> Conflict | None:
    below, above = licence_terms(base_licence.id), licence_terms(licence.id)
    if below is None:
        return None
    old, new = base_licence.title, licence.title
    if below.modification == "no":
        sentence = f"{base} is under {old}, which allows no changed versions to be shared; this model is one."
        return Conflict(kind="no derivatives", base=base, sentence=sentence)
    # A licence that the table cannot read gives no ground for a conflict.
    if above is None or not licence.is_known or below.id == above.id or above.id in below.accepts:
        return None
    if below.commercial == "no" and above.commercial in {"yes", "conditions"}:
        sentence = f"{base} is under {old}, which forbids commercial use; this model states {new}, which allows it."
        return Conflict(kind="non-commercial", base=base, sentence=sentence)
    if below.same_licence == "yes":
        sentence = f"{base} asks that changed versions stay under {old}; this model states {new}."
        return Conflict(kind="same licence", base=base, sentence=sentence)
    if below.use_restrictions == "yes" and above.use_restrictions == "no":
        sentence = f"{base} is under {old}, whose use restrictions must be passed on; {new} has none."
        return Conflict(kind="use restrictions", base=base, sentence=sentence)
    return _more_permissive(below, above, base)


def _more_permissive(below: Terms, above: Terms, base: str) -> Conflict | None:
    """A licence that grants commercial use freely over a base that sets conditions for it."""
    if 0 <= _FREEDOM[below.commercial] < _FREEDOM[above.commercial]:
        sentence = f"{base} is under {below.title}, which sets conditions for commercial use; {above.title} sets none."
        return Conflict(kind="more permissive", base=base, sentence=sentence)
    return None


def _notes(base: str, base_licence: Licence, licence: Licence, name: str) -> list[str]:
    notes = []
    for part in base_licence.parts or (base_licence,):
        terms = licence_terms(part.id)
        if terms is None:
            continue
        if not licence.id and terms.family not in {"public-domain", "unknown", "other"}:
            notes.append(
                f"The model states no licence; that of {base}, {terms.title}, still holds for what came from it."
            )
        if terms.name_rule and name and not _begins(name, terms.name_rule):
            rule = f'names of derivatives begin with "{terms.name_rule}"'
            notes.append(f"{terms.title} ({base}) asks that {rule}; this one does not.")
    return notes


def _begins(name: str, rule: str) -> bool:
    """Whether the name after the owner begins with the rule, whatever joins its words."""
    own = "".join(sign for sign in name.split("/")[-1].lower() if sign.isalnum())
    return own.startswith("".join(sign for sign in rule.lower() if sign.isalnum()))
