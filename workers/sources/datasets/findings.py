"""Findings about a data set in words, and the report that holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

EXAMPLES = 5
Level = Literal["error", "warning", "note"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was found.

    level   "error": not to be accepted; "warning": scores may mislead; "note": good to know
    kind    identifier, one for each sort of finding
    text    what was found, in a sentence
    advice  what to do about it, in a sentence; "" for notes that ask for nothing
    rows    how many rows it concerns, 0 for all or none
    at      positions of the first of them in the data set, to be shown
    """

    level: Level
    kind: str
    text: str
    advice: str = ""
    rows: int = 0
    at: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DatasetReport:
    """All findings, the gravest first, and the numbers behind them as JSON values.

    facts: duplicates, conflicts, missing_values, near_duplicates, leaked, imbalance, effective_rows (per class),
    dropped ({reason: rows}), sizes, lengths, telling_columns, groups.
    """

    findings: tuple[Finding, ...]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def is_acceptable(self) -> bool:
        """Whether no finding is an error."""
        return all(finding.level != "error" for finding in self.findings)

    @property
    def sentence(self) -> str:
        """The report in one sentence."""
        counts = {
            level: sum(finding.level == level for finding in self.findings) for level in ("error", "warning", "note")
        }
        shown = [f"{count} {level}{'s' if count > 1 else ''}" for level, count in counts.items() if count]
        verdict = "The data set can be used" if self.is_acceptable else "The data set cannot be used as it is"
        return f"{verdict}: {', '.join(shown)}." if shown else f"{verdict}: nothing was found."


def first_names(names: Sequence[str]) -> str:
    """The first of these names, and how many more there are."""
    more = f" and {len(names) - EXAMPLES} more" if len(names) > EXAMPLES else ""
    return ", ".join(names[:EXAMPLES]) + more
