"""How well a model is documented: a sum of explainable rules over its card. Pure functions, no query."""

from hubapp.catalog.documentation.rules import GROUPS, LEVELS, RULES, Rule
from hubapp.catalog.documentation.scoring import Documentation, RuleResult, documentation_score
from hubapp.catalog.documentation.shares import SectionShare, section_shares

__all__ = [
    "GROUPS",
    "LEVELS",
    "RULES",
    "Documentation",
    "Rule",
    "RuleResult",
    "SectionShare",
    "documentation_score",
    "section_shares",
]
