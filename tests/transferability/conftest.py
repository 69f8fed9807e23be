"""Planted features: class means that can be told apart, in noise of a chosen width."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

Planted = Callable[..., tuple[np.ndarray, np.ndarray]]


def planted_features(
    rows: int, dimensions: int, *, classes: int = 5, signal: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(rows) % classes)
    means = signal * generator.standard_normal((classes, dimensions))
    return means[labels] + generator.standard_normal((rows, dimensions)), labels


@pytest.fixture
def planted() -> Planted:
    return planted_features
