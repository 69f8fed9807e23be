"""Layer quality: golden values, the published reference code as oracle, and the inputs on which it fails."""

from __future__ import annotations

import math
import warnings

import ml_dtypes
import numpy as np
import pytest
import torch

from workers.filterdb import LayerQuality, layer_quality
from workers.kit import UserError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it imports distutils
    from torchconvquality import measure_conv_weight_quality


def array_a() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((64, 32, 3, 3))


def array_b() -> np.ndarray:
    filters = array_a().reshape(2048, 9)
    filters[:512] *= 1e-3
    return filters.reshape(64, 32, 3, 3)


def array_c() -> np.ndarray:
    generator = np.random.default_rng(1)
    basis = generator.standard_normal((2, 9))
    filters = generator.standard_normal((2048, 2)) @ basis + 1e-3 * generator.standard_normal((2048, 9))
    return filters.reshape(64, 32, 3, 3)


def assert_defined(quality: LayerQuality) -> None:
    for name in (
        "sparsity",
        "variance_entropy",
        "randomness_threshold",
        "variance_entropy_normalised",
        "clean_variance_entropy",
        "clean_variance_entropy_normalised",
        "orthogonality",
    ):
        value = getattr(quality, name)
        assert value is None or math.isfinite(value), name
    assert all(math.isfinite(norm) for norm in quality.norms)
    assert quality.rule


def test_array_a_random() -> None:
    quality = layer_quality(array_a())
    assert quality.n_filters == 2048
    assert quality.sparsity == 0
    assert quality.variance_entropy == pytest.approx(0.9528716641974878, abs=1e-9)
    assert quality.variance_entropy_normalised == pytest.approx(1.0022464036616803, abs=1e-9)
    assert quality.orthogonality == pytest.approx(0.9526907300605413, abs=1e-9)
    assert (quality.verdict, quality.degenerate) == ("random", True)
    assert quality.norms.l1 == pytest.approx(np.abs(array_a()).sum(), rel=1e-12)
    assert quality.norms.l2 == pytest.approx(np.linalg.norm(array_a()), rel=1e-12)


def test_array_b_sparse_filters() -> None:
    quality = layer_quality(array_b())
    assert quality.sparsity == pytest.approx(0.25, abs=1e-7)
    assert quality.variance_entropy == pytest.approx(0.9526758564498740, abs=1e-9)
    assert quality.clean_variance_entropy == pytest.approx(0.9526758486661405, abs=1e-9)
    assert quality.clean_variance_entropy_normalised == pytest.approx(1.0023034560805544, abs=1e-9)


def test_array_c_redundant() -> None:
    quality = layer_quality(array_c())
    assert quality.sparsity == pytest.approx(0.00390625, abs=1e-7)
    assert quality.variance_entropy == pytest.approx(0.2493879961822472, abs=1e-9)
    assert quality.clean_variance_entropy == pytest.approx(0.2493878266144624, abs=1e-9)
    assert quality.orthogonality == pytest.approx(0.8911811779334499, abs=1e-9)
    assert (quality.verdict, quality.degenerate) == ("redundant", False)


@pytest.mark.parametrize("make", [array_a, array_b, array_c])
def test_equals_torchconvquality(make) -> None:
    weight = make()
    reference = measure_conv_weight_quality(torch.from_numpy(weight))
    quality = layer_quality(weight)
    assert quality.n_filters == reference["n"]
    assert quality.sparsity == pytest.approx(reference["sparsity"], abs=1e-7)
    assert quality.variance_entropy == pytest.approx(reference["variance_entropy"], abs=1e-9)
    assert quality.variance_entropy_normalised == pytest.approx(reference["variance_entropy_norm"], abs=1e-9)
    assert quality.clean_variance_entropy == pytest.approx(reference["variance_entropy_clean"], abs=1e-9)
    assert quality.clean_variance_entropy_normalised == pytest.approx(
        reference["variance_entropy_clean_norm"], abs=1e-9
    )
    assert quality.orthogonality == pytest.approx(reference["orthogonality"], abs=1e-9)


def test_entropy_equals_singular_values_of_an_ill_conditioned_layer() -> None:
    generator = np.random.default_rng(5)
    filters = generator.standard_normal((4096, 9)) * np.logspace(0, -7, 9) + 3.0
    singular = np.linalg.svd(filters - filters.mean(axis=0), compute_uv=False) ** 2
    shares = singular / singular.sum()
    expected = -(shares * np.log10(shares)).sum()
    assert layer_quality(filters.reshape(64, 64, 3, 3)).variance_entropy == pytest.approx(expected, abs=1e-9)


