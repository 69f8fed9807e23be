"""The share of models that meet each rule, over many models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from hubapp.catalog.documentation.rules import RULES, Rule
from hubapp.catalog.documentation.scoring import Documentation
from workers.statistics import Share, wilson_share


@dataclass(frozen=True, kw_only=True)
class SectionShare:
    """One rule over many models.

    met    models that meet it
    known  models of which it is known whether they do; the share is of these
    """

    rule: Rule
    met: int
    known: int
    share: Share


def section_shares(documentations: Iterable[Documentation], *, confidence: float = 0.95) -> tuple[SectionShare, ...]:
    """The share of models that meet each rule, with Wilson's interval, in the order of `RULES`."""
    met: Counter[str] = Counter()
    known: Counter[str] = Counter()
    for documentation in documentations:
        for finding in documentation.findings:
            known[finding.rule.name] += finding.is_met is not None
            met[finding.rule.name] += finding.is_met is True
    return tuple(
        SectionShare(
            rule=rule,
            met=met[rule.name],
            known=known[rule.name],
            share=wilson_share(met[rule.name], known[rule.name], confidence=confidence),
        )
        for rule in RULES
    )
