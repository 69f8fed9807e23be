"""Advice read off learning curves whose laws are known."""

import math

import numpy as np
import pytest

from workers.statistics.label_needs import crossings, gain_of, labels_needed, winners
from workers.statistics.learning_curve import CurvePoint, fit_curve

KS = (1, 2, 4, 8, 16, 32, 64, 128)


def curve(level, height, rate, *, error=0.0, ks=KS, better=True):
    values = [level - height * k**-rate for k in ks]
    points = [CurvePoint(k=k, value=v, standard_error=error) for k, v in zip(ks, values, strict=True)]
    return fit_curve(points, higher_is_better=better)


def test_labels_for_a_target_are_rounded_up():
    sure = curve(0.9, 0.4, 0.5)
    need = labels_needed(sure, 0.9 - 0.4 / math.sqrt(50))
    assert (need.labels, need.low, need.high, need.is_extrapolated) == (50, 50, 50, False)
    assert need.sentence == "50 labels a class"
    assert labels_needed(sure, 0.3).sentence == "with 1 of the labels a class"
    assert labels_needed(sure, 0.84).labels == 45  # (0.4 / 0.06)² = 44.4


def test_beyond_twice_the_largest_number_it_is_called_an_extrapolation():
    need = labels_needed(curve(0.9, 0.4, 0.5), 0.88)
    assert need.labels == 400
    assert need.is_extrapolated
    assert need.sentence == (
        "400 labels a class; beyond 256 the curve is an extrapolation, as at most 128 were measured"
    )
    assert not labels_needed(curve(0.9, 0.4, 0.5), 0.9 - 0.4 / math.sqrt(255)).is_extrapolated


def test_what_is_not_reached_is_said():
    need = labels_needed(curve(0.9, 0.4, 0.5), 0.95)
    assert math.isinf(need.labels)
    assert need.sentence.startswith("not reached below 4,096 labels a class; beyond 256")
    unsure = labels_needed(curve(0.9, 0.4, 0.5, error=0.01), 0.885)
    assert unsure.low < 4096 < unsure.high
    assert f"between {unsure.low:,} and more than 4,096 labels a class" in unsure.sentence


def test_an_interval_in_words():
    need = labels_needed(curve(0.9, 0.4, 0.5, error=0.01), 0.8, unit="percent of the labels")
    assert need.low < need.labels == 16 < need.high < 256
    assert need.sentence == f"between {need.low} and {need.high} percent of the labels"


def test_ten_more_labels():
    gain = gain_of(curve(0.9, 0.4, 0.5), 90)
    assert gain.value == pytest.approx(0.4 / math.sqrt(90) - 0.04, abs=1e-9)
    assert not gain.is_extrapolated
    assert gain.sentence.startswith("10 more labels a class bring 0.002 (between 0.002 and 0.002) from 90 on")
    unsure = gain_of(curve(0.9, 0.4, 0.5, error=0.02), 8)
    assert 0 <= unsure.low < unsure.value < unsure.high
    assert "an extrapolation, as at most 128 were measured" in gain_of(curve(0.9, 0.4, 0.5), 250).sentence


def test_where_lower_is_better_a_gain_is_still_for_the_better():
    falling = curve(0.1, -0.3, 0.5, better=False)
    assert gain_of(falling, 90).value == pytest.approx(0.3 / math.sqrt(90) - 0.03, abs=1e-9)
    assert labels_needed(falling, 0.1 + 0.3 / math.sqrt(50)).labels == 50


def test_who_wins_and_how_far_ahead():
    curves = {"fast": curve(0.80, 0.3, 1.0), "slow": curve(0.90, 0.5, 0.5), "low": curve(0.5, 0.2, 0.5)}
    few, many = winners(curves, (1, 128))
    assert (few.name, few.second, few.is_clear) == ("fast", "slow", True)
    assert few.ahead == pytest.approx(0.1, abs=1e-6)
    assert (many.name, many.second) == ("slow", "fast")
    assert many.value == pytest.approx(0.9 - 0.5 / math.sqrt(128), abs=1e-6)
    close = {"a": curve(0.80, 0.3, 0.5, error=0.02), "b": curve(0.801, 0.3, 0.5)}
    assert not winners(close, (64,))[0].is_clear


def test_where_curves_cross():
    """0.8 − 0.3/k = 0.9 − 0.5/√k at √k = (5 + √13)/2: k = 18.51."""
    (found,) = crossings({"fast": curve(0.80, 0.3, 1.0), "slow": curve(0.90, 0.5, 0.5)})
    assert found.at == pytest.approx(((5 + math.sqrt(13)) / 2) ** 2, rel=1e-3)
    assert found.ahead == "fast"
    assert found.sentence.endswith("fast is ahead below, slow above")
    noisy = {"fast": curve(0.80, 0.3, 1.0, error=0.01), "slow": curve(0.90, 0.5, 0.5)}
    (unsure,) = crossings(noisy)
    assert unsure.low < 17 < 20 < unsure.high
    assert (
        f"cross at {unsure.at:.0f} labels a class (between {unsure.low:.0f} and {unsure.high:.0f})" in unsure.sentence
    )


def test_a_crossing_that_may_lie_anywhere_has_no_ends():
    (found,) = crossings({"a": curve(0.800, 0.3, 0.9, error=0.03), "b": curve(0.805, 0.32, 0.8)})
    assert found.low == 0.0
    assert math.isinf(found.high)
    assert "between fewer than 1 and more than 256" in found.sentence


def test_curves_that_do_not_cross():
    (found,) = crossings({"a": curve(0.7, 0.3, 0.5), "b": curve(0.9, 0.3, 0.5)})
    assert (found.at, found.low, found.ahead, found.share) == (None, None, "b", 0.0)
    assert found.sentence == "a and b do not cross between 1 and 256 labels a class: b stays ahead"
    (near,) = crossings({"a": curve(0.80, 0.3, 0.5, error=0.02), "b": curve(0.81, 0.3, 0.5)})
    assert near.at is None
    assert near.share > 0.05
    assert f"they would in {near.share:.0%} of cases" in near.sentence


def test_the_range_is_what_both_curves_have():
    (found,) = crossings({"a": curve(0.7, 0.3, 0.5, ks=(4, 8, 16, 32)), "b": curve(0.9, 0.3, 0.5)})
    assert "between 4 and 64 labels" in found.sentence


def test_equal_curves_and_curves_of_opposite_directions():
    (found,) = crossings({"a": curve(0.7, 0.3, 0.5), "b": curve(0.7, 0.3, 0.5)})
    assert found.sentence.startswith("a and b are equal between 1 and 256")
    with pytest.raises(ValueError, match="opposite directions"):
        winners({"a": curve(0.7, 0.3, 0.5), "b": curve(0.1, -0.3, 0.5, better=False)}, np.array([8]))
