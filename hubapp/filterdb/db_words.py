"""What the page of the filter DB says in words: what was found, and how its numbers are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hubapp.charts import DriftCell
from hubapp.filterdb.db_intervals import NOT_YET
from hubapp.filterdb.groups import FilterGroups
from hubapp.ui.words import count, number
from workers.statistics.drift import BALANCES

FEW_FILTERS = 1000
DRIFT_WORDS = (
    "Symmetric Kullback–Leibler divergence, KL(P‖Q) + KL(Q‖P) with natural logarithms, of each coefficient's histogram "
    "in the fixed DCT basis (version 1, 70 bins), summed with the variance shares of the two groups pooled as weights. "
    "Neither a further model nor the sign of an axis changes it."
)
COEFFICIENT_WORDS = (
    "Orthonormal DCT-II without centring; (0, 0) is the mean of a filter times a constant, (row, column) are vertical "
    "and horizontal frequency."
)
PHENOTYPE_WORDS = (
    "Sun, spikes, symbols or point, as the paper names them; the numeric rules are this site's own, on the density of "
    "the coefficients (0, 0) and (0, 1)."
)


class Counted(Protocol):
    """A group as far as sentences know it."""

    @property
    def name(self) -> str:
        """What the group is called."""

    @property
    def models(self) -> int:
        """How many models it has."""

    @property
    def filters(self) -> int:
        """How many filters it has."""

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
        f"({_estimate(nearest)}).{_beyond(known)}{_caution(groups)}"
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
        if any(NOT_YET in cell.note for cell in cells):
            return " No pair was set against chance yet."
        return " No pair can be set against chance: that takes two models in each group."
    without = len(cells) - len(judged)
    rest = f"; {without} {'has' if without == 1 else 'have'} no null." if without else "."
    beyond = sum(cell.is_beyond for cell in judged)
    if len(judged) == 1:
        sign = "further" if beyond else "no further"
        return f" One pair has a null and lies {sign} apart than chance alone gives in 95 of 100 cases{rest}"
    verb = "lies" if beyond == 1 else "lie"
    return f" {beyond} of {len(judged)} pairs {verb} further apart than chance alone gives in 95 of 100 cases{rest}"


def _caution(groups: Sequence[Counted]) -> str:
    """That groups of few filters lie far from all others by chance: 500 of one normal distribution drift by 0.4."""
    few = [group for group in groups if group.filters < FEW_FILTERS]
    if not few:
        return ""
    named = ", ".join(f"“{group.name}”" for group in few[:3]) + (" and others" if len(few) > 3 else "")
    verb = "has" if len(few) == 1 else "have"
    return f" {named} {verb} fewer than {number(FEW_FILTERS, 0)} filters: so few drift far by chance."


def _many(how_many: int, what: str) -> str:
    return f"{number(how_many, 0)} {what}{'' if how_many == 1 else 's'}"


def groups_words(found: FilterGroups) -> str:
    """Which groups there are along an axis, and what is left out."""
    parts = [found.axis.meaning]
    if found.others:
        models = sum(number for _, number in found.others)
        rest = f"{_many(len(found.others), 'smaller group')} with {_many(models, 'model')}"
        verb = "is" if len(found.others) == 1 else "are"
        parts.append(f"The {len(found.groups)} groups with the most filters are shown; {rest} {verb} not.")
    if found.axis.is_multiple:
        parts.append("A model may be in several groups.")
    if found.unstated:
        verb, it = ("is", "it says") if found.unstated == 1 else ("are", "they say")
        parts.append(f"{_many(found.unstated, 'model')} {verb} left out: {it} nothing about this.")
    return " ".join(parts)


def conventions(found: FilterGroups, intervals: str) -> list[tuple[str, str]]:
    """How the numbers of the page are made, by name; `intervals` says how those were."""
    sizes = found.kernel.replace("x", " × ")
    weights = (
        "as they are in the file"
        if found.view == "stored"
        else "with batch norm folded in where there is one, else as they are in the file"
    )
    return [
        ("Filters", f"{sizes} kernels, each divided by its own largest absolute weight; weights {weights}."),
        ("Balance", f"{BALANCES[found.balance]}.".capitalize()),
        ("Drift", DRIFT_WORDS),
        ("Interval and null", intervals),
        ("Coefficients", COEFFICIENT_WORDS),
        ("Basis", "Principal axes of the group's own filters; the share is that of the variance along each."),
        ("Phenotype", PHENOTYPE_WORDS),
        ("Stamp", f"{found.stamp[:12]}: equal stamps, equal numbers."),
    ]