def test_verdict_sparse() -> None:
    weight = array_c()
    weight.reshape(2048, 9)[:400] = 0
    quality = layer_quality(weight)
    assert (quality.verdict, quality.degenerate) == ("sparse", True)
    assert "sparsity 0.1" in quality.rule


def test_verdict_healthy() -> None:
    smooth = np.ones(9)
    generator = np.random.default_rng(2)
    filters = generator.standard_normal((512, 1)) * smooth + 0.8 * generator.standard_normal((512, 9))
    quality = layer_quality(filters.reshape(32, 16, 3, 3))
    assert (quality.verdict, quality.degenerate) == ("healthy", False)


def test_one_filter() -> None:
    quality = layer_quality(np.random.default_rng(0).standard_normal((1, 1, 3, 3)))
    assert_defined(quality)
    assert quality.verdict == "not assessable"
    assert quality.variance_entropy == 0
    assert quality.orthogonality is None
    assert quality.variance_entropy_normalised is None
    assert quality.degenerate is None


def test_all_zero() -> None:
    quality = layer_quality(np.zeros((4, 4, 3, 3)))
    assert_defined(quality)
    assert (quality.sparsity, quality.variance_entropy, quality.verdict) == (1.0, 0.0, "sparse")
    assert quality.clean_variance_entropy is None
    assert quality.orthogonality is None
    assert quality.norms == (0.0, 0.0)


def test_exact_rank_and_equal_filters() -> None:
    generator = np.random.default_rng(0)
    one_axis = generator.standard_normal((256, 1)) * np.eye(9)[4]
    quality = layer_quality(one_axis.reshape(16, 16, 3, 3))
    assert_defined(quality)
    assert quality.variance_entropy == 0
    equal = np.tile(generator.standard_normal(9), (999, 1)).reshape(27, 37, 3, 3)
    quality = layer_quality(equal)
    assert_defined(quality)
    assert (quality.variance_entropy, quality.verdict) == (0.0, "redundant")


def test_zero_channels_count_as_in_the_reference() -> None:
    weight = array_a()[:8]
    weight[3] = 0
    reference = measure_conv_weight_quality(torch.from_numpy(weight))
    assert layer_quality(weight).orthogonality == pytest.approx(reference["orthogonality"], abs=1e-12)


def test_filters_that_hardly_differ_from_their_mean() -> None:
    generator = np.random.default_rng(3)
    filters = 1.0 + generator.standard_normal((2048, 9)) * np.logspace(-6, -8, 9)
    filters[::5] = 0
    for scale in (1.0, 1e-250, 1e250):
        quality = layer_quality((filters * scale).reshape(64, 32, 3, 3))
        kept = np.delete(filters, np.s_[::5], axis=0)
        singular = np.linalg.svd(kept - kept.mean(axis=0), compute_uv=False) ** 2
        shares = singular / singular.sum()
        expected = -(shares * np.log10(shares)).sum()
        assert quality.clean_variance_entropy == pytest.approx(expected, abs=1e-9)
        assert quality.sparsity == 410 / 2048


@pytest.mark.parametrize("inputs", [1, 8])
@pytest.mark.parametrize("channels", [3, 200, 300, 700])
def test_short_and_zero_channels_of_any_width(channels: int, inputs: int) -> None:
    """Blocks of output channels, zero ones, and ones so short that their squares vanish in single precision."""
    weight = np.random.default_rng(channels).standard_normal((channels, inputs, 3, 3)).astype(np.float32)
    weight[1] = 0
    weight[2] *= np.float32(1e-25)
    rows = weight.reshape(channels, -1).astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows /= np.where(lengths == 0, 1, lengths)
    expected = 1 - np.abs(rows @ rows.T - np.eye(channels)).sum() / (channels * (channels - 1))
    assert layer_quality(weight).orthogonality == pytest.approx(expected, abs=1e-7)
    assert layer_quality(weight * np.float32(1e-11)).orthogonality == pytest.approx(expected, abs=1e-7)


def test_non_contiguous_equals_contiguous() -> None:
    weight = array_a().transpose(1, 0, 3, 2)
    assert not weight.flags.c_contiguous
    assert layer_quality(weight) == layer_quality(np.ascontiguousarray(weight))
    assert layer_quality(array_a()[::2, ::-1]) == layer_quality(array_a()[::2, ::-1].copy())


@pytest.mark.parametrize(
    "dtype", [np.float16, np.float32, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, np.int8]
)
def test_low_precision(dtype) -> None:
    weight = (10 * array_a()).astype(dtype)
    quality = layer_quality(weight)
    assert_defined(quality)
    exact = layer_quality(weight.astype(np.float64))
    assert quality.variance_entropy == pytest.approx(exact.variance_entropy, abs=1e-12)
    assert quality.orthogonality == pytest.approx(exact.orthogonality, abs=1e-6)
    assert quality.verdict == exact.verdict


