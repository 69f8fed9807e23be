"""CLIP's sweep against the same search in a loop over scikit-learn's Newton-Cholesky."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from workers.fewshot.head_entries import COARSE_C
from workers.fewshot.heads.logistic_sweep import LogisticSweepHead
from workers.fewshot.logistic_path import LogisticPath
from workers.kit import UserError


def data(rows, *, classes=3, seed=0, spread=2.0):
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % classes
    return np.random.default_rng(7).standard_normal((classes, 15))[y] + spread * rng.standard_normal((rows, 15)), y


def oracle(c, x, y):
    return LogisticRegression(C=c, solver="newton-cholesky", tol=1e-12, max_iter=500).fit(x, y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:Line search")
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_c_and_coefficients_equal_the_search_by_scikit_learn(classes, seed):
    x, y = data(45, classes=classes, seed=seed)
    xv, yv = data(50, classes=classes, seed=10 + seed)
    score = {}

    def accuracy(c):
        if c not in score:
            score[c] = (oracle(c, x, y).predict(xv) == yv).mean()
        return score[c]

    peak = max(COARSE_C, key=accuracy)
    left, right, best = np.log10(peak) - 1, np.log10(peak) + 1, None
    for _ in range(8):
        if accuracy(10.0**left) < accuracy(10.0**right):
            best, left = 10.0**right, (left + right) / 2
        else:
            best, right = 10.0**left, (left + right) / 2
    head = LogisticSweepHead().fit(x, y, validation=(xv, yv))
    assert head.c == pytest.approx(best, rel=1e-9)
    exact = oracle(best, x, y)
    assert np.linalg.norm(head.coefficients - exact.coef_) < 1e-6 * np.linalg.norm(exact.coef_)
    assert head.converged
    assert f"accuracy {accuracy(best):.3f}" in head.choice


def test_no_fit_is_made_twice(monkeypatch):
    made = []
    plain = LogisticPath.fit
    monkeypatch.setattr(LogisticPath, "fit", lambda self, c, **options: made.append(c) or plain(self, c, **options))
    x, y = data(30)
    LogisticSweepHead().fit(x, y, validation=data(30, seed=1))
    assert len(made) == 7 + 2 + 6 + 1  # coarse, both ends, new ends (the first is the peak itself), the last made exact
    assert len(set(made)) == len(made) - 1


def test_without_validation_rows_c_is_one():
    x, y = data(30)
    assert LogisticSweepHead().fit(x, y).c == 1.0
    assert LogisticSweepHead(coarse=(1e2, 1e-1, 1e-3)).fit(x, y).c == 1e-1


def test_values_must_be_positive():
    with pytest.raises(UserError, match="grid of C"):
        LogisticSweepHead(coarse=(-1.0,))
