"""The documentation score of one card: each rule met or not, with its evidence, and the sum of points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hubapp.catalog.documentation.contents import (
    asks_to_write,
    has_emissions,
    has_numbers,
    has_person,
    has_reference,
    has_running_code,
    is_filled,
    own_weight,
)
from hubapp.catalog.documentation.front_matter import Answer, emissions, front_matter_answers, index_has_numbers
from hubapp.catalog.documentation.headings import heading_anchor, heading_is_latin, heading_rules
from hubapp.catalog.documentation.reading import LABEL_LEVEL, MOST_BODY, Part, card_parts, part_with_below
from hubapp.catalog.documentation.rules import GOOD_FROM, PARTIAL_FROM, RULES, Level, Rule

_SECTION_RULES = tuple(rule.name for rule in RULES if rule.group == "sections")


@dataclass(frozen=True, kw_only=True)
class RuleResult:
    """One rule and one card.

    is_met    None where it cannot be told: the card was not read, or its headings are in no language the rules know
    points    what it adds to the score: all of the rule's or none
    evidence  what was found, in words; "" if nothing was
    where     the anchor of the heading that was found, filled or not; "" if none
    """

    rule: Rule
    is_met: bool | None
    points: int
    evidence: str
    where: str = ""


@dataclass(frozen=True, kw_only=True)
class Documentation:
    """How well a model is documented: the sum, its level and every rule's finding in the order of `RULES`."""

    points: int
    most: int
    level: Level
    findings: tuple[RuleResult, ...]

    @property
    def missing(self) -> tuple[RuleResult, ...]:
        """What the card does not say."""
        return tuple(finding for finding in self.findings if finding.is_met is False)


def documentation_score(
    *, has_card: bool | None, front_matter: Mapping[str, object], body: str | None, tags: Sequence[str] = ()
) -> Documentation:
    """The documentation score of a card.

    has_card      None where nobody looked for a card
    front_matter  its front matter, or the record's `cardData`
    body          what stands below the front matter; None where it was not read
    tags          the record's tags, which repeat parts of the front matter
    """
    body = None if body is None else body[:MOST_BODY]
    is_empty = body is not None and not body.strip() and not front_matter
    if has_card is False or is_empty:
        return _sum({}, none="there is no card" if has_card is False else "the card is empty", level="none")
    if body is not None:
        has_card = True
    answers = front_matter_answers(front_matter, tags, body or "", is_known=has_card is not None)
    found: dict[str, tuple[Answer, str]] = {name: (answer, "") for name, answer in answers.items()}
    found["card"] = ((has_card, "the card was read" if body is not None else "the record lists one"), "")
    if body is None:
        found |= dict.fromkeys(_SECTION_RULES, ((None, "the card was not read"), ""))
        found |= {name: (answer, "") for name, answer in _by_front_matter(front_matter).items()}
        return _sum(found, level="not-read")
    found |= _sections(body, front_matter)
    return _sum(found)


def _sum(found: Mapping[str, tuple[Answer, str]], *, none: str = "", level: Level | None = None) -> Documentation:
    findings = []
    for rule in RULES:
        (is_met, evidence), where = found.get(rule.name, ((False, none), ""))
        points = rule.points if is_met else 0
        findings.append(RuleResult(rule=rule, is_met=is_met, points=points, evidence=evidence, where=where))
    points = sum(finding.points for finding in findings)
    by_points: Level = "good" if points >= GOOD_FROM else "partial" if points >= PARTIAL_FROM else "thin"
    most = sum(rule.points for rule in RULES)
    return Documentation(points=points, most=most, level=level or by_points, findings=tuple(findings))


def _by_front_matter(front_matter: Mapping[str, object]) -> dict[str, Answer]:
    """Section rules that the front matter answers by itself."""
    answers: dict[str, Answer] = {}
    if index_has_numbers(front_matter):
        answers["evaluation"] = (True, "numbers in the model-index of the front matter")
    if stated := emissions(front_matter):
        answers["environment"] = (True, f"emissions in the front matter: {stated}")
    return answers