@pytest.mark.parametrize("channels", [31, 32, 64, 300])
def test_single_precision_products_of_wide_layers(channels: int) -> None:
    weight = np.random.default_rng(0).standard_normal((channels, 40, 3, 3)).astype(np.float32)
    exact = layer_quality(weight.astype(np.float64)).orthogonality
    assert layer_quality(weight).orthogonality == pytest.approx(exact, abs=1e-7)


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e3, 1e30])
def test_scale_changes_norms_only(scale: float) -> None:
    quality, scaled = layer_quality(array_c()), layer_quality((array_c() * scale).astype(np.float32))
    assert scaled.variance_entropy == pytest.approx(quality.variance_entropy, abs=1e-6)
    assert scaled.orthogonality == pytest.approx(quality.orthogonality, abs=1e-6)
    assert scaled.norms.l2 == pytest.approx(quality.norms.l2 * scale, rel=1e-6)
    assert (scaled.verdict, scaled.sparsity) == (quality.verdict, quality.sparsity)


def test_input_is_unchanged() -> None:
    weight = array_a()
    layer_quality(weight)
    assert np.array_equal(weight, array_a())


@pytest.mark.parametrize("kernel", [(5, 5), (7,), (3, 3, 3), (1, 7), (9,)])
def test_kernels_of_any_dimension(kernel: tuple[int, ...]) -> None:
    taps = math.prod(kernel)
    generator = np.random.default_rng(0)
    random = layer_quality(generator.standard_normal((32, 32, *kernel)))
    assert_defined(random)
    assert (random.verdict, random.degenerate) == ("random", True)
    assert random.randomness_threshold is not None
    assert 0.9 * math.log10(taps) < random.randomness_threshold < math.log10(taps)
    one_axis = generator.standard_normal((1024, 1)) * generator.standard_normal(taps)
    redundant = layer_quality((one_axis + 1e-3 * generator.standard_normal((1024, taps))).reshape(32, 32, *kernel))
    assert (redundant.verdict, redundant.degenerate) == ("redundant", False)
    half = generator.standard_normal((1024, 1)) * np.ones(taps) + generator.standard_normal((1024, taps))
    assert layer_quality(half.reshape(32, 32, *kernel)).verdict == "healthy"
    singular = np.linalg.svd(half - half.mean(axis=0), compute_uv=False) ** 2
    shares = singular / singular.sum()
    expected = -(shares * np.log10(shares)).sum()
    assert layer_quality(half.reshape(32, 32, *kernel)).variance_entropy == pytest.approx(expected, abs=1e-12)


def test_limits_of_other_kernels_are_the_same_shares_and_said() -> None:
    generator = np.random.default_rng(1)
    limit = 0.5 * math.log10(25) / math.log10(9)
    noise = generator.standard_normal((1024, 25))
    axis = generator.standard_normal((1024, 1)) * np.ones(25)
    for amount, verdict in ((0.6, "redundant"), (0.8, "healthy")):
        quality = layer_quality((axis + amount * noise).reshape(32, 32, 5, 5))
        assert quality.verdict == verdict
        assert f"{limit:.4f}" in quality.rule
        assert quality.threshold_source.startswith("simulated, 25 weights, seed 20220329, 1000 trials")
        assert quality.variance_entropy > 0.5  # the limit of 3 × 3 would not know the first


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((16, 16, 1, 1), "one weight has no variance entropy"),
        ((4, 6, 5, 5), "24 filters are fewer than the 25 weights"),
        ((2, 2, 21, 21), "up to 400 weights, not of 441"),
        ((2, 1, 2, 1), "may have any variance entropy"),
        ((2, 4, 3, 3), "8 filters are fewer than the 9 weights"),
    ],
)
def test_not_assessable_with_the_reason(shape: tuple[int, ...], reason: str) -> None:
    quality = layer_quality(np.random.default_rng(0).standard_normal(shape))
    assert_defined(quality)
    assert (quality.verdict, quality.degenerate) == ("not assessable", None)
    assert reason in quality.rule


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_damaged_weights_name_the_layer(bad: float) -> None:
    weight = array_a()
    weight[3, 2, 1, 0] = bad
    with pytest.raises(UserError, match=r"features\.0\.weight.*NaN or infinite"):
        layer_quality(weight, name="features.0.weight")


@pytest.mark.parametrize("shape", [(3, 3), (3,), (2, 0, 3, 3), (2, 2, 3, 3, 3, 3)])
def test_wrong_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="shape"):
        layer_quality(np.ones(shape))


def test_no_real_numbers() -> None:
    with pytest.raises(UserError, match=r"stem.*complex128"):
        layer_quality(np.ones((2, 2, 3, 3), dtype=np.complex128), name="stem")
