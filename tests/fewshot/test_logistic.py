"""Logistic regression against scikit-learn's Newton-Cholesky solver at a tolerance of 1e-12."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import MaxAbsScaler
from threadpoolctl import threadpool_limits

from workers.fewshot.head_entries import C_GRID
from workers.fewshot.heads.logistic import LogisticHead
from workers.fewshot.logistic_path import LogisticPath, logistic_path, rotate
from workers.kit import UserError


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


def features(classes, k, dimensions, *, seed=0, spread=1.0):
    rng = np.random.default_rng(seed)
    middle = rng.standard_normal((classes, dimensions))
    labels = np.repeat(np.arange(classes), k)
    mixing = rng.standard_normal((dimensions, dimensions)) / np.sqrt(dimensions)
    x = (0.5 * middle[labels] + spread * rng.standard_normal((len(labels), dimensions))) @ mixing
    return np.maximum(x, 0.0), labels


def oracle(x, y, c):
    model = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-12, max_iter=500)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # at this tolerance its line search may stop on rounding
        model.fit(x, y)
    return model.coef_, model.intercept_ - (model.intercept_.mean() if len(model.intercept_) > 1 else 0.0)


def relative(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


@pytest.mark.parametrize("tolerance", [1e-9, None])
@pytest.mark.parametrize(
    ("classes", "k", "dimensions"), [(2, 1, 60), (2, 8, 60), (2, 128, 60), (3, 1, 40), (3, 8, 40), (3, 60, 40)]
)
def test_coefficients_equal_newton_cholesky_on_the_whole_grid(classes, k, dimensions, tolerance):
    """Within 1e-6 relative for C ≤ 1e2; within 1e-5 at C = 1e4, where the oracle itself is at its limits."""
    x, y = features(classes, k, dimensions)
    x = MaxAbsScaler().fit_transform(x)
    bound = {} if tolerance is None else {"tolerance": tolerance}
    for c, ours in zip(C_GRID, logistic_path(x, y, classes=classes, strengths=C_GRID, **bound), strict=True):
        coefficients, intercepts = oracle(x, y, c)
        assert ours.converged
        assert relative(ours.coefficients, coefficients) < (1e-6 if c <= 1e2 else 1e-5)
        near = 1e-6 * max(1.0, np.abs(intercepts).max()) * max(1.0, c / 1e2)
        assert ours.intercepts == pytest.approx(intercepts, abs=near)


def test_the_stopping_rule_bounds_the_error():
    """Whatever tolerance is asked for, the coefficients are that close to those of a far tighter run."""
    x, y = features(4, 30, 200, seed=3)
    x = MaxAbsScaler().fit_transform(x)
    tight = list(logistic_path(x, y, classes=4, strengths=C_GRID, tolerance=1e-11))
    for tolerance in (1e-3, 1e-5, 1e-7):
        for exact, rough in zip(
            tight, logistic_path(x, y, classes=4, strengths=C_GRID, tolerance=tolerance), strict=True
        ):
            assert relative(rough.coefficients, exact.coefficients) <= 1.01 * tolerance


@pytest.mark.parametrize("shape", [(30, 200), (200, 30), (50, 50)])
def test_rotation_loses_nothing(shape):
    x = np.random.default_rng(0).standard_normal(shape)
    rotation = rotate(x)
    assert rotation.z.shape[1] == min(shape)
    assert rotation.back(rotation.z) == pytest.approx(x, abs=1e-12)
    basis = rotation.back(np.eye(min(shape)))
    assert basis @ basis.T == pytest.approx(np.eye(min(shape)), abs=1e-11)


def test_rows_that_repeat_are_rotated_without_loss():
    x = np.random.default_rng(0).standard_normal((20, 100))[np.arange(30) % 20]
    rotation = rotate(x)
    basis = rotation.back(np.eye(30))
    assert rotation.back(rotation.z) == pytest.approx(x, abs=1e-12)
    assert basis @ basis.T == pytest.approx(np.eye(30), abs=1e-12)


@pytest.mark.parametrize("classes", [2, 4])
def test_head_chooses_c_by_validation_auroc_and_never_trains_on_it(classes):
    x, y = features(classes, 6, 30, seed=5, spread=2.0)
    x_validation, y_validation = features(classes, 40, 30, seed=5, spread=2.5)
    x_test, _ = features(classes, 20, 30, seed=6)
    head = LogisticHead(tolerance=1e-9).fit(x, y, validation=(x_validation, y_validation))
    scaler = MaxAbsScaler().fit(x)
    best, chosen = -1.0, None
    for c in C_GRID:
        coefficients, intercepts = oracle(scaler.transform(x), y, c)
        logits = scaler.transform(x_validation) @ coefficients.T + intercepts
        if classes == 2:
            score = roc_auc_score(y_validation, logits[:, 0])
        else:
            p = np.exp(logits - logits.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            score = roc_auc_score(y_validation, p, multi_class="ovr")
        if score > best + 1e-12:
            best, chosen = score, (c, coefficients, intercepts)
    assert head.c == chosen[0]
    assert relative(head.coefficients, chosen[1]) < 1e-6
    model = LogisticRegression(C=head.c, solver="newton-cholesky", tol=1e-12, max_iter=500).fit(scaler.transform(x), y)
    assert head.predict_proba(x_test) == pytest.approx(model.predict_proba(scaler.transform(x_test)), abs=1e-6)


def test_ties_go_to_the_first_entry_of_the_grid():
    x = np.array([[1.0, 0.0], [0.0, 1.0]])
    head = LogisticHead().fit(x, [0, 1], validation=(x, [0, 1]))
    assert head.c == C_GRID[0]
    assert LogisticHead(c_grid=(1.0, 1e-4)).fit(x, [0, 1], validation=(x, [0, 1])).c == 1.0


def test_without_usable_validation_rows_the_choice_is_not_made_from_noise():
    x, y = features(2, 5, 10)
    assert LogisticHead().fit(x, y).c == 1.0
    assert LogisticHead(c_grid=(1e-4, 1e-2, 10.0)).fit(x, y).c == 1e-2
    one_class = LogisticHead().fit(x, y, validation=(x[:3], y[:3]))
    assert one_class.c == C_GRID[0]
    assert "AUROC" not in one_class.choice


def test_dead_features_and_repeated_rows_are_harmless():
    x, y = features(3, 4, 20)
    x[:, 7] = 0.0
    once, twice = (LogisticHead().fit(np.vstack([x] * n), np.hstack([y] * n)) for n in (1, 2))
    assert np.isfinite(once.decision(x)).all()
    assert twice.converged
    assert relative(twice.coefficients, LogisticHead(c_grid=(2.0,)).fit(x, y).coefficients) < 1e-6


def test_a_fit_that_does_not_converge_says_so(monkeypatch):
    monkeypatch.setattr("workers.fewshot.logistic_path.MAX_NEWTON_STEPS", 2)
    x, y = features(3, 30, 20)
    head = LogisticHead(c_grid=(1e4,)).fit(x, y)
    assert not head.converged
    with pytest.warns(ConvergenceWarning):
        LogisticRegression(C=1e4, max_iter=2).fit(x, y)


def test_grid_must_be_positive():
    for grid in ((), (0.0,), (float("inf"),)):
        with pytest.raises(UserError, match="grid of C"):
            LogisticHead(c_grid=grid)


@pytest.mark.parametrize("k", [1, 2])
def test_weak_penalties_on_a_few_rows_of_large_features_converge(k):
    """Losses near 0 times a C of 1e5 and more: their digits decide whether a step goes downhill."""
    for seed in range(4):
        x, y = features(10, k, 64, seed=seed)
        for solution in logistic_path(10.0 * x, y, classes=10, strengths=(1e3, 1e5, 1e6), tolerance=2e-7):
            assert solution.converged


def test_once_the_validation_area_is_full_no_weaker_penalty_is_fitted(monkeypatch):
    made = []
    plain = LogisticPath.fit
    monkeypatch.setattr(LogisticPath, "fit", lambda self, c, **options: made.append(c) or plain(self, c, **options))
    x, y = np.eye(3)[[0, 1, 2, 0]], [0, 1, 2, 0]
    assert LogisticHead().fit(x, y, validation=(x, y)).c == C_GRID[0]
    assert made == [C_GRID[0], C_GRID[0]]
    made.clear()
    assert LogisticHead(c_grid=(1.0, 1e-2)).fit(x, y, validation=(x, y)).c == 1.0
    assert made == [1e-2, 1.0, 1.0]
