"""Does the 95% interval of a few-shot score hold the truth in 95% of repetitions?

Truth: mean over fresh draws of labels and an unlimited test set, which for a linear rule between two Gaussians is known
in closed form.
"""

import numpy as np
import pytest
from scipy import stats

from workers.statistics import bootstrap_weights
from workers.statistics.intervals import interval_sources

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
        hits = (logits.T > 0) == (labels == 1)
        test_variance = (hits.mean(axis=0) @ weights / TEST_ROWS).var(ddof=1)
        sources = interval_sources(hits.mean(axis=1), test_variance)
        for name, interval in (("both", sources.combined), ("draw", sources.draw), ("test", sources.test)):
            held[name] += interval.low <= truth <= interval.high
    return {name: count / repetitions for name, count in held.items()}


def clustered_coverage(repetitions, *, draws, seed, patients=50, visits=4, shared=0.8):
    """Visits of one patient share the label and most of the noise; the truth is the same, as each visit alone is."""
    rng = np.random.default_rng(seed)
    truth = true_accuracy(*rules(rng, 200_000)).mean()
    groups = np.repeat(np.arange(patients), visits)
    by_patient = bootstrap_weights(len(groups), draws=draws, groups=groups)
    by_row = bootstrap_weights(len(groups), draws=draws)
    held = {"patients": 0, "rows": 0}
    for _ in range(repetitions):
        normals, thresholds = rules(rng, REPLICATES)
        labels = rng.integers(0, 2, patients)[groups]
        noise = np.sqrt(shared) * rng.standard_normal((patients, DIMENSIONS))[groups]
        noise += np.sqrt(1 - shared) * rng.standard_normal((len(groups), DIMENSIONS))
        hits = (labels == 1) == ((noise + SHIFT * (2 * labels[:, None] - 1)) @ normals.T > thresholds).T
        for name, weights, df in (("patients", by_patient, patients - 1), ("rows", by_row, len(groups) - 1)):
            variance = (hits.mean(axis=0) @ weights / weights.sum(axis=0)).var(ddof=1)
            interval = interval_sources(hits.mean(axis=1), variance, test_degrees_of_freedom=df).combined
            held[name] += interval.low <= truth <= interval.high
    return {name: count / repetitions for name, count in held.items()}


@pytest.mark.slow
def test_patients_have_to_be_resampled_whole():
    shares = clustered_coverage(2000, draws=500, seed=2)
    assert 0.93 <= shares["patients"] <= 0.97
    assert shares["rows"] < 0.92


def test_the_combined_interval_covers_and_its_parts_alone_fall_short():
    shares = coverage(300, draws=200, seed=0)
    assert 0.91 <= shares["both"] <= 0.985
    assert shares["test"] < 0.90
    assert shares["draw"] < shares["both"]


def test_the_closed_form_is_the_accuracy_on_a_million_test_rows():
    rng = np.random.default_rng(3)
    normals, thresholds = rules(rng, 4)
    labels = rng.integers(0, 2, 1_000_000)
    rows = rng.standard_normal((1_000_000, DIMENSIONS)) + SHIFT * (2 * labels[:, None] - 1)
    measured = ((rows @ normals.T > thresholds) == (labels[:, None] == 1)).mean(axis=0)
    assert measured == pytest.approx(true_accuracy(normals, thresholds), abs=4 * 0.5 / 1000)


@pytest.mark.slow
def test_coverage_of_2000_repetitions():
    shares = coverage(2000, draws=500, seed=1)
    assert 0.93 <= shares["both"] <= 0.97
    assert shares["test"] < 0.93
    assert shares["draw"] < 0.93
