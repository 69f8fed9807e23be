"""The power-law fit: published digits, the powerlaw package and every tail measured in full as oracles."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from workers.weights.power_law import LEAST_TAIL, fit_power_law

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import powerlaw


def every_tail(values: np.ndarray) -> tuple[float, float, float, int]:
    """alpha, xmin, distance and size by Clauset's equations, tail by tail, for samples of 20 values and more."""
    x = np.sort(values)
    best = (np.inf, 0.0, 0.0, 0)
    for start in range(len(x) - 1):
        tail = x[start:]
        n = len(tail)
        alpha = 1 + n / np.log(tail / tail[0]).sum()
        distance = np.abs(1 - (tail / tail[0]) ** (1 - alpha) - np.arange(n) / n).max()
        if distance < best[0]:
            best = (distance, alpha, tail[0], n)
    return best[1], best[2], best[0], best[3]


def test_a_pareto_sample_has_the_published_digits() -> None:
    fit = fit_power_law(np.sort(np.random.default_rng(0).pareto(2.0, 500) + 1))
    assert fit is not None
    assert fit.alpha == pytest.approx(2.91709481, abs=1e-8)
    assert fit.xmin == pytest.approx(1.24492783, abs=1e-8)
    assert fit.ks_distance == pytest.approx(0.02583677, abs=1e-8)
    assert fit.sigma == pytest.approx((fit.alpha - 1) / np.sqrt(fit.n_tail), rel=1e-12)


@pytest.mark.parametrize("seed", range(3))  # of exponent 2.2: the package looks no further than 3
def test_the_powerlaw_package_agrees(seed: int) -> None:
    values = np.random.default_rng(seed).pareto(1.2, 300) + 0.2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = powerlaw.Fit(values, verbose=False)
    fit = fit_power_law(values)
    assert fit is not None
    assert (fit.alpha, fit.xmin, fit.ks_distance) == pytest.approx((peer.alpha, peer.xmin, peer.D), rel=1e-9)


@pytest.mark.parametrize("size", [20, 33, 64, 257, 1500])
@pytest.mark.parametrize("shape", ["pareto", "normal matrix", "lognormal", "uniform", "mixture"])
def test_no_better_tail_is_overlooked(shape: str, size: int) -> None:
    generator = np.random.default_rng(size)
    values = {
        "pareto": lambda: generator.pareto(1.2, size) + 0.1,
        "normal matrix": lambda: np.linalg.eigvalsh(np.cov(generator.standard_normal((size, 2 * size)))),
        "lognormal": lambda: np.exp(2 * generator.standard_normal(size)),
        "uniform": lambda: generator.uniform(0.1, 4, size),
        "mixture": lambda: np.concatenate((generator.uniform(1, 1.01, size - 9), generator.pareto(1, 9) + 5)),
    }[shape]()
    fit = fit_power_law(values)
    assert fit is not None
    alpha, xmin, distance, tail = every_tail(values)
    assert (fit.alpha, fit.xmin, fit.ks_distance) == pytest.approx((alpha, xmin, distance), rel=1e-9)
    assert fit.n_tail == tail


def test_a_large_pareto_sample_gives_its_exponent_back() -> None:
    fit = fit_power_law(np.random.default_rng(3).pareto(2.0, 20_000) + 1)  # density ∝ x^−3
    assert fit is not None
    assert abs(fit.alpha - 3) < 4 * fit.sigma


def test_small_samples_are_corrected_for_bias() -> None:
    x = np.sort(np.random.default_rng(4).pareto(2.0, 15) + 1)
    fit = fit_power_law(x)
    assert fit is not None
    assert fit.n_tail >= LEAST_TAIL
    tail = x[-fit.n_tail :]
    assert fit.alpha == pytest.approx(1 + (len(tail) - 1) / np.log(tail / tail[0]).sum(), rel=1e-12)


def test_fewer_than_eight_values_are_one_tail() -> None:
    x = np.array([1.0, 2.0, 4.0])
    fit = fit_power_law(x)
    assert fit is not None
    assert (fit.n_tail, fit.xmin) == (3, 1.0)
    assert fit.alpha == pytest.approx(1 + 2 / np.log(8), rel=1e-12)


def test_the_unit_does_not_matter() -> None:
    values = np.random.default_rng(5).pareto(2.0, 400) + 0.5
    one, other = fit_power_law(values), fit_power_law(values * 1e7)
    assert one is not None
    assert other is not None
    assert other.alpha == pytest.approx(one.alpha, rel=1e-9)
    assert other.xmin == pytest.approx(one.xmin * 1e7, rel=1e-12)


def test_ties_count_each() -> None:
    values = np.repeat(np.random.default_rng(6).pareto(2.0, 40) + 1, 3)
    fit = fit_power_law(values)
    assert fit is not None
    assert fit.ks_distance == pytest.approx(every_tail_of_ties(values), rel=1e-9)


def every_tail_of_ties(values: np.ndarray) -> float:
    """The least distance where the last tails, of equal values, have no exponent."""
    x = np.sort(values)
    found = []
    for start in range(len(x) - 3):
        tail = x[start:]
        alpha = 1 + len(tail) / np.log(tail / tail[0]).sum()
        found.append(np.abs(1 - (tail / tail[0]) ** (1 - alpha) - np.arange(len(tail)) / len(tail)).max())
    return float(min(found))


@pytest.mark.parametrize("values", [[], [2.0], [3.0, 3.0], [1.0] * 30])
def test_no_spread_has_no_power_law(values: list[float]) -> None:
    assert fit_power_law(values) is None


@pytest.mark.parametrize("values", [[0.0, 1.0, 2.0], [-1.0, 2.0], [1.0, float("nan")], [1.0, float("inf")]])
def test_values_must_be_positive_and_finite(values: list[float]) -> None:
    with pytest.raises(ValueError, match="positive, finite"):
        fit_power_law(values)
