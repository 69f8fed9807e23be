"""Drift: the notebook's numbers, invariances, and that sums of layers give what all filters at once give."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.decomposition import PCA

from workers.statistics.drift import (
    EMPTY_DENSITY,
    CoefficientSums,
    coefficient_sums,
    drift,
    drift_matrix,
    probabilities,
    symmetric_divergence,
    variance_shares,
    weighted_drift,
)
from workers.statistics.filter_sums import FilterStatistics, dct_basis, histogram_edges
from workers.statistics.layer_groups import LayerGroup

ROWS = 20_000


def scaled(filters: np.ndarray) -> np.ndarray:
    peaks = np.abs(filters).max(axis=1, keepdims=True)
    return filters / np.where(peaks == 0, 1, peaks)


@pytest.fixture(scope="module")
def coefficients() -> tuple[np.ndarray, np.ndarray]:
    """The three sets of check 3 in the PCA basis of their stack, (3, 20000, 9), and its explained variance ratio."""
    draw = np.random.default_rng(0)
    p = draw.standard_normal((ROWS, 9))
    q = draw.standard_normal((ROWS, 9)) @ (0.6 * np.eye(9) + 0.4 * np.random.default_rng(1).standard_normal((9, 9)))
    r = draw.uniform(-1, 1, (ROWS, 9))
    r[:500] = 0
    pca = PCA(n_components=9, svd_solver="full")
    found = pca.fit_transform(np.vstack([scaled(one) for one in (p, q, r)]))
    # The convention of the published numbers: the loading of largest magnitude is positive.
    signs = np.sign(pca.components_[np.arange(9), np.abs(pca.components_).argmax(axis=1)])
    return (found * signs).reshape(3, ROWS, 9), pca.explained_variance_ratio_


def drifts(found: np.ndarray, ratio: np.ndarray, *, low: float, high: float, bins: int) -> list[float]:
    counts = [
        [np.histogram(one[:, axis], bins=bins, range=(low, high))[0] for axis in range(9)] for one in found
    ]  # fmt: skip
    width = (high - low) / bins
    return [weighted_drift(counts[a], counts[b], width=width, weights=ratio) for a, b in ((0, 1), (0, 2), (1, 2))]


def test_the_papers_convention_gives_the_notebooks_numbers(coefficients: tuple[np.ndarray, np.ndarray]) -> None:
    found, ratio = coefficients
    low, high = found.min(), found.max()
    assert (low, high) == pytest.approx((-2.3674558294019667, 2.166290846287184), abs=1e-9)
    assert ratio[0] == pytest.approx(0.172761401196, abs=1e-9)
    assert drifts(found, ratio, low=low, high=high, bins=70) == pytest.approx(
        [1.442405581177, 0.076867854676, 1.494326391414], abs=1e-9
    )
    assert drifts(found, ratio, low=low, high=high, bins=140) == pytest.approx([1.508052, 0.100191, 1.571331], abs=1e-6)


def test_in_a_symmetric_range_the_signs_of_axes_do_not_matter(coefficients: tuple[np.ndarray, np.ndarray]) -> None:
    found, ratio = coefficients
    expected = [1.414099611003, 0.068047502682, 1.467671823643]
    for seed in range(3):
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=9) if seed else np.ones(9)
        assert drifts(found * signs, ratio, low=-3.3, high=3.3, bins=70) == pytest.approx(expected, abs=1e-9)


def test_disjoint_point_masses() -> None:
    p, q = np.zeros((1, 70)), np.zeros((1, 70))
    p[0, 3], q[0, 50] = 10, 7
    assert weighted_drift(p, q, width=1 / 70, weights=[1.0]) == pytest.approx(40.38175597597575, abs=1e-11)


def test_empty_bins_are_filled_on_the_density_before_it_is_normalised() -> None:
    p = probabilities([3, 1, 0], width=0.5)
    unscaled = np.array([1.5, 0.5, EMPTY_DENSITY])
    np.testing.assert_allclose(p, unscaled / unscaled.sum(), rtol=1e-15)
    with pytest.raises(ValueError, match="without counts"):
        probabilities([[1, 2], [0, 0]], width=1.0)


def test_divergence_is_scipys_entropy_both_ways() -> None:
    p, q = np.random.default_rng(0).dirichlet(np.ones(70), size=(2, 5))
    expected = [entropy(a, b) + entropy(b, a) for a, b in zip(p, q, strict=True)]
    np.testing.assert_allclose(symmetric_divergence(p, q), expected, rtol=1e-12)


def layers(seed: int, *, count: int = 6) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    return [
        draw.standard_normal((int(draw.integers(200, 2000)), 9)) @ (np.eye(9) + 0.3 * draw.standard_normal((9, 9)))
        for _ in range(count)
    ]


def group_of(filters: list[np.ndarray]) -> LayerGroup:
    parts = [LayerGroup.of_layer(FilterStatistics.of_layer(one.reshape(-1, 1, 3, 3))) for one in filters]
    return reduce(LayerGroup.merge, parts)


def direct(a: np.ndarray, b: np.ndarray) -> float:
    """The drift from the filters themselves: coefficients, histograms, variance of all of them along each axis."""
    left, right = (scaled(one) @ dct_basis((3, 3)).T for one in (a, b))
    variance = np.vstack([left, right]).var(axis=0)
    edges = histogram_edges((3, 3))
    counts = [[np.histogram(one[:, axis], bins=edges)[0] for axis in range(9)] for one in (left, right)]
    return weighted_drift(*counts, width=edges[1] - edges[0], weights=variance / variance.sum())


def test_drift_from_sums_is_drift_from_all_filters() -> None:
    a, b = layers(0), layers(1)
    left, right = coefficient_sums([group_of(a)]), coefficient_sums([group_of(b)])
    expected = direct(np.vstack(a), np.vstack(b))
    assert drift(left, right)[0] == pytest.approx(expected, rel=1e-9)
    assert drift(right, left)[0] == pytest.approx(expected, rel=1e-12 + 1e-9)


def test_drift_does_not_change_with_the_sign_of_all_filters_or_their_scale() -> None:
    a, b = layers(2), layers(3)
    plain = drift(coefficient_sums([group_of(a)]), coefficient_sums([group_of(b)]))[0]
    mirrored = drift(
        coefficient_sums([group_of([-one for one in a])]), coefficient_sums([group_of([-one for one in b])])
    )
    scales = [np.random.default_rng(0).uniform(0.01, 100, (len(one), 1)) for one in a]
    larger = [one * scale for one, scale in zip(a, scales, strict=True)]
    assert mirrored[0] == pytest.approx(plain, rel=1e-9)
    assert drift(coefficient_sums([group_of(larger)]), coefficient_sums([group_of(b)]))[0] == pytest.approx(
        plain, rel=1e-9
    )


def test_layer_balance_counts_every_layer_once() -> None:
    small, large = layers(4, count=2)
    small = small[:100]
    other = coefficient_sums([group_of(layers(5))], balance="layer")
    once = coefficient_sums([group_of([small, large])], balance="layer")
    # As many copies of the small layer's filters as make it as heavy as the large one.
    size = len(large) // 100 * 100
    evened = coefficient_sums([group_of([small] * (size // 100) + [large[:size]])])
    trimmed = coefficient_sums([group_of([small, large[:size]])], balance="layer")
    np.testing.assert_allclose(
        trimmed.histograms / trimmed.weight[:, None, None],
        evened.histograms / evened.weight[:, None, None],
        atol=1e-9,
    )
    assert once.weight[0] == 2
    assert drift(once, other)[0] > 0


def test_model_balance_gives_every_model_the_weight_one() -> None:
    groups = [group_of(layers(6, count=1)), group_of(layers(7, count=9))]
    sums = coefficient_sums(groups, balance="model")
    np.testing.assert_allclose(sums.weight, 1)
    np.testing.assert_allclose(sums.histograms.sum(axis=-1), 1)
    whole = sums.combined([1, 1])
    assert whole.weight == 2


def test_the_matrix_of_many_groups_is_the_drift_of_each_pair() -> None:
    sums = coefficient_sums([group_of(layers(seed, count=2)) for seed in range(8)])
    matrix = drift_matrix(sums)
    for i in range(8):
        for j in range(8):
            pair = [CoefficientSums(values=sums.values[[k]], axes=9, width=sums.width) for k in (i, j)]
            assert matrix[i, j] == pytest.approx(drift(*pair)[0], abs=1e-12)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-14)
    assert (np.diagonal(matrix) == 0).all()


def test_shares_of_variance_are_those_of_the_covariance_in_the_basis() -> None:
    group = group_of(layers(8))
    basis = dct_basis((3, 3))
    mean = group.statistics.mean
    covariance = group.statistics.second_moment - np.outer(mean, mean)
    expected = np.diag(basis @ covariance @ basis.T) / np.trace(covariance)
    sums = coefficient_sums([group])
    np.testing.assert_allclose(variance_shares(sums.weight, sums.total, sums.second)[0], expected, atol=1e-12)
    still = coefficient_sums([group_of([np.ones((50, 9))])])
    assert not variance_shares(still.weight, still.total, still.second).any()
    assert drift(still, still)[0] == 0


def test_groups_of_different_kernels_and_empty_ones_are_refused() -> None:
    fives = LayerGroup.of_layer(FilterStatistics.of_layer(np.random.default_rng(0).standard_normal((4, 4, 5, 5))))
    with pytest.raises(ValueError, match="one kernel size"):
        coefficient_sums([fives, group_of(layers(0, count=1))])
    with pytest.raises(ValueError, match="without filters"):
        coefficient_sums([LayerGroup.empty()])
    with pytest.raises(ValueError, match="none"):
        coefficient_sums([])
