"""Agreement of two rankings, and which places of a ranking mean nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from workers.statistics.intervals import Interval

Name = TypeVar("Name", bound=str)
Convention = Literal["tau-b", "weighted", "weighted-first", "weighted-position"]
FEWEST_FOR_INTERVAL = 4

CONVENTIONS: dict[Convention, str] = {
    "tau-b": "Kendall's τ-b: ties in either ranking are taken out of the denominator",
    "weighted": (
        "weighted τ, hyperbolic weights 1/(r + 1) added over a pair, mean of the values with ranks r by the first "
        "and by the second argument (scipy's default)"
    ),
    "weighted-first": (
        "weighted τ, hyperbolic weights 1/(r + 1) added over a pair, ranks r by the first argument alone "
        "(scipy's rank=None)"
    ),
    "weighted-position": (
        "weighted τ, hyperbolic weights 1/(r + 1) added over a pair, ranks r by position in the list as it stands "
        "(scipy's rank=False)"
    ),
}
# Whether a value changes when the arguments are swapped is what the names are for: scipy's `rank` decides it.
_RANKS: dict[Convention, bool | None] = {"weighted": True, "weighted-first": None, "weighted-position": False}


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far two rankings agree, in [−1, 1]; None where one is constant. `convention` says which τ, in words."""

    value: float | None
    convention: str
    count: int


def rank_agreement(a: ArrayLike, b: ArrayLike, *, convention: Convention = "tau-b") -> Agreement:
    """Kendall's τ of two score vectors of one length (higher is better in both).

    "weighted-first" weighs by the ranks of `a`, so the order of the arguments matters there (weighted τ: Vigna, WWW
    2015, arXiv 1404.3325).
    Raises ValueError for different lengths, fewer than two items, or values that are not finite.
    """
    x = np.asarray(a, dtype=np.float64)
    y = np.asarray(b, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or x.size < 2:
        raise ValueError(f"rankings must be two vectors of one length, at least two: {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("rankings must be finite; leave out items without a score")
    value: float | None = None
    if np.ptp(x) > 0 and np.ptp(y) > 0:
        found = stats.kendalltau(x, y) if convention == "tau-b" else stats.weightedtau(x, y, rank=_RANKS[convention])
        value = float(found[0])
    return Agreement(value=value, convention=CONVENTIONS[convention], count=x.size)


def agreement_interval(
    a: ArrayLike, b: ArrayLike, *, convention: Convention = "tau-b", confidence: float = 0.95
) -> Interval | None:
    """Interval of `rank_agreement` over the draw of the items: delete-one jackknife, t with n − 1 degrees of freedom.

    Items are left out one by one and never drawn twice: a doubled item would be a tie that no hub has. Clipped to
    [−1, 1]; None for fewer than four items, or where leaving one out leaves a constant ranking (Shao and Tu, The
    Jackknife and Bootstrap, 1995, equation 1.11).
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    whole = rank_agreement(x, y, convention=convention).value
    if whole is None or x.size < FEWEST_FOR_INTERVAL:
        return None
    values = [rank_agreement(np.delete(x, i), np.delete(y, i), convention=convention).value for i in range(x.size)]
    left = np.array([value for value in values if value is not None])
    if left.size < x.size:
        return None
    error = math.sqrt((x.size - 1) / x.size * float(np.square(left - left.mean()).sum()))
    reach = float(stats.t.ppf(0.5 + confidence / 2, x.size - 1)) * error
    return Interval(
        low=max(-1.0, whole - reach),
        high=min(1.0, whole + reach),
        standard_error=error,
        degrees_of_freedom=x.size - 1,
        kind=f"{confidence:.0%} interval: delete-one jackknife over {x.size} models, t with {x.size - 1} degrees of "
        "freedom",
    )


def rel_at_1(scores: ArrayLike, truth: ArrayLike) -> float | None:
    """Rel@1: the truth of the item with the highest score over the highest truth; 1 where the best one was chosen.

    Of several items that share the highest score, the mean. None where the best truth is not positive, as with errors.
    Raises ValueError as `rank_agreement` does, but takes a single item.
    """
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or x.size < 1 or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError(f"scores and truth must be two finite vectors of one length: {x.shape} and {y.shape}")
    best = float(y.max())
    return float(y[x == x.max()].mean()) / best if best > 0 else None


def _lookup(
    is_separable: Callable[[Name, Name], bool] | Mapping[tuple[Name, Name], bool],
) -> Callable[[Name, Name], bool]:
    if not isinstance(is_separable, Mapping):
        return is_separable
    pairs = is_separable

    def either_way(a: Name, b: Name) -> bool:
        found = pairs.get((a, b), pairs.get((b, a)))
        if found is None:
            raise ValueError(f"the pair {a!r}, {b!r} was not compared")
        return bool(found)

    return either_way


def separable_groups(
    order: Sequence[Name], is_separable: Callable[[Name, Name], bool] | Mapping[tuple[Name, Name], bool]
) -> tuple[tuple[Name, ...], ...]:
    """The runs of neighbouring places within which no two items can be told apart, best first, longest possible.

    order         names, best first
    is_separable  for a pair of names, in either order: can they be told apart?

    Every name is in at least one run; runs may overlap (A ≈ B and B ≈ C, yet A is better than C), as in a compact
    letter display. A run of one is a place that stands for itself.
    """
    apart = _lookup(is_separable)
    groups: list[tuple[Name, ...]] = []
    covered = 0
    for start in range(len(order)):
        stop = start + 1
        while stop < len(order) and not any(apart(order[i], order[stop]) for i in range(start, stop)):
            stop += 1
        if stop > covered:
            groups.append(tuple(order[start:stop]))
            covered = stop
    return tuple(groups)


def place_ranges(
    order: Sequence[Name], is_separable: Callable[[Name, Name], bool] | Mapping[tuple[Name, Name], bool]
) -> dict[Name, tuple[int, int]]:
    """For each name the best and the worst place (from 1) it can hold.

    Best = 1 + the items above it that are separably better; worst = the count less the items below that are separably
    worse.
    """
    apart = _lookup(is_separable)
    ranges: dict[Name, tuple[int, int]] = {}
    for place, name in enumerate(order):
        better = sum(apart(other, name) for other in order[:place])
        worse = sum(apart(name, other) for other in order[place + 1 :])
        ranges[name] = (1 + better, len(order) - worse)
    return ranges
