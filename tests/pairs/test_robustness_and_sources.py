"""The logit line and effective robustness in closed form; ν¹ against scikit-learn's Lasso."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import Lasso, Ridge

from workers.pairs.probe_analysis import probe_vectors
from workers.statistics.robustness import effective_robustness, logit, logit_line, sigmoid
from workers.statistics.source_tasks import lasso, smallest_empty_penalty, source_shares


def test_models_on_a_line_have_no_robustness_and_one_above_has() -> None:
    accuracy = np.array([0.5, 0.62, 0.7, 0.81, 0.9])
    shifted = sigmoid(0.917 * logit(accuracy) - 0.486)
    line = logit_line(accuracy, shifted)
    assert (line.slope, line.intercept, line.r_squared) == (
        pytest.approx(0.917),
        pytest.approx(-0.486),
        pytest.approx(1),
    )
    reference = list(zip(accuracy.tolist(), shifted.tolist(), strict=True))
    on = effective_robustness(0.75, line.expected(0.75), reference)
    assert on.value == pytest.approx(0, abs=1e-12)
    above = effective_robustness(0.75, line.expected(0.75) + 0.05, reference)
    assert above.value == pytest.approx(0.05)
    assert above.is_separable


def test_the_line_is_scipys_regression_and_its_interval_the_textbooks() -> None:
    draw = np.random.default_rng(0)
    x = draw.uniform(-1, 2, 12)
    y = 1.4 * x - 0.7 + 0.2 * draw.standard_normal(12)
    line, expected = logit_line(sigmoid(x), sigmoid(y)), stats.linregress(x, y)
    assert line.slope == pytest.approx(expected.slope)
    assert line.intercept == pytest.approx(expected.intercept)
    assert line.r_squared == pytest.approx(expected.rvalue**2)
    assert line.residual_sd / np.sqrt(line.spread) == pytest.approx(expected.stderr)
    # At the mean of x the error of a further observation is s √(1 + 1/n).
    middle = float(sigmoid(x.mean()))
    assert line.prediction_error(middle) == pytest.approx(line.residual_sd * np.sqrt(1 + 1 / 12))


@pytest.mark.parametrize(
    ("shift", "count", "slope", "intercept", "r_squared", "straight"),
    [
        ("v2", 1266, 0.917, -0.486, 0.993, 0.981),
        ("r", 1266, 1.394, -2.168, 0.732, 0.629),
        ("a", 1265, 3.702, -6.761, 0.837, 0.558),
        ("sketch", 1266, 1.380, -2.722, 0.857, 0.655),
    ],
)
def test_timms_tables_lie_on_their_known_lines(
    shift: str, count: int, slope: float, intercept: float, r_squared: float, straight: float
) -> None:
    """Top-1 accuracies of huggingface/pytorch-image-models, commit aa4b5850, results/results-*.csv (Apache-2.0)."""
    with (Path(__file__).with_name("timm_top1.csv")).open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row[shift]]
    x, y = (np.array([float(row[name]) / 100 for row in rows]) for name in ("imagenet", shift))
    line = logit_line(x, y)
    assert line.count == count
    assert (round(line.slope, 3), round(line.intercept, 3)) == (slope, intercept)
    assert round(line.r_squared, 3) == r_squared
    # On the accuracies themselves a line fits less well: that is why it is drawn through logits.
    assert round(float(np.corrcoef(x, y)[0, 1] ** 2), 3) == straight


def test_further_models_of_the_line_lie_in_its_interval() -> None:
    draw = np.random.default_rng(1)
    held = 0
    for _ in range(300):
        x = draw.uniform(-1, 2, 9)
        y = 1.2 * x - 0.5 + 0.3 * draw.standard_normal(9)
        pairs = list(zip(sigmoid(x).tolist(), sigmoid(y).tolist(), strict=True))
        held += not effective_robustness(*pairs[0], pairs[1:]).is_separable
    assert 273 <= held <= 296


def test_a_models_own_rows_widen_the_interval() -> None:
    reference = [(0.5, 0.31), (0.6, 0.4), (0.7, 0.52), (0.8, 0.66)]
    one, two = (effective_robustness(0.75, 0.6, reference, shifted_error=error) for error in (0.0, 0.05))
    assert two.high - two.low > one.high - one.low
    assert two.value == one.value


@pytest.mark.parametrize("accuracies", [[0.5, 0.6], [0.5, 0.5, 0.5]])
def test_a_line_needs_models_that_differ(accuracies: list[float]) -> None:
    with pytest.raises(ValueError, match="reference models"):
        logit_line(accuracies, accuracies)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.6])
def test_lasso_is_scikit_learns(share: float) -> None:
    draw = np.random.default_rng(2)
    sources, targets = draw.standard_normal((40, 15)), draw.standard_normal((40, 3))
    penalty = share * smallest_empty_penalty(sources, targets)
    expected = Lasso(alpha=penalty / 40, fit_intercept=False, tol=1e-12, max_iter=100_000).fit(sources, targets)
    assert lasso(sources, targets, penalty=penalty) == pytest.approx(expected.coef_.T, abs=1e-8)


def test_the_smallest_empty_penalty_is_just_that() -> None:
    draw = np.random.default_rng(3)
    sources, targets = draw.standard_normal((20, 6)), draw.standard_normal((20, 2))
    penalty = smallest_empty_penalty(sources, targets)
    assert not lasso(sources, targets, penalty=penalty * 1.0001).any()
    assert lasso(sources, targets, penalty=penalty * 0.99).any()


def test_the_source_that_the_target_is_made_of_gets_the_samples() -> None:
    draw = np.random.default_rng(4)
    kin, stranger = draw.standard_normal((3, 5, 60)), draw.standard_normal((3, 5, 60))
    target = 2 * kin[:, :2] + 0.05 * draw.standard_normal((3, 2, 60))
    names = tuple(f"class {place}" for place in range(5))
    found = source_shares({"stranger": (stranger, names), "kin": (kin, names)}, target)
    shares = {one.name: one for one in found.shares}
    assert shares["kin"].share > 0.95
    assert len(shares["kin"].halves) == 2
    assert shares["kin"].strongest in {"class 0", "class 1"}
    assert sum(one.share for one in found.shares) == pytest.approx(1)
    assert found.explained > 0.9
    with pytest.raises(ValueError, match="dimensions"):
        source_shares({"kin": (kin, names)}, target[:, :, :50])


@pytest.mark.parametrize("shape", [(50, 8), (10, 30)])
def test_probe_vectors_are_scikit_learns_ridge(shape: tuple[int, int]) -> None:
    draw = np.random.default_rng(5)
    x, y = draw.standard_normal(shape) + 1, draw.standard_normal((shape[0], 2))
    penalty = 0.1 * ((x - x.mean(axis=0)) ** 2).sum() / shape[1]
    assert probe_vectors(x, y, ridge=0.1) == pytest.approx(Ridge(alpha=penalty).fit(x, y).coef_, abs=1e-9)
    assert not probe_vectors(np.ones(shape), y, ridge=0.1).any()
