"""The randomness threshold: the paper's constants, the simulation against drawn layers, and its calibration."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import ks_2samp

from workers.filterdb import layer_quality, randomness_threshold, threshold_source
from workers.filterdb.threshold_fits import SEED, TABLE_TAPS, TRIALS, fit_threshold, random_entropies, table_text
from workers.filterdb.threshold_table import FITS
from workers.filterdb.threshold_table import SEED as TABLE_SEED
from workers.filterdb.threshold_table import TRIALS as TABLE_TRIALS
from workers.filterdb.thresholds import threshold_missing


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (9, 0.5515074123),
        (64, 0.9055617474),
        (100, 0.9250579293),
        (192, 0.9397810891),
        (1000, 0.9498937522),
        (4096, 0.9510656192),
        (65536, 0.9512897355),
    ],
)
def test_of_3x3(n: int, expected: float) -> None:
    assert randomness_threshold(n) == pytest.approx(expected, abs=1e-9)
    # A random layer does not know the shape of its kernels.
    assert randomness_threshold(n, kernel=(9,)) == randomness_threshold(n, kernel=(1, 9)) == randomness_threshold(n)


def test_is_defined_or_refused() -> None:
    with pytest.raises(ValueError, match="at least one filter"):
        randomness_threshold(0)
    with pytest.raises(ValueError, match="fewer than the 25 weights"):
        randomness_threshold(24, kernel=(5, 5))
    with pytest.raises(ValueError, match="up to 400 weights"):
        randomness_threshold(10_000, kernel=(21, 21))
    assert randomness_threshold(1) < 0
    assert threshold_missing(25, kernel=(5, 5)) is None
    assert threshold_source((3, 3)) == "paper, 3 × 3"
    assert threshold_source((9,)).startswith("paper, 3 × 3")
    assert threshold_source((1, 1)) == threshold_source((21, 21)) == ""


def drawn_entropies(taps: int, n: int, trials: int) -> np.ndarray:
    """By the definition: singular values of centred matrices of normal numbers."""
    generator = np.random.default_rng(99)
    found = []
    for _ in range(trials):
        filters = generator.standard_normal((n, taps))
        variances = np.linalg.svd(filters - filters.mean(axis=0), compute_uv=False) ** 2
        shares = variances / variances.sum()
        found.append(-(shares * np.log10(np.maximum(shares, 1e-300))).sum())
    return np.array(found)


@pytest.mark.parametrize(("taps", "n"), [(2, 2), (2, 40), (9, 5), (9, 9), (9, 192), (25, 26), (25, 300), (49, 49)])
def test_simulated_layers_are_those_that_are_drawn(taps: int, n: int) -> None:
    simulated, drawn = random_entropies(taps, n), drawn_entropies(taps, n, 600)
    if n == 2:
        assert not simulated.any()
        assert np.allclose(drawn, 0, atol=1e-12)
    else:
        assert ks_2samp(simulated, drawn).pvalue > 1e-3


@pytest.mark.parametrize("taps", [2, 15])
def test_the_table_is_what_its_function_makes(taps: int) -> None:
    again, kept = fit_threshold(taps), FITS[taps]
    for n in (taps, 64, 1000, 10**6):
        assert again.at(n) == pytest.approx(randomness_threshold(n, kernel=(taps,)), abs=1e-6)
    assert again.largest_error == pytest.approx(kept[-1], abs=1e-6)
    assert (TABLE_SEED, TABLE_TRIALS, tuple(FITS)) == (SEED, TRIALS, TABLE_TAPS)
    assert f"\n    {taps}: (" in table_text([taps])


@pytest.mark.parametrize("taps", TABLE_TAPS)
def test_sigmoids_rise_and_stay_below_the_largest_entropy(taps: int) -> None:
    heights = [randomness_threshold(taps * 2**octave, kernel=(taps,)) for octave in range(40)]
    assert heights == sorted(heights)
    assert 0.99 * math.log10(taps) < heights[-1] < math.log10(taps)
    assert FITS[taps][-1] < 0.04


def test_of_a_kernel_that_is_not_in_the_table() -> None:
    assert 17 not in FITS
    found = randomness_threshold(300, kernel=(17,))
    assert found == random_entropies(17, 300).min() == randomness_threshold(300, kernel=(1, 17))
    # Between its neighbours, measured against their largest entropies.
    shares = [randomness_threshold(300, kernel=(taps,)) / math.log10(taps) for taps in (16, 18)]
    assert found / math.log10(17) == pytest.approx(sum(shares) / 2, abs=0.01)
    assert "least of them at this n" in threshold_source((17,))


def structured(generator: np.random.Generator, n: int, size: int) -> np.ndarray:
    """Smooth filters under noise of half their size, or mixtures of a third of the axes under a twentieth."""
    taps = size * size
    if generator.random() < 0.5:
        bump = np.sin(np.pi * (np.arange(size) + 0.5) / size)
        smooth = np.outer(bump, bump).ravel() / bump.mean() ** 2
        return generator.standard_normal((n, 1)) * smooth + 0.5 * generator.standard_normal((n, taps))
    axes = generator.standard_normal((taps // 3, taps))
    return generator.standard_normal((n, taps // 3)) @ axes + 0.05 * generator.standard_normal((n, taps))


SIZES = [(3, 16), (3, 64), (3, 192), (3, 1024), (5, 64), (5, 192), (7, 64)]
LARGE = [pytest.param(*case, marks=pytest.mark.slow) for case in [(5, 1024), (7, 192), (7, 1024)]]


@pytest.mark.parametrize(("size", "n"), [*SIZES, *LARGE])
def test_calibration(size: int, n: int) -> None:
    generator = np.random.default_rng(n)
    shape = (1, n, size, size)  # one output channel, so that no product of channels is computed
    random = sum(layer_quality(generator.standard_normal(shape)).verdict == "random" for _ in range(1000))
    assert random >= 900
    wrong = sum(layer_quality(structured(generator, n, size).reshape(shape)).verdict == "random" for _ in range(1000))
    assert wrong <= 10
