"""What a learning curve says to somebody who has to label: how many, what ten more bring, which model, when it turns.

Everything is read off fitted curves (`learning_curve.fit_curve`) and their resamples. numpy and scipy only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from workers.statistics.learning_curve import Curve, estimate

Array = NDArray[np.float64]
LIMIT = 4096
TRUSTED = 2  # times the largest measured number of labels; beyond it a curve is an extrapolation
STEPS = 240
WORTH_SAYING = 0.05


@dataclass(frozen=True, kw_only=True)
class Need:
    """Labels that a target takes, with their 95% interval; infinite where it is never reached.

    is_extrapolated  the interval goes beyond twice the largest number that was measured
    """

    target: float
    labels: float
    low: float
    high: float
    is_extrapolated: bool
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Gain:
    """What `more` labels on top of k bring, in the metric's units and for the better, with its 95% interval."""

    k: int
    more: int
    value: float
    low: float
    high: float
    is_extrapolated: bool
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Winner:
    """The best curve at k, how far it is ahead of the second, and whether that interval leaves zero out."""

    k: int
    name: str
    value: float
    second: str
    ahead: float
    low: float
    high: float
    is_clear: bool


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """Where two curves change places; `at` is None where they do not between the smallest and the largest number looked
    at.

    ahead      who is ahead with few labels (all along, without a crossing)
    low, high  95% interval of the crossing: 0 where it may lie before all numbers looked at, infinite beyond them
    share      of the resamples in which they change places there
    """

    first: str
    second: str
    ahead: str
    at: float | None
    low: float | None
    high: float | None
    share: float
    sentence: str


def labels_needed(curve: Curve, target: float, *, limit: int = LIMIT, unit: str = "labels a class") -> Need:
    """How many labels reach the target, by the fitted curve and by its resamples."""
    labels, low, high = estimate(float(curve.law.reaches(target)[0]), curve.resampled.reaches(target))
    labels, low, high = (math.ceil(round(one, 6)) if math.isfinite(one) else one for one in (labels, low, high))
    edge = TRUSTED * curve.largest_k
    is_extrapolated = high > edge
    if low > limit:
        sentence = f"not reached below {limit:,} {unit}"
    elif high > limit:
        sentence = f"between {low:,} and more than {limit:,} {unit}"
    elif low == high:
        sentence = f"{low:,} {unit}" if low > 1 else f"with 1 of the {unit}"
    else:
        sentence = f"between {low:,} and {high:,} {unit}"
    if is_extrapolated:
        sentence += f"; beyond {edge:,} the curve is an extrapolation, as at most {curve.largest_k:,} were measured"
    return Need(target=target, labels=labels, low=low, high=high, is_extrapolated=is_extrapolated, sentence=sentence)


def gain_of(curve: Curve, k: int, *, more: int = 10, unit: str = "labels a class") -> Gain:
    """What the next `more` labels bring from k on; never less than nothing, as a law never gets worse."""
    span = np.array([k, k + more], dtype=np.float64)
    better = 1.0 if curve.higher_is_better else -1.0
    value, low, high = estimate(
        better * float(np.diff(curve.law.at(span))[0, 0]), better * np.diff(curve.resampled.at(span))[:, 0]
    )
    sentence = f"{more} more {unit} bring {value:.3f} (between {low:.3f} and {high:.3f}) from {k:,} on"
    is_extrapolated = k + more > TRUSTED * curve.largest_k
    if is_extrapolated:
        sentence += f"; an extrapolation, as at most {curve.largest_k:,} were measured"
    return Gain(k=k, more=more, value=value, low=low, high=high, is_extrapolated=is_extrapolated, sentence=sentence)