def _sections(body: str, front_matter: Mapping[str, object]) -> dict[str, tuple[Answer, str]]:
    parts = card_parts(body)
    named = _named_places(parts)
    outside = _by_front_matter(front_matter)
    is_foreign = _is_foreign(parts)
    found: dict[str, tuple[Answer, str]] = {}
    for name in _SECTION_RULES:
        answer, where = _under_headings(name, parts, named.get(name, []))
        if not answer[0] and name in outside:
            answer, where = outside[name], ""
        if not answer[0] and (elsewhere := _elsewhere(name, parts)):
            answer, where = elsewhere
        if not answer[0] and is_foreign:
            answer, where = (None, "most headings of the card are in a language that the rules do not read"), ""
        found[name] = (answer, where)
    return found


def _named_places(parts: Sequence[Part]) -> dict[str, list[int]]:
    """For each rule the places of the headings that are about it. The card's title is about none."""
    real = [place for place, part in enumerate(parts) if 0 < part.level < LABEL_LEVEL]
    levels = [parts[place].level for place in real]
    title = real[0] if len(levels) > 1 and levels[0] < min(levels[1:]) else None
    places: dict[str, list[int]] = {}
    for place, part in enumerate(parts):
        if part.level and place != title:
            for name in heading_rules(part.title):
                places.setdefault(name, []).append(place)
    return places


def _under_headings(name: str, parts: Sequence[Part], places: Sequence[int]) -> tuple[Answer, str]:
    empty: tuple[Answer, str] = ((False, ""), "")
    for place in places:
        first, *below = part_with_below(parts, place)
        own = [first, *(part for part in below if name in (about := heading_rules(part.title)) or not about)]
        title = " ".join(first.title.split())[:80]
        if _is_met(name, own):
            return (True, f"under “{title}”"), heading_anchor(first.title)
        if not empty[1]:
            why = _LACKS.get(name, "says too little") if own_weight(own) else "holds nothing but a template"
            empty = (False, f"“{title}” {why}"), heading_anchor(first.title)
    return empty


_LACKS = {
    "evaluation": "has no number",
    "how-to-use": "has no code that loads or runs the model",
    "contact": "gives no address",
}


def _is_met(name: str, parts: Sequence[Part]) -> bool:
    if name == "how-to-use":
        return has_running_code(parts)
    if name == "evaluation":
        return has_numbers(parts)
    if name == "contact":
        return is_filled(parts) and has_person(parts)
    if name == "citation":
        return has_reference(parts) or is_filled(parts)
    if name == "environment":
        return has_emissions(parts) or is_filled(parts)
    return is_filled(parts)


def _elsewhere(name: str, parts: Sequence[Part]) -> tuple[Answer, str] | None:
    """What stands under a heading about something else, or under none, and cannot be mistaken."""
    for part in parts:
        if name == "how-to-use" and has_running_code([part]) and "training-procedure" not in heading_rules(part.title):
            return _at(part, "code that loads or runs the model")
        if name == "citation" and any("@" in block and has_reference([part]) for block in part.code):
            return _at(part, "a BibTeX entry")
        if name == "contact" and asks_to_write(part):
            return _at(part, "a line that says how to get in touch")
        if name == "environment" and has_emissions([part]):
            return _at(part, "emissions or energy with a number")
        if name == "evaluation" and "following results" in part.text and has_numbers([part]):
            return _at(part, "results on the evaluation set")
    return None


def _at(part: Part, what: str) -> tuple[Answer, str]:
    if not part.title:
        return (True, what), ""
    return (True, f"{what} under “{' '.join(part.title.split())[:80]}”"), heading_anchor(part.title)


def _is_foreign(parts: Sequence[Part]) -> bool:
    """Whether most headings of a card have no word in Latin letters."""
    titles = [
        part.title for part in parts if 0 < part.level < LABEL_LEVEL and any(sign.isalpha() for sign in part.title)
    ]
    return len(titles) >= 2 and sum(not heading_is_latin(title) for title in titles) > len(titles) / 2
