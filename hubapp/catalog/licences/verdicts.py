"""Whether a licence allows an intended use, in one sentence. Not legal advice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from hubapp.catalog.licences.normalising import Licence
from hubapp.catalog.licences.table import Cell, Terms, licence_terms

Answer = Literal["allowed", "with conditions", "unknown", "not allowed"]

USES: dict[str, str] = {
    "commercial": "commercial use",
    "redistribution": "passing it on",
    "modification": "changing it and sharing the result",
    "research": "research that is not commercial",
}
"""Intended uses in words."""
# From the mildest to the strictest: a definite "no" stays "no" whatever the unknown part says.
ANSWERS: tuple[Answer, ...] = get_args(Answer)

_ANSWER: dict[Cell, Answer] = {
    "yes": "allowed",
    "conditions": "with conditions",
    "unknown": "unknown",
    "no": "not allowed",
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a licence says to a use: the answer, and why in one sentence."""

    answer: Answer
    sentence: str


def strictest(answers: list[Answer]) -> Answer:
    """The strictest of several answers; "unknown" of none."""
    return max(answers, key=ANSWERS.index) if answers else "unknown"


def use_verdict(licence: Licence, use: str) -> Verdict:
    """Whether `licence` allows `use`, a key of `USES`. Several licences all have to allow it."""
    if use not in USES:
        raise ValueError(f"no use is called {use!r}; there are {', '.join(USES)}")
    if licence.parts:
        verdicts = [use_verdict(part, use) for part in licence.parts]
        answer = strictest([verdict.answer for verdict in verdicts])
        sentences = " ".join(verdict.sentence for verdict in verdicts)
        return Verdict(answer=answer, sentence=f"It states several licences; all of them count. {sentences}")
    words = USES[use]
    if not licence.id:
        return Verdict(answer="unknown", sentence=f"No licence is stated, so nothing tells whether {words} is allowed.")
    terms = licence_terms(licence.id)
    if terms is None:
        sentence = f"{licence.title} is a known licence, but the table does not hold its terms: {words} is unknown."
        return Verdict(answer="unknown", sentence=sentence)
    cell: Cell = getattr(terms, use)
    return Verdict(answer=_ANSWER[cell], sentence=_sentence(licence, terms, cell, words, use))


def _sentence(licence: Licence, terms: Terms, cell: Cell, words: str, use: str) -> str:
    title = licence.title
    if cell == "unknown":
        why = "" if licence.is_known else " Read its text."
        return f"{title}: whether {words} is allowed is unknown.{why}"
    if cell == "no":
        return _ended(f"{title} does not allow {words}", terms.note)
    duties = _duties(terms, use)
    if cell == "yes":
        return _ended(f"{title} allows {words}" + (f"; {duties}" if duties else ""), "")
    return _ended(f"{title} allows {words} with conditions" + (f": {duties}" if duties else ""), terms.note)


def _duties(terms: Terms, use: str) -> str:
    duties = []
    if terms.use_restrictions == "yes":
        duties.append("some uses are forbidden")
    if use in {"redistribution", "modification"}:
        if terms.attribution == "yes":
            duties.append("notices and names stay")
        if terms.same_licence == "yes" and use == "modification":
            duties.append("changed versions carry the same licence")
    if terms.commercial == "no" and use != "research":
        duties.append("not for commercial advantage")
    if terms.modification == "no" and use == "redistribution":
        duties.append("unchanged only")
    return ", ".join(duties)


def _ended(text: str, note: str) -> str:
    return f"{text}. {note}" if note else f"{text}."
