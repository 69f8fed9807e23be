"""What the page of the filter DB says in words: what was found, and how its numbers are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hubapp.charts import DriftCell
from hubapp.ui.words import count, number


class Counted(Protocol):
    """A group as far as sentences know it."""

    @property
    def name(self) -> str:
        """What the group is called."""

    @property
    def models(self) -> int:
        """How many models it has."""

    @property
    def mean_drift(self) -> float | None:
        """Its mean drift to the others; None where there is none."""


def finding(axis: str, groups: Sequence[Counted], cells: Sequence[DriftCell], *, models: int, filters: int) -> str:
    """What the drift along an axis says, in a sentence or two; `axis` in words, such as "By task"."""
    held = f"{_many(models, 'model')} with {count(filters)} filters"
    known = [cell for cell in cells if cell.value is not None]
    if len(groups) == 1:
        return f"{axis}, {held} make one group, “{groups[0].name}”, so there is nothing to set it against."
    if not known:
        return f"{axis}, {held} make {_many(len(groups), 'group')}."
    if len(groups) == 2:
        one, other = (f"“{group.name}” ({_many(group.models, 'model')})" for group in groups)
        return f"{one} and {other} lie {_estimate(known[0])} apart{_against_chance(known[0])}"
    furthest = max(groups, key=lambda group: group.mean_drift or 0.0)
    nearest = min(known, key=lambda cell: cell.value or 0.0)
    return (
        f"{axis}, {held} make {len(groups)} groups: “{furthest.name}” lies furthest from the others (mean drift "
        f"{number(furthest.mean_drift, 3)}), “{nearest.a}” and “{nearest.b}” lie closest "
        f"({_estimate(nearest)}).{_beyond(known)}"
    )


def _estimate(cell: DriftCell) -> str:
    if cell.low is None or cell.high is None:
        return number(cell.value, 3)
    return f"{number(cell.value, 3)} [{number(cell.low, 3)}, {number(cell.high, 3)}]"


def _against_chance(cell: DriftCell) -> str:
    if cell.null is None:
        return f" ({cell.note})." if cell.note else "."
    sign = "more" if cell.is_beyond else "no more"
    return f", {sign} than chance alone gives (95% quantile {number(cell.null, 3)})."


def _beyond(cells: Sequence[DriftCell]) -> str:
    judged = [cell for cell in cells if cell.null is not None]
    if not judged:
        return " No pair was set against chance yet."
    beyond = sum(cell.is_beyond for cell in judged)
    verb = "lies" if beyond == 1 else "lie"
    text = f" {beyond} of {len(judged)} pairs {verb} further apart than chance alone gives in 95 of 100 cases"
    without = len(cells) - len(judged)
    return f"{text}; {without} {'has' if without == 1 else 'have'} no null." if without else f"{text}."


def _many(how_many: int, what: str) -> str:
    return f"{number(how_many, 0)} {what}{'' if how_many == 1 else 's'}"
