"""Linear discriminant analysis against scikit-learn's, the shrinkage against its Ledoit–Wolf."""

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf as oracle_shrinkage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from workers.fewshot.heads.discriminant import DiscriminantHead, ledoit_wolf
from workers.fewshot.heads.nearest_class_mean import NearestClassMeanHead
from workers.fewshot.heads.protocol import centred


def data(rows, dimensions, *, seed=0):
    rng = np.random.default_rng(seed)
    y = np.array([2, 5, 9])[rng.permutation(np.arange(rows) % 7 % 3)]
    mixing = rng.standard_normal((dimensions, dimensions))
    return (0.7 * y[:, None] * np.ones(dimensions) / 5 + rng.standard_normal((rows, dimensions))) @ mixing + 40.0, y


def residuals(x, y):
    return x - np.stack([x[y == c].mean(axis=0) for c in y])


@pytest.mark.parametrize("shape", [(14, 50), (90, 12)])
def test_intensity_and_logits_equal_scikit_learn(shape):
    x, y = data(*shape)
    rows, _ = data(30, shape[1], seed=1)
    shrunk, intensity = oracle_shrinkage(residuals(x, y), assume_centered=True)
    ours, level = ledoit_wolf(residuals(x, y))
    assert ours == pytest.approx(intensity, rel=1e-9)
    assert level == pytest.approx(np.trace(shrunk) / shape[1], rel=1e-9)
    head = DiscriminantHead().fit(x, y)
    assert head.shrinkage == pytest.approx(intensity, rel=1e-9)
    oracle = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=intensity).fit(x, y)
    # scikit-learn divides this covariance by n, we by n − C; the priors are apart from it.
    log_priors = np.log(oracle.priors_)
    n, classes = len(x), 3
    expected = (oracle.decision_function(rows) - log_priors) * (n - classes) / n + log_priors
    assert head.decision(rows) == pytest.approx(centred(expected), abs=1e-6)


def test_a_given_shrinkage_is_used():
    x, y = data(60, 10)
    rows, _ = data(20, 10, seed=1)
    oracle = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3).fit(x, y)
    head = DiscriminantHead(shrinkage=0.3).fit(x, y)
    expected = (oracle.decision_function(rows) - np.log(oracle.priors_)) * 57 / 60 + np.log(oracle.priors_)
    assert head.decision(rows) == pytest.approx(centred(expected), abs=1e-6)


def test_with_one_row_a_class_it_decides_as_the_nearest_mean():
    x, y = data(200, 20)
    first = [int(np.flatnonzero(y == c)[0]) for c in np.unique(y)]
    rows, _ = data(100, 20, seed=1)
    for chosen in (first, first * 3):
        ours = DiscriminantHead().fit(x[chosen], y[chosen]).decision(rows).argmax(axis=1)
        assert np.array_equal(ours, NearestClassMeanHead().fit(x[first], y[first]).decision(rows).argmax(axis=1))


def test_it_sees_what_the_nearest_mean_does_not():
    """Two long parallel clouds: the direction between the means is the narrow one."""
    rng = np.random.default_rng(0)
    y = np.arange(400) % 2
    x = np.stack([20.0 * rng.standard_normal(400), y + 0.2 * rng.standard_normal(400)], axis=1)
    head = DiscriminantHead(shrinkage=1e-3).fit(x[:200], y[:200])
    assert (head.decision(x[200:]).argmax(axis=1) == y[200:]).mean() > 0.95
    plain = NearestClassMeanHead().fit(x[:200], y[:200])
    assert (plain.decision(x[200:]).argmax(axis=1) == y[200:]).mean() < 0.75
