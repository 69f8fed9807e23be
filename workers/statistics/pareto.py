"""Which models no other beats at once in quality and in cost, and which might be among them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

Standing = Literal["on", "maybe", "below", ""]


def pareto_standings(
    costs: Sequence[float | None],
    values: Sequence[float | None],
    *,
    not_separable: Sequence[Collection[int]] | None = None,
) -> list[Standing]:
    """How each of n models stands to the Pareto front of smallest cost and largest value.

    "on": no other has at most its cost and at least its value, one of both strictly; equal models are all on it.
    "maybe": it is dominated, but only by models from which its value cannot be told apart (`not_separable[i]`, places).
    "below": some model surely dominates it. "": its cost or value is not known.
    """
    apart = [frozenset(one) for one in not_separable] if not_separable is not None else [frozenset()] * len(costs)
    known = [
        (place, cost, value)
        for place, (cost, value) in enumerate(zip(costs, values, strict=True))
        if cost is not None and value is not None
    ]
    found: list[Standing] = [""] * len(costs)
    for place, cost, value in known:
        dominating = [
            other
            for other, its_cost, its_value in known
            if its_cost <= cost and its_value >= value and (its_cost < cost or its_value > value)
        ]
        if not dominating:
            found[place] = "on"
        else:
            found[place] = "maybe" if all(other in apart[place] for other in dominating) else "below"
    return found
