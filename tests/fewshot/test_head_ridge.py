"""Ridge regression against scikit-learn, one penalty at a time, and against leaving every row out in truth."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge, RidgeClassifier

from workers.fewshot.head_entries import LAMBDAS
from workers.fewshot.heads.ridge import RidgeHead, RidgePath
from workers.fewshot.heads.sharpness import log_loss, sharpest
from workers.kit import UserError


def data(rows, dimensions, *, classes=4, seed=0, spread=1.0):
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % classes
    middles = np.random.default_rng(50).standard_normal((classes, dimensions))
    return middles[y] + spread * rng.standard_normal((rows, dimensions)) + 3.0, y


def one_hot(y):
    return (y[:, None] == np.unique(y)[None, :]).astype(float)


@pytest.mark.parametrize("shape", [(12, 40), (80, 20), (41, 40)])
@pytest.mark.parametrize("penalty", [1e-4, 1.0, 1e4])
def test_coefficients_equal_scikit_learn(shape, penalty):
    x, y = data(*shape)
    path = RidgePath(x, one_hot(y))
    oracle = Ridge(alpha=penalty, solver="svd").fit(x, one_hot(y))
    ours = path.coefficients(penalty)
    assert np.linalg.norm(ours.T - oracle.coef_) < 1e-8 * np.linalg.norm(oracle.coef_)
    assert path.level - path.middle @ ours == pytest.approx(oracle.intercept_, abs=1e-8)


@pytest.mark.parametrize("shape", [(12, 40), (60, 20), (21, 20)])
@pytest.mark.parametrize("penalty", [1e-8, 1e-2, 1.0, 1e3])
def test_left_out_values_are_those_of_fits_without_the_row(shape, penalty):
    x, y = data(*shape)
    targets = one_hot(y)
    ours = RidgePath(x, targets).left_out(penalty)
    for i in range(len(x)):
        rest = np.arange(len(x)) != i
        oracle = Ridge(alpha=penalty, solver="svd").fit(x[rest], targets[rest])
        assert ours[i] == pytest.approx(oracle.predict(x[i : i + 1])[0], abs=1e-5)


def test_predictions_equal_ridge_classifier_and_the_penalty_is_the_first_of_the_best():
    x, y = data(40, 30, spread=3.0)
    xv, yv = data(60, 30, seed=1, spread=3.0)
    rows, _ = data(200, 30, seed=2, spread=3.0)
    head = RidgeHead().fit(x, y, validation=(xv, yv))
    scores = [RidgeClassifier(alpha=one, solver="svd").fit(x, y).score(xv, yv) for one in LAMBDAS]
    assert head.penalty == LAMBDAS[int(np.argmax(scores))]
    assert f"accuracy {max(scores):.3f}" in head.choice
    oracle = RidgeClassifier(alpha=head.penalty, solver="svd").fit(x, y)
    assert np.array_equal(head.decision(rows).argmax(axis=1), oracle.predict(rows))


def test_without_validation_rows_the_least_press_decides():
    x, y = data(40, 30, spread=3.0)
    head = RidgeHead().fit(x, y)
    press = []
    for one in LAMBDAS:
        errors = 0.0
        for i in range(len(x)):
            rest = np.arange(len(x)) != i
            fit = Ridge(alpha=one, solver="svd").fit(x[rest], one_hot(y)[rest])
            errors += ((fit.predict(x[i : i + 1])[0] - one_hot(y)[i]) ** 2).sum()
        press.append(errors)
    assert head.penalty == LAMBDAS[int(np.argmin(press))]


def test_the_factor_before_the_softmax_has_the_least_log_loss():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((400, 3))
    p = np.exp(8.0 * logits)
    targets = np.array([rng.choice(3, p=row / row.sum()) for row in p])
    assert sharpest(logits, targets) == 8.0
    assert log_loss(np.log([[0.2, 0.8]]), np.array([1])) == pytest.approx(-np.log(0.8))
    assert sharpest(None, None) == 16.0


def test_penalties_must_be_positive():
    with pytest.raises(UserError, match="grid of λ"):
        RidgeHead(lambdas=(0.0,))
