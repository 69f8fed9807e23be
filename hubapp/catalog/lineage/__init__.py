"""What models were made from and what was made from them. Restricted models are no part of what outsiders see."""

from hubapp.catalog.lineage.walking import (
    Brief,
    Edge,
    Known,
    Lineage,
    Relative,
    Successor,
    lineage_brief,
    lineage_of,
)
from hubapp.catalog.lineage.whole import LineageFacts, lineage_facts

__all__ = [
    "Brief",
    "Edge",
    "Known",
    "Lineage",
    "LineageFacts",
    "Relative",
    "Successor",
    "lineage_brief",
    "lineage_facts",
    "lineage_of",
]
