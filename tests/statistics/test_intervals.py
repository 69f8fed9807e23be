import math

import numpy as np
import pytest
from scipy import stats

from workers.statistics import combined_interval, exact_binomial_interval, jackknife_interval
from workers.statistics.intervals import interval_sources, satterthwaite


def test_combined_interval_adds_both_variances_and_uses_satterthwaite():
    values = [0.70, 0.74, 0.69, 0.73, 0.74]
    test_variance = 0.0004
    draw = np.var(values, ddof=1) / 5
    df = (draw + test_variance) ** 2 / (draw**2 / 4)
    half = stats.t.ppf(0.975, df) * math.sqrt(draw + test_variance)
    interval = combined_interval(values, test_variance)
    assert interval.degrees_of_freedom == pytest.approx(df)
    assert (interval.low, interval.high) == pytest.approx((0.72 - half, 0.72 + half))
    assert interval.draw_standard_error == pytest.approx(math.sqrt(draw))
    assert interval.test_standard_error == pytest.approx(0.02)
    assert "draw of labels (5 replicates, ddof 1) and test rows" in interval.kind


def test_one_value_gives_a_test_only_interval():
    interval = combined_interval([0.8], 0.0001)
    assert (interval.low, interval.high) == pytest.approx((0.8 - 1.959964 * 0.01, 0.8 + 1.959964 * 0.01))
    assert interval.draw_standard_error is None
    assert math.isinf(interval.degrees_of_freedom)
    assert "test rows only" in interval.kind


def test_equal_replicates_leave_the_test_variance_with_a_normal_quantile():
    several, one = combined_interval([0.8] * 5, 0.0001), combined_interval([0.8], 0.0001)
    assert (several.low, several.high) == pytest.approx((one.low, one.high))


def test_interval_is_clipped_to_the_range_of_the_metric():
    interval = combined_interval([0.98, 1.0, 0.99], 0.001, bounds=(0.0, 1.0))
    assert interval.high == 1.0
    assert interval.low > 0.8


@pytest.mark.parametrize(
    ("values", "variance"), [([], 0.1), ([0.1, float("nan")], 0.1), ([0.1], -1.0), ([[0.1]], 0.1), ([0.1], math.nan)]
)
def test_nonsense_is_refused(values, variance):
    with pytest.raises(ValueError):
        combined_interval(values, variance)


def test_satterthwaite_of_equal_parts_adds_their_degrees_of_freedom():
    assert satterthwaite((2.0, 2.0), (4, 6)) == pytest.approx(16 / (4 / 4 + 4 / 6))
    assert math.isinf(satterthwaite((0.0, 0.3), (4, math.inf)))


def test_jackknife_interval_is_1_96_standard_deviations():
    halves = np.array([1.0, 2.0, 4.0, 3.0])
    interval = jackknife_interval(2.2, halves)
    assert interval.standard_error == pytest.approx(np.std(halves, ddof=1))
    assert interval.high - 2.2 == pytest.approx(1.959964 * np.std(halves, ddof=1))
    with pytest.raises(ValueError, match="two halves"):
        jackknife_interval(1.0, [1.0])


def test_delete_half_jackknife_has_the_standard_error_of_a_mean():
    """The SD of means of random halves is that of the mean itself: for n rows, s / sqrt(n)."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal(400)
    halves = [rng.permutation(rows)[:200].mean() for _ in range(4000)]
    assert jackknife_interval(rows.mean(), halves).standard_error == pytest.approx(rows.std(ddof=1) / 20, rel=0.04)


def test_exact_binomial_interval_is_scipys():
    for hits in (0, 3, 17, 20):
        want = stats.binomtest(hits, 20).proportion_ci(method="exact")
        got = exact_binomial_interval(hits, 20)
        assert (got.low, got.high) == pytest.approx((want.low, want.high))


def test_each_source_is_shown_alone_as_well():
    values, variance = [0.70, 0.74, 0.69, 0.73, 0.74], 0.0004
    got = interval_sources(values, variance, bounds=(0.0, 1.0), test_degrees_of_freedom=99)
    assert got.combined == combined_interval(values, variance, bounds=(0.0, 1.0), test_degrees_of_freedom=99)
    assert got.draw is not None
    half = stats.t.ppf(0.975, 4) * np.std(values, ddof=1) / math.sqrt(5)
    assert (got.draw.low, got.draw.high) == pytest.approx((0.72 - half, 0.72 + half))
    assert "draw of labels only (5 replicates, ddof 1), t with 4 degrees" in got.draw.kind
    half = stats.t.ppf(0.975, 99) * 0.02
    assert (got.test.low, got.test.high) == pytest.approx((0.72 - half, 0.72 + half))
    assert "test rows only" in got.test.kind
    assert got.combined.standard_error**2 == pytest.approx(
        got.draw.standard_error**2 + got.test.standard_error**2, abs=1e-15
    )


def test_one_replicate_has_no_draw_of_its_own():
    got = interval_sources([0.8], 0.0001)
    assert got.draw is None
    assert (got.combined.low, got.combined.high) == (got.test.low, got.test.high)
    assert "test rows only" in got.combined.kind
