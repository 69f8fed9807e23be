"""Layer groups: exact merging, a round trip through bytes, damage that is told, the paper's deciles."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pandas as pd
import pytest

from workers.statistics.filter_sums import FilterStatistics
from workers.statistics.layer_groups import LayerGroup, depth_decile


def layer(seed: int, *, kernel: tuple[int, int] = (3, 3)) -> FilterStatistics:
    draw = np.random.default_rng(seed)
    return FilterStatistics.of_layer(draw.standard_normal((int(draw.integers(1, 40)), 7, *kernel)))


def assert_same(left: LayerGroup, right: LayerGroup) -> None:
    assert left.to_bytes() == right.to_bytes()


def test_merging_is_exact_in_any_order() -> None:
    parts = [LayerGroup.of_layer(layer(seed)) for seed in range(60)]
    shuffled = [parts[place] for place in np.random.default_rng(1).permutation(60)]
    halves = [reduce(LayerGroup.merge, parts[:13]), reduce(LayerGroup.merge, parts[13:])]
    whole = reduce(LayerGroup.merge, parts)
    assert_same(whole, reduce(LayerGroup.merge, shuffled))
    assert_same(whole, halves[1].merge(halves[0]))
    assert_same(whole, LayerGroup.empty().merge(whole))
    assert whole.layers == 60


def test_balanced_sums_are_sums_of_layer_means() -> None:
    statistics = [layer(seed) for seed in range(5)]
    group = reduce(LayerGroup.merge, map(LayerGroup.of_layer, statistics))
    np.testing.assert_allclose(group.balanced_total, sum(one.mean for one in statistics), atol=1e-10)
    np.testing.assert_allclose(group.balanced_second, sum(one.second_moment for one in statistics), atol=1e-10)
    np.testing.assert_allclose(group.balanced_histograms.sum(axis=1), 5, atol=1e-9)
    np.testing.assert_allclose(group.balanced_density.sum(), 5, atol=1e-7)


@pytest.mark.parametrize("kernel", [(3, 3), (1, 7), (5, 5)])
def test_a_round_trip_through_bytes(kernel: tuple[int, int]) -> None:
    group = LayerGroup.of_layer(layer(0, kernel=kernel)).merge(LayerGroup.of_layer(layer(1, kernel=kernel)))
    found = LayerGroup.from_bytes(group.to_bytes())
    assert_same(found, group)
    assert found.statistics.n == group.statistics.n
    np.testing.assert_array_equal(found.balanced_density, group.balanced_density)
    assert_same(LayerGroup.from_bytes(LayerGroup.empty(kernel=kernel).to_bytes()), LayerGroup.empty(kernel=kernel))


def test_damaged_bytes_are_told() -> None:
    payload = LayerGroup.of_layer(layer(0)).to_bytes()
    bad = [b"", b"HSLG", b"XXXX" + payload[4:], payload[:-3], payload + b"x", payload[:4] + b"\x09\x00" + payload[6:]]
    bad.append(payload[:6] + b"\xff\xff\xff\x7f" + payload[10:])
    for one in bad:
        with pytest.raises(ValueError, match=r"."):
            LayerGroup.from_bytes(one)


def test_a_layer_without_filters_is_refused() -> None:
    with pytest.raises(ValueError, match="no group"):
        LayerGroup.of_layer(FilterStatistics.empty())


def test_deciles_are_cut_as_in_the_paper() -> None:
    depths = [*np.linspace(0, 1, 101), *(i / 7 for i in range(8)), 0.1 + 0.2]
    bins = [-1e-9, *np.linspace(0.1, 1, 10).round(10)]
    expected = pd.cut(np.round(depths, 9), bins, labels=False, include_lowest=True)
    assert [depth_decile(depth) for depth in depths] == expected.tolist()
    assert (depth_decile(0.0), depth_decile(0.1), depth_decile(0.1000001), depth_decile(1.0)) == (0, 0, 1, 9)
