"""Additive filter statistics: exact merging, scikit-learn's PCA as oracle, histograms in the fixed basis."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from functools import reduce

import ml_dtypes
import numpy as np
import pytest
from scipy.fft import dctn
from sklearn.decomposition import PCA

from workers.kit import UserError
from workers.statistics.filter_sums import (
    BINS,
    ExactSum,
    FilterBasis,
    FilterStatistics,
    dct_basis,
    histogram_edges,
)


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
    assert np.array_equal(left.density, right.density)
    assert left.kernel == right.kernel


def assert_equals_oracle(basis: FilterBasis, oracle: PCA) -> None:
    """The accuracy that every sum has to have, whatever its number of rows."""
    np.testing.assert_allclose(basis.explained_variance_ratio, oracle.explained_variance_ratio_, rtol=0, atol=1e-12)
    np.testing.assert_allclose(basis.mean, oracle.mean_, rtol=0, atol=1e-12)
    assert np.abs((basis.components * oracle.components_).sum(axis=1)).min() > 1 - 1e-10


def test_streamed_pca_equals_scikit_learn() -> None:
    filters = correlated(300_000)
    oracle = PCA(n_components=9).fit(scaled(filters))
    chunks = [of(filters[start : start + 7919]) for start in range(0, len(filters), 7919)]
    basis = reduce(FilterStatistics.merge, chunks).pca()
    assert basis.explained_variance_ratio[0] == pytest.approx(0.57933615, abs=1e-8)
    assert_equals_oracle(basis, oracle)
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
    assert int(many.histograms.sum()) == 9 * many.n == 9 * int(many.density.sum())


@pytest.mark.slow
def test_a_float32_accumulator_fails_at_40_million_rows() -> None:
    """Both run over the same 40 million rows, one after the other; what ours passes, float32 fails by far."""
    filters = correlated(300_000)
    rows = scaled(filters)
    oracle = PCA(n_components=9).fit(rows)  # the repetitions below have the same mean and covariance
    upper = np.triu_indices(9)
    single = np.hstack([rows, rows[:, upper[0]] * rows[:, upper[1]]]).astype(np.float32)
    first, carried = single[0].copy(), np.zeros(54, dtype=np.float32)
    ours = FilterStatistics.empty()
    for _ in range(134):
        ours = ours.merge(of(filters))
        single[0] = first + carried
        carried = single.sum(axis=0)  # row by row, in float32
    assert ours.n == 40_200_000
    assert carried.dtype == np.float32
    assert_equals_oracle(ours.pca(), oracle)
    second = np.zeros((9, 9))
    second[upper] = second.T[upper] = carried[9:]
    theirs = replace(
        ours, total=ExactSum.of(carried[:9].astype(np.float64)), second=ExactSum.of(second.astype(np.float64))
    ).pca()
    with pytest.raises(AssertionError):
        assert_equals_oracle(theirs, oracle)
    assert np.abs(theirs.explained_variance_ratio - oracle.explained_variance_ratio_).max() > 1e-3


MEMORY = """
import sys, numpy as np
from workers.statistics.filter_sums import FilterStatistics

def status(field):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024

