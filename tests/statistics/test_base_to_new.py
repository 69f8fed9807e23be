"""Published base-to-new figures and seed spreads, each convention under its name."""

import numpy as np
import pytest

from workers.statistics.base_to_new import (
    harmonic_mean,
    harmonic_mean_of_means,
    mean_of_harmonic_means,
    population_spread,
)


def test_coops_example_of_three_seeds():
    """CoOp's README: 91.81, 92.01 and 92.17 print as 92.00 ± 0.15; the sample SD would be 0.18."""
    values = (91.81, 92.01, 92.17)
    mean, spread = population_spread(values)
    assert (round(mean, 2), round(spread, 2)) == (92.00, 0.15)
    assert round(float(np.std(values, ddof=1)), 2) == 0.18


def test_cocoops_mean_is_the_harmonic_mean_of_means():
    """CoCoOp, table 3: base 80.47, new 71.69, H 75.83."""
    assert round(harmonic_mean(80.47, 71.69), 2) == 75.83
    assert round(harmonic_mean_of_means([80.0, 80.94], [70.0, 73.38]), 2) == 75.83


def test_pres_readme_is_below_the_harmonic_mean_of_its_means():
    """PRE's README: 82.14 and 71.88 with H 76.27, which is no H of the means (76.67)."""
    assert round(harmonic_mean(82.14, 71.88), 2) == 76.67


def test_the_conventions_differ_and_the_mean_of_h_is_never_above():
    base, new = [90.0, 70.0], [50.0, 80.0]
    assert harmonic_mean_of_means(base, new) == pytest.approx(2 * 80 * 65 / 145)
    assert mean_of_harmonic_means(base, new) == pytest.approx((2 * 90 * 50 / 140 + 2 * 70 * 80 / 150) / 2)
    rng = np.random.default_rng(0)
    for _ in range(50):
        b, n = rng.uniform(1, 100, (2, 7))
        assert mean_of_harmonic_means(b, n) <= harmonic_mean_of_means(b, n) + 1e-12


def test_nothing_right_is_zero_and_bad_input_is_refused():
    assert harmonic_mean(0.0, 0.0) == 0.0
    assert harmonic_mean(0.0, 0.7) == 0.0
    for base, new in (([1.0], []), ([], []), ([-1.0], [1.0]), ([float("nan")], [1.0])):
        with pytest.raises(ValueError):
            harmonic_mean_of_means(base, new)
        with pytest.raises(ValueError):
            mean_of_harmonic_means(base, new)
