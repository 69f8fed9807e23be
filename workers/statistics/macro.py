"""Means over data sets or sub-tasks that compare like with like: only members which every model has."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.statistics.intervals import Interval

Array = NDArray[np.float64]
NORMAL = 1.959963984540054
INDEPENDENT = "members independent: √Σ variances / members (EHRSHOT's script)"
ROOT_MEAN = "√(mean of the variances), √members times wider than for independent members (EHRSHOT's npj table)"
PAIRED = "members resampled together: SD (ddof 1) of the mean over members by draw"


@dataclass(frozen=True, kw_only=True)
class MemberScore:
    """One model's score on one member (a data set or a sub-task).

    standard_error  of the value; None where it is not known
    draws           the value in each bootstrap draw, where members share their draws (sub-tasks on the same test rows)
    """

    value: float
    standard_error: float | None = None
    draws: Array | None = None


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A member that is left out of every mean because these models lack a score on it."""

    member: str
    models: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class MacroMean:
    """A model's mean over the common members.

    independent  interval for members that have nothing in common; None where a standard error is missing
    paired       interval from draws that the members share; None where they share none
    """

    value: float
    independent: Interval | None
    paired: Interval | None


@dataclass(frozen=True, kw_only=True)
class Macro:
    """The means of all models over the same members, and what had to be left out."""

    members: tuple[str, ...]
    means: dict[str, MacroMean]
    missing: tuple[Missing, ...]


def macro_average(scores: Mapping[str, Mapping[str, MemberScore]]) -> Macro:
    """Mean of each model over the members on which all models have a finite score.

    scores  member -> model -> score. Every model that is named anywhere counts, so a model with one gap takes that
            member from all of them, and `missing` lists it: an average over unequal support compares data sets, not
            models. With no common member there are no means.
    """
    models = list(dict.fromkeys(name for of_member in scores.values() for name in of_member))
    members, missing = [], []
    for member, of_member in scores.items():
        lacking = tuple(name for name in models if name not in of_member or not math.isfinite(of_member[name].value))
        if lacking:
            missing.append(Missing(member=member, models=lacking))
        else:
            members.append(member)
    means = {}
    if members:
        means = {name: _mean([scores[member][name] for member in members]) for name in models}
    return Macro(members=tuple(members), means=means, missing=tuple(missing))


def _mean(scores: Sequence[MemberScore]) -> MacroMean:
    value = float(np.mean([score.value for score in scores]))
    errors = [score.standard_error for score in scores if score.standard_error is not None]
    independent = None
    if len(errors) == len(scores):
        independent = _normal(value, independent_error(errors), f"{INDEPENDENT}, normal")
    draws = [score.draws for score in scores if score.draws is not None]
    paired = None
    if len(draws) == len(scores) and len({len(one) for one in draws}) == 1 and len(draws[0]) > 1:
        together = np.mean(draws, axis=0)
        together = together[np.isfinite(together)]
        if together.size > 1:
            paired = _normal(value, float(together.std(ddof=1)), f"{PAIRED}, {together.size} draws, normal")
    return MacroMean(value=value, independent=independent, paired=paired)


def _normal(value: float, error: float, kind: str) -> Interval:
    return Interval(
        low=value - NORMAL * error,
        high=value + NORMAL * error,
        standard_error=error,
        degrees_of_freedom=math.inf,
        kind=f"95% interval: {kind}",
    )


def independent_error(errors: Sequence[float]) -> float:
    """Standard error of a mean of independent members: √Σ s² / n, EHRSHOT's script (Wornow et al., NeurIPS 2023)."""
    return math.sqrt(sum(error * error for error in errors)) / len(errors)


def root_mean_error(errors: Sequence[float]) -> float:
    """√(Σ s² / n): what EHRSHOT's npj table prints for its overall mean, √n times `independent_error`.

    It is the error of a typical member, not of their mean; here to recognise published numbers.
    """
    return math.sqrt(sum(error * error for error in errors) / len(errors))