def layer(seed):
    weight = np.empty((int(sys.argv[1]), 4, 3, 3), dtype=sys.argv[2])
    random = np.random.default_rng(seed)
    for part in np.array_split(weight, max(1, len(weight) // 1000)):
        part[...] = random.standard_normal(part.shape, dtype=np.float32)
    return weight if sys.argv[3] == "contiguous" else weight.transpose(1, 0, 3, 2)

merged = FilterStatistics.of_layer(layer(0)[:2])
weight = layer(1)
before = status("VmRSS")
merged = merged.merge(FilterStatistics.of_layer(weight))
print(status("VmHWM") - before)
"""


@pytest.mark.parametrize(
    ("filters", "dtype", "order"),
    [
        (10**6, "float32", "contiguous"),
        (4 * 10**6, "float32", "contiguous"),
        (4 * 10**6, "float16", "contiguous"),
        (10**6, "float32", "transposed"),
    ],
)
def test_memory_does_not_grow_with_the_layer(filters: int, dtype: str, order: str) -> None:
    """Beside the weight itself, less than 64 MiB at any number of filters."""
    arguments = [sys.executable, "-c", MEMORY, str(filters // 4), dtype, order]
    found = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert float(found.stdout) < 64, found.stdout


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


KERNELS = [(3, 3), (5, 5), (1, 7), (7, 1), (2, 4), (7,), (3, 3, 3), (1, 3, 2)]


@pytest.mark.parametrize("kernel", KERNELS)
def test_basis_is_orthonormal(kernel: tuple[int, ...]) -> None:
    basis = dct_basis(kernel)
    np.testing.assert_allclose(basis @ basis.T, np.eye(math.prod(kernel)), atol=1e-14)


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels_of_any_dimension_equal_scipy_and_numpy(kernel: tuple[int, ...]) -> None:
    taps = math.prod(kernel)
    weight = np.random.default_rng(taps).standard_normal((40, 30, *kernel))
    found = FilterStatistics.of_layer(weight)
    rows = scaled(weight.reshape(-1, taps))
    axes = tuple(range(1, len(kernel) + 1))
    coefficients = dctn(rows.reshape(-1, *kernel), type=2, norm="ortho", axes=axes).reshape(-1, taps)
    bound = math.sqrt(taps)
    for component in range(taps):
        expected, _edges = np.histogram(coefficients[:, component], bins=BINS, range=(-bound, bound))
        np.testing.assert_array_equal(found.histograms[component], expected)
    # The second coefficient in row-major order: (0, 1), or (1, 0) where kernels are one weight wide.
    sides = [(-bound, bound)] * 2
    joint, _rows, _columns = np.histogram2d(coefficients[:, 0], coefficients[:, 1], bins=35, range=sides)
    np.testing.assert_array_equal(found.density, joint)
    np.testing.assert_allclose(found.mean, rows.mean(axis=0), atol=1e-13)
    np.testing.assert_allclose(found.second_moment, rows.T @ rows / len(rows), atol=1e-13)
    np.testing.assert_allclose(found.pca().explained_variance_ratio, PCA().fit(rows).explained_variance_ratio_)


def test_kernels_of_one_weight() -> None:
    found = FilterStatistics.of_layer(np.array([0.5, -2.0, 0.0]).reshape(3, 1, 1, 1))
    assert found.histograms[0, [0, 35, 69]].tolist() == [1, 1, 1]
    assert found.density[[0, 17, 34], 17].tolist() == [1, 1, 1]
    assert found.mean == 0


@pytest.mark.parametrize("kernel", [(3, 3), (5, 5), (7,)])
def test_coefficients_on_an_edge_fall_toward_the_middle_whatever_their_sign(kernel: tuple[int, ...]) -> None:
    """Filters of −1, 0 and 1 put many coefficients on edges; those of 0 lie in bin 35, as the filter of zeros."""
    weight = np.random.default_rng(0).integers(-1, 2, (5000, 1, *kernel)).astype(np.float32)
    plus, minus = FilterStatistics.of_layer(weight), FilterStatistics.of_layer(-weight)
    first = scaled(weight.reshape(5000, -1)).sum(axis=1)
    n_zero = int((first == 0).sum())
    mirrored = minus.histograms[0, ::-1].copy()
    mirrored[34] -= n_zero
    mirrored[35] += n_zero
    np.testing.assert_array_equal(plus.histograms[0], mirrored)


def test_zero_filters_stay_zero_and_scaling_is_invariant() -> None:
    filters = correlated(500)
    filters[:50] = 0
    statistics = of(filters)
    rescaled = of(filters * np.exp2(np.random.default_rng(0).integers(-20, 20, (500, 1))))
    assert statistics.n_sparse == 50
    assert np.array_equal(statistics.total.value, rescaled.total.value)
    assert np.array_equal(statistics.histograms, rescaled.histograms)
    assert statistics.largest == np.abs(filters).max()


def test_scale_of_a_filter_does_not_matter() -> None:
    filters = correlated(3000)
    factors = np.exp(np.random.default_rng(0).uniform(-20, 20, (3000, 1)))
    found, other = of(filters), of(filters * factors)
    np.testing.assert_allclose(found.second.value, other.second.value, rtol=1e-13)
    np.testing.assert_allclose(found.mean, other.mean, rtol=0, atol=1e-15)
    assert np.array_equal(found.histograms, other.histograms)
    assert np.array_equal(found.density, other.density)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, np.int8])
def test_low_precision_equals_its_own_values(dtype) -> None:
    weight = (20 * correlated(500)).astype(dtype).reshape(50, 10, 3, 3)
    assert_same(FilterStatistics.of_layer(weight), FilterStatistics.of_layer(weight.astype(np.float64)))


def test_memory_order_does_not_matter() -> None:
    weight = correlated(20_000).reshape(100, 200, 3, 3).transpose(1, 0, 3, 2)
    found, other = FilterStatistics.of_layer(weight), FilterStatistics.of_layer(np.ascontiguousarray(weight))
    np.testing.assert_allclose(found.second.value, other.second.value, rtol=0, atol=1e-10)
    assert np.array_equal(found.histograms, other.histograms)
    assert (found.n, found.n_sparse, found.largest) == (other.n, other.n_sparse, other.largest)


def test_extreme_weights() -> None:
    for scale in (1e300, 1e-300, 5e-324):
        weight = np.full((3, 2, 3, 3), scale)
        weight[0, 0] *= -1
        found = FilterStatistics.of_layer(weight)
        assert found.total.value.tolist() == [4.0] * 9
        assert found.largest == scale


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
