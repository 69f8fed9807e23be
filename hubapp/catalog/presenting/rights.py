"""What may be done with a model: the answers of its licence and of those of everything that it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hubapp.catalog.described import mapping_of, record_of
from hubapp.catalog.licences import USES, Licence, Verdict, chain_verdict, licence_normalise, use_verdict
from hubapp.catalog.lineage import Brief, Known, Relative
from hubapp.catalog.models import Model

SHOWN_USES = ("commercial", "redistribution", "modification")
MOST_LINKS = 30
LOOKS = {"allowed": "good", "with conditions": "warn", "unknown": "off", "not allowed": "bad"}
_NOT_HERE = Licence(id="other", spdx="", stated="", title="not known here", family="unknown", is_known=False)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer to one use, in a word and a sentence; `look` is the badge's."""

    use: str
    title: str
    answer: str
    sentence: str

    @property
    def look(self) -> str:
        """How the badge looks."""
        return LOOKS[self.answer]


@dataclass(frozen=True, kw_only=True)
class Link:
    """A link of the chain: the model itself, or what it was made from (`is_known`: it is in the catalogue)."""

    name: str
    relation: str
    licence: str
    is_self: bool
    is_known: bool
    answers: tuple[Answer, ...]


@dataclass(frozen=True, kw_only=True)
class Rights:
    """What a model's licence chain allows.

    uses   one answer for each of SHOWN_USES, over the whole chain
    chain  the model and its ancestors, the nearest first
    """

    licence: Licence
    uses: tuple[Answer, ...]
    chain: tuple[Link, ...]
    more: int
    conflicts: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def licence_name(self) -> str:
        """The licence as briefly as can be."""
        return _short(self.licence)


def licence_of(model: Model) -> Licence:
    """A model's licence, with what its card says of its name and text."""
    card = mapping_of(record_of(model).get("cardData"))
    if card.get("license"):
        return licence_normalise(card["license"], name=_text(card, "license_name"), link=_text(card, "license_link"))
    return _normalised(model.licence, model.licence_stated)


def rights_of(model: Model, brief: Brief) -> Rights:
    """What may be done with a model, by its own licence and those of its ancestors. Nothing is queried."""
    own = licence_of(model)
    bases = [(one, _licence_of_known(one.known)) for one in brief.ancestors]
    links = [_link(model.slug, own, is_self=True), *(_link_of(one, licence) for one, licence in bases)]
    chain = [(one.name, licence, one.relation) for one, licence in bases]
    verdict = chain_verdict(chain, own, SHOWN_USES[0], name=model.slug)
    notes = list(verdict.notes)
    if brief.hides_bases:
        notes.append("Not everything that it was made from can be shown here, so what the chain allows is unknown.")
    return Rights(
        licence=own,
        uses=tuple(_over_chain(place, links, hides=brief.hides_bases) for place in range(len(SHOWN_USES))),
        chain=tuple(links[: MOST_LINKS + 1]),
        more=max(0, len(links) - MOST_LINKS - 1),
        conflicts=tuple(conflict.sentence for conflict in verdict.conflicts),
        notes=tuple(notes),
    )


def rights_json(rights: Rights) -> dict[str, Any]:
    """The rights for a model's twin."""
    return {
        "licence": rights.licence.id,
        "stated": rights.licence.stated,
        "family": rights.licence.family,
        "uses": {one.use: {"answer": one.answer, "sentence": one.sentence} for one in rights.uses},
        "chain": [
            {
                "model": link.name,
                "relation": link.relation,
                "licence": link.licence,
                "answers": {one.use: one.answer for one in link.answers},
            }
            for link in rights.chain
        ],
        "conflicts": rights.conflicts,
        "notes": rights.notes,
    }


def _over_chain(place: int, links: Sequence[Link], *, hides: bool) -> Answer:
    """The strictest answer of the chain, in the words of the link that gives it."""
    order = list(LOOKS)
    strictest = max(links, key=lambda link: order.index(link.answers[place].answer))
    answer = strictest.answers[place]
    if hides and answer.answer not in {"unknown", "not allowed"}:
        sentence = "It was made from a model that is not shown here, whose licence counts too."
        return Answer(use=answer.use, title=answer.title, answer="unknown", sentence=sentence)
    whose = "" if strictest.is_self or not strictest.is_known else f"By {strictest.name}: "
    return Answer(use=answer.use, title=answer.title, answer=answer.answer, sentence=f"{whose}{answer.sentence}")


def _link(name: str, licence: Licence, *, relation: str = "", is_self: bool = False, is_known: bool = True) -> Link:
    answers = []
    for use in SHOWN_USES:
        verdict = use_verdict(licence, use)
        if not is_known:
            sentence = f"{name} is not in the catalogue, so nothing tells whether its licence allows {USES[use]}."
            verdict = Verdict(answer="unknown", sentence=sentence)
        answers.append(Answer(use=use, title=USES[use], answer=verdict.answer, sentence=verdict.sentence))
    return Link(
        name=name,
        relation=relation,
        licence=_short(licence),
        is_self=is_self,
        is_known=is_known,
        answers=tuple(answers),
    )


def _link_of(one: Relative, licence: Licence) -> Link:
    return _link(one.name, licence, relation=one.relation, is_known=one.known is not None)


def _short(licence: Licence) -> str:
    return licence.spdx or licence.title


def _licence_of_known(known: Known | None) -> Licence:
    return _NOT_HERE if known is None else _normalised(known.licence, known.licence_stated)


def _normalised(licence: str, stated: str) -> Licence:
    return licence_normalise(licence if licence not in {"", "other"} else stated or licence)


def _text(card: Any, name: str) -> str:
    value = card.get(name)
    return value if isinstance(value, str) else ""
