"""Does the 95% interval of a few-shot score hold the truth in 95% of repetitions?

Truth: mean over fresh draws of labels and an unlimited test set, which for a linear rule between two Gaussians is known
in closed form.
"""

import numpy as np
import pytest
from scipy import stats

from workers.statistics import bootstrap_accuracy, bootstrap_weights, combined_interval

DIMENSIONS, SHIFT, SHOTS, REPLICATES, TEST_ROWS = 6, 0.5, 3, 5, 200


def rules(rng, count):
    """Nearest-class-mean rules (normal, threshold) of `count` fresh draws of SHOTS labels a class."""
    means = rng.standard_normal((2, count, DIMENSIONS)) / np.sqrt(SHOTS)
    means[0] -= SHIFT
    means[1] += SHIFT
    return means[1] - means[0], 0.5 * ((means[1] ** 2).sum(axis=1) - (means[0] ** 2).sum(axis=1))


def true_accuracy(normals, thresholds):
    """Accuracy on an unlimited test set with two equally frequent classes N(±SHIFT, I)."""
    length = np.linalg.norm(normals, axis=1)
    middle = SHIFT * normals.sum(axis=1)
    return 0.5 * (stats.norm.cdf((middle - thresholds) / length) + stats.norm.cdf((middle + thresholds) / length))


def coverage(repetitions, *, draws, seed):
    rng = np.random.default_rng(seed)
    truth = true_accuracy(*rules(rng, 200_000)).mean()
    weights = bootstrap_weights(TEST_ROWS, draws=draws)
    held = {"both": 0, "draw": 0, "test": 0}
    for _ in range(repetitions):
        normals, thresholds = rules(rng, REPLICATES)
        labels = rng.integers(0, 2, TEST_ROWS)
        rows = rng.standard_normal((TEST_ROWS, DIMENSIONS)) + SHIFT * (2 * labels[:, None] - 1)
        logits = rows @ normals.T - thresholds
        scores = [np.stack([-one, one], axis=1) for one in logits.T]
        values = [(one.argmax(axis=1) == labels).mean() for one in scores]
        test_variance = np.mean([bootstrap_accuracy(one, labels, weights) for one in scores], axis=0).var(ddof=1)
        for name, interval in (
            ("both", combined_interval(values, test_variance)),
            ("draw", combined_interval(values, 0.0)),
            ("test", combined_interval([np.mean(values)], test_variance)),
        ):
            held[name] += interval.low <= truth <= interval.high
    return {name: count / repetitions for name, count in held.items()}


def test_the_combined_interval_covers_and_its_parts_alone_fall_short():
    shares = coverage(300, draws=200, seed=0)
    assert 0.91 <= shares["both"] <= 0.985
    assert shares["test"] < 0.90
    assert shares["draw"] < shares["both"]


@pytest.mark.slow
def test_coverage_of_2000_repetitions():
    shares = coverage(2000, draws=500, seed=1)
    assert 0.93 <= shares["both"] <= 0.97
    assert shares["test"] < 0.93
    assert shares["draw"] < 0.93
