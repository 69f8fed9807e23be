"""Agreement of two rankings, and which places of a ranking mean nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

Name = TypeVar("Name", bound=str)
Convention = Literal["tau-b", "weighted"]

CONVENTIONS: dict[Convention, str] = {
    "tau-b": "Kendall's τ-b: ties in either ranking are taken out of the denominator",
    "weighted": (
        "weighted τ, hyperbolic weights 1/(r + 1) added over a pair, mean of the values with ranks r by the first "
        "and by the second argument (scipy's default)"
    ),
}


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far two rankings agree, in [−1, 1]; None where one is constant. `convention` says which τ, in words."""

    value: float | None
    convention: str
    count: int


def rank_agreement(a: ArrayLike, b: ArrayLike, *, convention: Convention = "tau-b") -> Agreement:
    """Kendall's τ of two score vectors of one length (higher is better in both).

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
        value = float((stats.kendalltau if convention == "tau-b" else stats.weightedtau)(x, y)[0])
    return Agreement(value=value, convention=CONVENTIONS[convention], count=x.size)


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
