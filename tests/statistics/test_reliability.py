"""Reliability against scikit-learn's calibration_curve and scipy's Wilson interval; ECE from its own bins."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from workers.statistics.bootstrap import point_score
from workers.statistics.logits import softmax
from workers.statistics.reliability import Bin, calibration
from workers.statistics.strata import wilson_limits


def predictions(classes: int, *, replicates: int = 3, rows: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(classes)
    labels = rng.integers(0, classes, rows)
    logits = rng.normal(size=(replicates, rows, classes)) * 1.5
    logits[:, np.arange(rows), labels] += 1.5
    return logits, labels


def reliability_bins(logits: np.ndarray, labels: np.ndarray) -> tuple[Bin, ...]:
    return calibration(logits, labels, draws=5).bins


@pytest.mark.parametrize("classes", [2, 5])
def test_bins_are_those_of_scikit_learn(classes: int) -> None:
    logits, labels = predictions(classes, replicates=1)
    p = softmax(logits[0])
    shares, sure = calibration_curve(p.argmax(axis=1) == labels, p.max(axis=1), n_bins=15)
    bins = [one for one in reliability_bins(logits, labels) if one.rows]
    np.testing.assert_allclose(np.array([one.share for one in bins], dtype=float), shares)
    np.testing.assert_allclose(np.array([one.sure for one in bins], dtype=float), sure)
    assert sum(one.rows for one in bins) == len(labels)


def test_intervals_of_bins_are_wilsons() -> None:
    logits, labels = predictions(4, replicates=1)
    for one in reliability_bins(logits, labels):
        if not one.rows:
            assert (one.share, one.share_low, one.share_high) == (None, None, None)
            continue
        expected = stats.binomtest(round(one.right), round(one.rows)).proportion_ci(method="wilson")
        assert (one.share_low, one.share_high) == pytest.approx((expected.low, expected.high))


def test_replicates_do_not_narrow_a_bin() -> None:
    logits, labels = predictions(3, replicates=1)
    once, five = reliability_bins(logits, labels), reliability_bins(np.repeat(logits, 5, axis=0), labels)
    for one, many in zip(once, five, strict=True):
        assert one.rows == pytest.approx(many.rows)
        if one.rows:
            assert many.share_low == pytest.approx(one.share_low)


def test_ece_is_the_sum_over_its_bins_and_brier_that_of_scikit_learn() -> None:
    logits, labels = predictions(2)
    found = calibration(logits, labels, draws=50)
    errors = []
    for one in logits:
        bins = reliability_bins(one[None], labels)
        errors.append(sum(b.rows * abs((b.share or 0) - (b.sure or 0)) for b in bins) / len(labels))
    assert found.ece == pytest.approx(np.mean(errors))
    assert found.ece == pytest.approx(np.mean([point_score("ece", softmax(one), labels) for one in logits]))
    assert found.brier == pytest.approx(np.mean([brier_score_loss(labels, softmax(one)[:, 1]) for one in logits]))
    assert found.ece_interval.low <= found.ece <= found.ece_interval.high
    assert "3 replicates" in found.ece_interval.kind
    assert found.accuracy == pytest.approx((logits.argmax(axis=2) == labels).mean())
    assert found.gap == pytest.approx(found.sure - found.accuracy)
    assert found.gap_interval.low < found.gap < found.gap_interval.high
    assert found.sure == pytest.approx(np.mean([softmax(one).max(axis=1).mean() for one in logits]))


def test_a_calibrated_model_lies_in_its_intervals_and_a_sure_one_does_not() -> None:
    rng = np.random.default_rng(1)
    p = rng.uniform(0.5, 1, 20_000)
    labels = (rng.random(p.size) < p).astype(int)
    logits = np.stack([np.zeros_like(p), np.log(p / (1 - p))], axis=1)[None]
    bins = [one for one in reliability_bins(logits, labels) if one.rows]
    inside = [one.share_low <= one.sure <= one.share_high for one in bins]  # type: ignore[operator]
    assert sum(inside) >= len(inside) - 1
    over = [one for one in reliability_bins(3 * logits, labels) if one.rows and one.sure > 0.6]  # type: ignore[operator]
    assert all(one.share_high < one.sure for one in over)  # type: ignore[operator]


def test_groups_are_drawn_whole() -> None:
    logits, labels = predictions(3, replicates=1, rows=60)
    logits, labels = np.repeat(logits, 5, axis=1), np.repeat(labels, 5)
    alone = calibration(logits, labels, draws=400)
    whole = calibration(logits, labels, draws=400, groups=np.arange(300) // 5)
    ratio = whole.brier_interval.standard_error / alone.brier_interval.standard_error
    assert ratio == pytest.approx(5**0.5, rel=0.15)


def test_counts_of_wilson_need_not_be_whole() -> None:
    low, high = wilson_limits(0.5, 7.5)
    assert low < wilson_limits(0.5, 8.0)[0]
    assert high > wilson_limits(0.5, 8.0)[1]
    with pytest.raises(ValueError, match="on the rows of the labels"):
        calibration(np.zeros((1, 3, 2)), [0, 1])