def winners(curves: Mapping[str, Curve], ks: Sequence[int]) -> list[Winner]:
    """The best curve at each k and its lead over the second, resample by resample. Needs two curves or more."""
    names = list(curves)
    better = _direction(curves)
    numbers = np.asarray(ks, dtype=np.float64)
    fitted = np.stack([curves[name].law.at(numbers)[0] for name in names])
    found = []
    for place, k in enumerate(ks):
        order = np.argsort(-better * fitted[:, place], kind="stable")
        best, second = names[order[0]], names[order[1]]
        resampled = curves[best].resampled.at(k)[:, 0] - curves[second].resampled.at(k)[:, 0]
        ahead, low, high = estimate(
            better * float(fitted[order[0], place] - fitted[order[1], place]), better * resampled
        )
        found.append(
            Winner(
                k=int(k),
                name=best,
                value=float(fitted[order[0], place]),
                second=second,
                ahead=ahead,
                low=low,
                high=high,
                is_clear=low > 0,
            )
        )
    return found


def crossings(curves: Mapping[str, Curve], *, unit: str = "labels a class") -> list[Crossing]:
    """Every pair of curves: where they change places, up to twice the largest number that was measured of both."""
    return [
        _crossing(a, b, curves[a], curves[b], better=_direction(curves), unit=unit) for a, b in combinations(curves, 2)
    ]


def _direction(curves: Mapping[str, Curve]) -> float:
    directions = {curve.higher_is_better for curve in curves.values()}
    if len(directions) > 1:
        raise ValueError("curves of metrics with opposite directions cannot be compared")
    return 1.0 if directions == {True} else -1.0


def _crossing(a: str, b: str, one: Curve, other: Curve, *, better: float, unit: str) -> Crossing:
    low, high = max(one.smallest_k, other.smallest_k), TRUSTED * min(one.largest_k, other.largest_k)
    grid = np.exp(np.linspace(math.log(low), math.log(max(high, low + 1)), STEPS))
    lead = better * (one.law.at(grid) - other.law.at(grid))[0]
    lead = np.where(np.abs(lead) < 1e-12, 0.0, lead)
    leads = better * (one.resampled.at(grid) - other.resampled.at(grid))
    start = np.flatnonzero(lead)
    span = f"between {low:,} and {high:,} {unit}"
    if not len(start):
        sentence = f"{a} and {b} are equal {span}"
        return Crossing(first=a, second=b, ahead=a, at=None, low=None, high=None, share=0.0, sentence=sentence)
    sign = math.copysign(1.0, lead[start[0]])
    ahead, behind = (a, b) if sign > 0 else (b, a)
    turned = sign * leads < 0  # (S, grid): the one that is behind with few labels leads
    changes = turned.any(axis=1) & (sign * leads > 0).any(axis=1)
    share = float(changes.mean())
    at = _first_turn(grid, sign * lead)
    if at is None:
        sentence = f"{a} and {b} do not cross {span}: {ahead} stays ahead"
        if share >= WORTH_SAYING:
            sentence += f"; with other labels and test rows they would in {share:.0%} of cases"
        return Crossing(first=a, second=b, ahead=ahead, at=None, low=None, high=None, share=share, sentence=sentence)
    first = np.where(turned.any(axis=1), grid[np.argmax(turned, axis=1)], math.inf)
    first = np.where(turned[:, 0], 0.0, first)
    at, earliest, latest = estimate(at, first)
    since = f"{earliest:,.0f}" if earliest > 0 else f"fewer than {low:,}"
    until = f"{latest:,.0f}" if math.isfinite(latest) else f"more than {high:,}"
    sentence = (
        f"{a} and {b} cross at {at:,.0f} {unit.replace('labels', 'label', 1) if round(at) == 1 else unit} "
        f"(between {since} and {until}): {ahead} is ahead below, {behind} above"
    )
    return Crossing(first=a, second=b, ahead=ahead, at=at, low=earliest, high=latest, share=share, sentence=sentence)


def _first_turn(grid: Array, lead: Array) -> float | None:
    """Where a lead that is positive at first becomes negative, on a logarithmic scale; None if it does not."""
    behind = np.flatnonzero(lead < 0)
    if not len(behind):
        return None
    after = int(behind[0])
    before = after - 1
    share = lead[before] / (lead[before] - lead[after])
    return float(np.exp(np.log(grid[before]) + share * (np.log(grid[after]) - np.log(grid[before]))))
