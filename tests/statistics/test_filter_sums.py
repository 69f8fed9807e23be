"""Additive filter statistics: exact merging, scikit-learn's PCA as oracle, histograms in the fixed basis."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest
from scipy.fft import dctn
from sklearn.decomposition import PCA

from workers.kit import UserError
from workers.statistics.filter_sums import BINS, FilterStatistics, dct_basis, histogram_edges


def correlated(rows: int) -> np.ndarray:
    mix = np.linalg.cholesky(0.3 * np.eye(9) + 0.7 * np.ones((9, 9)))
    return np.random.default_rng(7).standard_normal((rows, 9)) @ mix.T


def scaled(filters: np.ndarray) -> np.ndarray:
    peaks = np.abs(filters).max(axis=1, keepdims=True)
    return filters / np.where(peaks == 0, 1, peaks)


def of(filters: np.ndarray) -> FilterStatistics:
    return FilterStatistics.of_layer(filters.reshape(-1, 1, 3, 3))


def assert_same(left: FilterStatistics, right: FilterStatistics) -> None:
    assert (left.n, left.n_sparse, left.largest) == (right.n, right.n_sparse, right.largest)
    for name in ("total", "second"):
        assert np.array_equal(getattr(left, name).high, getattr(right, name).high)
        assert np.array_equal(getattr(left, name).low, getattr(right, name).low)
    assert np.array_equal(left.histograms, right.histograms)


def test_streamed_pca_equals_scikit_learn() -> None:
    filters = correlated(300_000)
    oracle = PCA(n_components=9).fit(scaled(filters))
    chunks = [of(filters[start : start + 7919]) for start in range(0, len(filters), 7919)]
    basis = reduce(FilterStatistics.merge, chunks).pca()
    assert basis.explained_variance_ratio[0] == pytest.approx(0.57933615, abs=1e-8)
    np.testing.assert_allclose(basis.explained_variance_ratio, oracle.explained_variance_ratio_, rtol=0, atol=1e-12)
    np.testing.assert_allclose(basis.mean, oracle.mean_, rtol=0, atol=1e-12)
    assert np.abs((basis.components * oracle.components_).sum(axis=1)).min() > 1 - 1e-10
    peaks = np.abs(basis.components).argmax(axis=1)
    assert (basis.components[np.arange(9), peaks] > 0).all()


def test_merge_is_exact_whatever_the_order_and_the_grouping() -> None:
    chunks = [of(part) for part in np.array_split(correlated(20_000), 37)]
    left = reduce(FilterStatistics.merge, chunks)
    right = reduce(lambda later, earlier: earlier.merge(later), reversed(chunks))
    shuffled = reduce(FilterStatistics.merge, [chunks[place] for place in np.random.default_rng(1).permutation(37)])
    tree = chunks
    while len(tree) > 1:
        tree = [reduce(FilterStatistics.merge, tree[place : place + 2]) for place in range(0, len(tree), 2)]
    for other in (right, shuffled, tree[0], FilterStatistics.empty().merge(left)):
        assert_same(left, other)


@pytest.mark.parametrize("chunk", [1, 100, 7919])
def test_chunk_size_does_not_matter(chunk: int) -> None:
    filters = correlated(7919)[: 600 if chunk == 1 else None]
    whole = of(filters).pca()
    parts = reduce(FilterStatistics.merge, [of(filters[at : at + chunk]) for at in range(0, len(filters), chunk)]).pca()
    np.testing.assert_allclose(parts.explained_variance_ratio, whole.explained_variance_ratio, rtol=0, atol=1e-12)
    np.testing.assert_allclose(parts.mean, whole.mean, rtol=0, atol=1e-13)


def test_sums_of_many_layers_do_not_saturate() -> None:
    """The float32 mean of 40 million filters of −0.5 is −0.21 (the published v0.1 means); these sums stay exact."""
    layer = FilterStatistics.of_layer(np.tile([-0.5, 0, 0, 0, 1, 0, 0, 0, 0], 4096).reshape(4096, 1, 3, 3))
    many = layer
    for _ in range(14):
        many = many.merge(many)
    assert many.n == 4096 * 2**14 > 40_000_000
    assert many.mean[0] == -0.5
    assert int(many.histograms.sum()) == 9 * many.n
    flood = np.full(40_000_000, -0.5, dtype=np.float32)
    assert abs(float(np.add.accumulate(flood)[-1]) / len(flood) + 0.5) > 0.2


def test_histograms_equal_numpy_in_the_dct_basis() -> None:
    filters = correlated(5000)
    coefficients = dctn(scaled(filters).reshape(-1, 3, 3), type=2, norm="ortho", axes=(1, 2)).reshape(-1, 9)
    histograms = of(filters).histograms
    assert histograms.dtype == np.int64
    assert histograms.shape == (9, BINS)
    for component in range(9):
        expected, edges = np.histogram(coefficients[:, component], bins=BINS, range=(-3, 3))
        np.testing.assert_array_equal(histograms[component], expected)
        np.testing.assert_allclose(edges, histogram_edges((3, 3)), atol=1e-15)


def test_the_outermost_bins_hold_the_bound() -> None:
    ones = np.ones((2, 1, 3, 3)) * np.array([1.0, -1.0])[:, None, None, None]
    histograms = FilterStatistics.of_layer(ones).histograms
    assert histograms[0, -1] == 1
    assert histograms[0, 0] == 1
    assert histograms.sum() == 18


@pytest.mark.parametrize("kernel", [(3, 3), (5, 5), (1, 7)])
def test_basis_is_orthonormal(kernel: tuple[int, int]) -> None:
    basis = dct_basis(kernel)
    np.testing.assert_allclose(basis @ basis.T, np.eye(kernel[0] * kernel[1]), atol=1e-14)


def test_zero_filters_stay_zero_and_scaling_is_invariant() -> None:
    filters = correlated(500)
    filters[:50] = 0
    statistics = of(filters)
    rescaled = of(filters * np.exp2(np.random.default_rng(0).integers(-20, 20, (500, 1))))
    assert statistics.n_sparse == 50
    assert np.array_equal(statistics.total.value, rescaled.total.value)
    assert np.array_equal(statistics.histograms, rescaled.histograms)
    assert statistics.largest == np.abs(filters).max()


def test_nothing_varies() -> None:
    for weight in (np.zeros((4, 4, 3, 3)), np.ones((1, 1, 3, 3)), np.full((5, 5, 3, 3), 0.3)):
        basis = FilterStatistics.of_layer(weight).pca()
        assert np.isfinite(basis.components).all()
        assert (basis.explained_variance_ratio == 0).all()
    with pytest.raises(ValueError, match="no filter"):
        FilterStatistics.empty().pca()


def test_input_is_unchanged_and_kernels_do_not_mix() -> None:
    weight = np.random.default_rng(0).standard_normal((1, 1, 3, 3))
    before = weight.copy()
    FilterStatistics.of_layer(weight)
    assert np.array_equal(weight, before)
    with pytest.raises(ValueError, match="no common statistics"):
        FilterStatistics.empty().merge(FilterStatistics.empty(kernel=(5, 5)))


def test_damaged_weights_name_the_layer() -> None:
    weight = np.ones((2, 2, 3, 3), dtype=np.float16)
    weight[0, 0, 0, 0] = np.nan
    with pytest.raises(UserError, match=r"conv1.*NaN"):
        FilterStatistics.of_layer(weight, name="conv1")
