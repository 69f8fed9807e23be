"""Sparsity against planted zeros."""

from __future__ import annotations

import numpy as np
import pytest

from workers.weights.sparsity import weight_sparsity


def test_planted_zeros_and_small_weights() -> None:
    weight = np.full((8, 12), 1.0, dtype=np.float32)
    weight[0] = 0  # a dead output
    weight[:, 3] = 0.005  # a dead input, not exactly zero
    weight[1, 0] = -0.0
    found = weight_sparsity(weight)
    assert found.values == 96
    assert found.zero_share == pytest.approx(12 / 96)  # row 0 but for column 3, and one more
    assert found.near_zero_share == pytest.approx((12 + 7 + 1) / 96)
    assert (found.rows, found.dead_rows, found.columns, found.dead_columns) == (8, 1, 12, 1)


def test_near_zero_is_strict_and_relative() -> None:
    weight = np.array([[100.0, 1.0], [0.999, -100.0]])
    assert weight_sparsity(weight, eps=0.01).near_zero_share == 0.25
    assert weight_sparsity(weight * 1e-30, eps=0.01).near_zero_share == 0.25


@pytest.mark.parametrize("shape", [(6, 8), (6, 8, 3, 3), (6, 8, 5)])
def test_two_of_four_along_the_inputs(shape: tuple[int, ...]) -> None:
    weight = np.random.default_rng(0).standard_normal(shape)
    assert weight_sparsity(weight).two_of_four == 0
    pruned = weight.copy()
    groups = pruned.reshape(6, 2, 4, -1)  # a view: the two smallest of each four go
    np.put_along_axis(groups, np.argsort(np.abs(groups), axis=2)[:, :, :2], 0.0, axis=2)
    assert weight_sparsity(pruned).two_of_four == 1
    assert weight_sparsity(pruned).zero_share == 0.5
    half = weight.copy()
    half[:3] = pruned[:3]
    assert weight_sparsity(half).two_of_four == 0.5
    assert weight_sparsity(weight[:, :6]).two_of_four is None


def test_a_layer_of_zeros() -> None:
    found = weight_sparsity(np.zeros((4, 4)))
    assert (found.zero_share, found.near_zero_share, found.two_of_four) == (1, 1, 1)
    assert (found.dead_rows, found.dead_columns) == (4, 4)


def test_chunks_do_not_matter_and_the_input_is_not_changed() -> None:
    rng = np.random.default_rng(1)
    weight = rng.standard_normal((3000, 800)).astype(np.float32)  # more than one chunk
    weight[rng.random(weight.shape) < 0.3] = 0
    weight[1234] = weight[:, 77] = 0
    kept = weight.copy()
    weight.flags.writeable = False
    found = weight_sparsity(weight)
    assert np.array_equal(weight, kept)
    near = np.abs(kept) < np.abs(kept).max() * np.float64(0.01)
    assert found.zero_share == np.mean(kept == 0)
    assert found.near_zero_share == near.mean()
    assert (found.dead_rows, found.dead_columns) == (1, 1)
    assert found.two_of_four == np.mean((kept.reshape(3000, 200, 4) == 0).sum(axis=2) >= 2)


@pytest.mark.parametrize("weight", [np.ones(3), np.ones((0, 4))])
def test_no_matrix(weight: np.ndarray) -> None:
    with pytest.raises(ValueError, match="sparsity"):
        weight_sparsity(weight)
