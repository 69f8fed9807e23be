"""Scores of rows that have numbers or several labels in place of a class."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsRegressor

from tests.transferability.test_logme import dense_maximum
from workers.kit import UserError
from workers.transferability import score
from workers.transferability.target_pass import TargetPass


def fixed_point(features: np.ndarray, target: np.ndarray) -> float:
    """LogME's published regression on one target: eleven steps from α = β = 1 (thuml/LogME, `_fit_fixed_point`)."""
    rows, width = features.shape
    left, singular, _right = np.linalg.svd(features, full_matrices=False)
    sigma = np.square(singular)
    squares = np.square(left.T @ target)
    spare = np.square(target).sum() - squares.sum()
    alpha = beta = 1.0
    for _ in range(11):
        ratio = alpha / beta
        gamma = (sigma / (sigma + ratio)).sum()
        weight = (sigma * squares / (ratio + sigma) ** 2).sum()
        residual = (squares / (1 + sigma / ratio) ** 2).sum() + spare
        alpha, beta = gamma / (weight + 1e-5), (rows - gamma) / (residual + 1e-5)
        if abs(alpha / beta - ratio) / ratio <= 1e-3:
            break
    evidence = width / 2 * np.log(alpha) + rows / 2 * np.log(beta) - 0.5 * np.log(alpha + beta * sigma).sum()
    evidence -= beta / 2 * residual + alpha / 2 * weight + rows / 2 * np.log(2 * np.pi)
    return float(evidence / rows)


def test_diabetes_is_the_dense_evidence_and_the_published_iteration() -> None:
    features, target = load_diabetes(return_X_y=True)
    standard = (target - target.mean()) / target.std()
    found = score("logme", features, target, targets="regression")
    assert found == pytest.approx(dense_maximum(features, standard), abs=1e-6)
    # The iteration is not scale-free: held against features of RMS 1, as ours are.
    assert found == pytest.approx(fixed_point(features / np.sqrt(np.square(features).mean()), standard), abs=1e-4)
    shuffled = np.random.default_rng(0).permutation(target)
    assert found > score("logme", features, shuffled, targets="regression") + 0.2


@pytest.mark.parametrize("width", [10, 200])
def test_both_gram_matrices_give_the_exact_spectrum(width: int) -> None:
    generator = np.random.default_rng(1)
    features, targets = generator.standard_normal((80, width)), generator.standard_normal((80, 3))
    shared = TargetPass(features, targets, task="regression")
    fast, exact = shared.target_spectrum(), shared.target_spectrum(is_accurate=True)
    np.testing.assert_allclose(fast.values, exact.values, rtol=1e-9)
    np.testing.assert_allclose(np.abs(fast.projections), np.abs(exact.projections), atol=1e-7)


def test_small_directions_survive_the_gram_matrix() -> None:
    generator = np.random.default_rng(3)
    quiet, loud = generator.standard_normal((200, 5)), generator.standard_normal((200, 5))
    target = quiet @ np.ones(5)
    mixed = np.concatenate([loud, 1e-8 * quiet], axis=1)
    assert score("logme", mixed, target, targets="regression") > score("logme", loud, target, targets="regression") + 1


@pytest.mark.parametrize("k", [1, 5])
def test_neighbours_of_numbers_equal_scikit_learn(k: int) -> None:
    features, target = load_diabetes(return_X_y=True)
    guessed = cross_val_predict(KNeighborsRegressor(k, algorithm="brute"), features, target, cv=LeaveOneOut())
    others = (target.sum() - target) / (len(target) - 1)
    expected = 1 - np.square(target - guessed).sum() / np.square(target - others).sum()
    assert score("knn_numbers", features, target, k=k) == pytest.approx(expected, abs=1e-10)


def test_a_half_is_levelled_by_its_own_rows() -> None:
    features, target = load_diabetes(return_X_y=True)
    half = TargetPass(features, target, task="regression").select(np.arange(0, 442, 2))
    alone = TargetPass(features[::2], target[::2], task="regression")
    np.testing.assert_allclose(half.targets(), alone.targets())
    assert half.targets().mean() == pytest.approx(0, abs=1e-12)


def test_labels_without_spread_are_left_out_and_wrong_ones_refused() -> None:
    features = np.random.default_rng(0).standard_normal((30, 4))
    tags = np.column_stack([np.arange(30) % 2, np.ones(30)])
    assert TargetPass(features, tags, task="multi-label").targets().shape == (30, 1)
    with pytest.raises(UserError, match="No target varies"):
        TargetPass(features, np.ones(30), task="multi-label").targets()
    with pytest.raises(UserError, match="0 and 1"):
        TargetPass(features, np.arange(30), task="multi-label")
