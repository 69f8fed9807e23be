"""Regularised H-score against its published formula through scikit-learn's Ledoit-Wolf."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.datasets import load_iris

from workers.transferability import score


def published(features: np.ndarray, labels: np.ndarray) -> float:
    centred = features - features.mean(axis=0)
    fitted = LedoitWolf().fit(centred)
    means = np.zeros_like(centred)
    for label in np.unique(labels):
        means[labels == label] = centred[labels == label].mean(axis=0)
    between = (1 - fitted.shrinkage_) * np.cov(means, rowvar=False)
    return float(np.trace(np.linalg.pinv(fitted.covariance_, rcond=1e-15) @ between))


def test_iris() -> None:
    features, labels = load_iris(return_X_y=True)
    assert score("regularised_h_score", features, labels) == pytest.approx(1.177842, abs=1e-6)
    # The published figure is of float32 features.
    assert score("regularised_h_score", features.astype(np.float32), labels) == pytest.approx(1.1778424804, abs=1e-9)


@pytest.mark.parametrize(("rows", "dimensions"), [(300, 20), (200, 200), (80, 300), (301, 300), (12, 40)])
@pytest.mark.parametrize("offset", [0.0, 3.0, 1e5])
def test_equals_the_published_formula(planted, rows: int, dimensions: int, offset: float) -> None:
    features, labels = planted(rows, dimensions, signal=0.5)
    features += offset
    assert score("regularised_h_score", features, labels) == pytest.approx(published(features, labels), rel=1e-9)


def test_correlated_features(planted) -> None:
    features, labels = planted(500, 60)
    mixed = np.maximum(features @ np.random.default_rng(1).standard_normal((60, 60)), 0)
    assert score("regularised_h_score", mixed, labels) == pytest.approx(published(mixed, labels), rel=1e-9)


def test_degenerate_features_are_defined(planted) -> None:
    features, labels = planted(50, 8)
    assert score("regularised_h_score", np.zeros((50, 8)), labels) == 0
    assert score("regularised_h_score", np.full((50, 8), 7.25), labels) == 0
    value = score("regularised_h_score", features, labels)
    constant = np.concatenate([features, np.full((50, 1), 4.0)], axis=1)
    assert np.isfinite(score("regularised_h_score", constant, labels))
    for scale in (1e-3, 1e3):
        assert score("regularised_h_score", features * scale, labels) == pytest.approx(value, rel=1e-9)


def test_integer_features_are_not_truncated() -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(90) % 3
    integers = generator.integers(0, 4, (90, 5)) + labels[:, None]
    expected = published(integers.astype(float), labels)
    for dtype in (np.uint8, np.int64, np.float64):
        assert score("regularised_h_score", integers.astype(dtype), labels) == pytest.approx(expected, rel=1e-9)
