"""Pareto fronts against their definition and by hand."""

from __future__ import annotations

import itertools

import numpy as np

from workers.statistics.pareto import pareto_standings


def test_by_hand() -> None:
    costs = [1, 2, 3, 2, 4, None, 5]
    values = [0.5, 0.7, 0.7, 0.7, 0.9, 0.99, None]
    assert pareto_standings(costs, values) == ["on", "on", "below", "on", "on", "", ""]


def test_what_cannot_be_told_apart_may_be_on_it() -> None:
    standings = pareto_standings([1, 2, 3], [0.9, 0.89, 0.5], not_separable=[[1], [0], []])
    assert standings == ["on", "maybe", "below"]
    # One model that surely dominates is enough.
    assert pareto_standings([1, 1, 2], [0.9, 0.95, 0.89], not_separable=[[2], [], [0]]) == ["below", "on", "below"]
    assert pareto_standings([], []) == []


def test_equals_the_definition_on_random_models() -> None:
    """A point is on the front exactly if no other is at least as good in both and better in one."""
    draw = np.random.default_rng(0)
    costs, values = draw.integers(0, 12, 60).tolist(), draw.integers(0, 12, 60).tolist()
    found = pareto_standings(costs, values)
    front = {place for place, one in enumerate(found) if one == "on"}
    assert front
    for a, b in itertools.permutations(front, 2):
        assert not (costs[a] <= costs[b] and values[a] >= values[b] and (costs[a], values[a]) != (costs[b], values[b]))
    for place in set(range(60)) - front:
        assert any(costs[one] <= costs[place] and values[one] >= values[place] for one in front)
