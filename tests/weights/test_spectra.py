"""Spectra: the SVD as oracle, the bound of the error, what is ambiguous, conventions of shape, and hostile weights."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest

from workers.kit import UserError
from workers.weights.decomposition import BLOCK_VALUES, NUMPY, decompose, error_bound
from workers.weights.spectra import MAX_COLUMNS, matrices_of, refusal, spectrum
from workers.weights.torch_solver import solver


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def squares(matrix: np.ndarray) -> np.ndarray:
    return np.sort(np.linalg.svd(matrix.astype(np.float64), compute_uv=False) ** 2)


def graded(decades: float) -> np.ndarray:
    """120 × 80 with singular values from 1 down to 10^−decades."""
    left, right = np.linalg.qr(normal(0, 120, 80))[0], np.linalg.qr(normal(1, 80, 80))[0]
    return (left * np.logspace(0, -decades, 80)) @ right.T


@pytest.mark.parametrize(
    ("weight", "method"),
    [
        (normal(2, 300, 200), "gram"),
        (normal(3, 200, 300), "gram"),
        (normal(4, 150, 150), "gram"),
        (graded(2), "gram"),
        (graded(5), "gram"),
        (graded(8), "svd"),
        (graded(20), "svd"),
        (normal(5, 90, 10) @ normal(6, 10, 60), "svd"),
    ],
)
def test_eigenvalues_are_the_squares_of_the_svd_within_the_bound(weight: np.ndarray, method: str) -> None:
    found = spectrum(weight, kind="linear")
    assert found.method == method
    assert (np.diff(found.eigenvalues) >= 0).all()
    assert np.abs(found.eigenvalues - squares(weight)).max() <= found.error < 1e-11 * found.spectral
    assert found.rank == np.linalg.matrix_rank(weight)
    assert found.rank_loss == min(weight.shape) - found.rank
    assert found.total == pytest.approx((weight**2).sum(), rel=1e-12)
    assert found.frobenius == pytest.approx(np.linalg.norm(weight), rel=1e-12)


def test_near_a_limit_that_is_counted_the_svd_decides() -> None:
    weight = np.diag([1.0, 0.5, math.sqrt(1e-5), 0.1])
    assert decompose(weight, solver=NUMPY).is_svd
    assert not decompose(np.diag([1.0, 0.5, math.sqrt(1.1e-5), 0.1]), solver=NUMPY).is_svd


def test_rows_and_columns_of_zeros_need_no_svd() -> None:
    weight = np.zeros((50, 40))
    weight[::2, ::4] = normal(7, 25, 10)
    found = spectrum(weight, kind="linear")
    assert (found.method, found.rank, found.rank_loss, found.weak_rank_loss) == ("gram", 10, 30, 30)
    assert found.eigenvalues[-10:] == pytest.approx(squares(weight)[-10:], rel=1e-12)
    assert not found.eigenvalues[:30].any()


@pytest.mark.parametrize(
    ("shape", "kind"), [((12, 8, 5), "conv1d"), ((8, 12, 3, 3), "conv2d"), ((6, 4, 2, 3, 2), "conv3d")]
)
def test_convolutions_of_any_dimension_pool_their_taps(shape: tuple[int, ...], kind: str) -> None:
    weight = normal(8, *shape)
    taps = weight.reshape(*shape[:2], -1)
    expected = np.sort(np.concatenate([squares(taps[:, :, tap]) for tap in range(taps.shape[2])])) / 2
    found = spectrum(weight, kind=kind)
    assert (found.rows, found.columns, found.matrices) == (max(shape[:2]), min(shape[:2]), taps.shape[2])
    assert found.eigenvalues == pytest.approx(expected, rel=1e-9)
    assert found.frobenius == pytest.approx(np.linalg.norm(weight), rel=1e-12)


def test_ranks_of_a_convolution_are_lost_slice_by_slice() -> None:
    weight = normal(9, 20, 10, 3, 1)
    weight[:, :, 1] = 0
    weight[:, 4:, 2] = normal(10, 20, 1, 1) * normal(11, 1, 6, 1)
    found = spectrum(weight, kind="conv2d")
    assert found.rank_loss == 10 + 5
    assert found.method == "gram and svd"


def test_other_weights_are_matrices() -> None:
    assert [m.shape for m in matrices_of(np.ones((5, 30, 20)), kind="expert")] == [(30, 20)] * 5
    assert [m.shape for m in matrices_of(np.ones((30, 5, 20)), kind="attention")] == [(100, 30)]
    assert [m.shape for m in matrices_of(np.ones((4, 50, 20)), kind="embedding")] == [(200, 20)]
    assert [m.shape for m in matrices_of(np.ones(7), kind="linear")] == [(7, 1)]
    assert [m.shape for m in matrices_of(np.ones((6, 1, 3, 3)), kind="conv2d")] == [(6, 1)] * 9
    assert [m.shape for m in matrices_of(np.ones((6, 9)), kind="conv1d")] == [(9, 6)]
    weight = normal(12, 5, 30, 20)
    expected = np.sort(np.concatenate([squares(expert) for expert in weight]))
    assert spectrum(weight, kind="expert").eigenvalues == pytest.approx(expected, rel=1e-9)


def test_the_matrices_are_views() -> None:
    weight = np.ones((6, 4, 3, 3), dtype=np.float16)
    assert all(np.shares_memory(matrix, weight) for matrix in matrices_of(weight, kind="conv2d"))
    assert {matrix.dtype for matrix in matrices_of(weight, kind="conv2d")} == {np.dtype(np.float16)}


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64, np.int8])
def test_any_precision_and_memory_order(dtype: np.dtype) -> None:
    weight = (10 * normal(13, 60, 40)).astype(dtype)
    expected = squares(weight.astype(np.float64))
    strided = np.asfortranarray(np.repeat(weight, 2, axis=0))[::2]
    strided.flags.writeable = False
    for values in (weight, strided):
        before = values.copy()
        assert spectrum(values, kind="linear").eigenvalues == pytest.approx(expected, rel=1e-9)
        assert (values == before).all()


@pytest.mark.parametrize("is_deficient", [False, True])
def test_tall_weights_are_read_by_blocks(*, is_deficient: bool) -> None:
    columns = 24
    weight = normal(14, BLOCK_VALUES // columns + 5000, columns).astype(np.float32)
    if is_deficient:
        weight[:, -1] = weight[:, 0]
    found = spectrum(weight, kind="embedding")
    assert (found.method, found.rank) == (("svd", 23) if is_deficient else ("gram", 24))
    wide = weight.astype(np.float64)
    expected = np.linalg.eigvalsh(wide.T @ wide)[int(is_deficient) :]
    assert found.eigenvalues[int(is_deficient) :] == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize(
    "weight", [normal(15, 200, 120), normal(16, 64, 200).astype(np.float32), graded(9), graded(3).astype(np.float16)]
)
def test_torch_is_held_to_numpy_within_the_bound(weight: np.ndarray) -> None:
    matrix = weight if weight.shape[0] >= weight.shape[1] else weight.T
    ours, device = decompose(matrix, solver=NUMPY), decompose(matrix, solver=solver("cpu"))
    assert device.is_svd == ours.is_svd
    assert np.abs(device.eigenvalues - ours.eigenvalues).max() <= 2 * ours.error
    by_gram = (solver("cpu").gram(matrix), NUMPY.gram(matrix))
    assert np.abs(by_gram[0] - by_gram[1]).max() <= 2 * error_bound(by_gram[1], rows=len(matrix))


def test_threads_are_given_back() -> None:
    weight = normal(17, 50, 40)
    assert (spectrum(weight, kind="linear", threads=1).eigenvalues > 0).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e200])
@pytest.mark.parametrize("device", ["cpu", "cpu:0"])  # the second goes the way of a GPU
def test_damaged_weights_are_named(value: float, device: str) -> None:
    weight = np.ones((6, 5))
    weight[2, 3] = value
    with pytest.raises(UserError, match=r"layer 'head' holds NaN, infinite or far too large values"):
        spectrum(weight, kind="linear", name="head", device=device)


@pytest.mark.parametrize("weight", [np.float32(3.0), np.zeros((0, 4)), np.zeros((4, 4, 0, 3))])
def test_no_values_no_matrix(weight: np.ndarray) -> None:
    with pytest.raises(UserError, match="holds no matrix"):
        spectrum(weight, kind="conv2d")
    with pytest.raises(UserError, match="holds no matrix"):
        matrices_of(weight, kind="conv2d")


def test_too_many_columns_are_refused_in_words() -> None:
    side = MAX_COLUMNS + 1
    reason = refusal((side, side), kind="linear")
    assert reason is not None
    assert "16,385 × 16,385" in reason
    assert refusal((200_000, 4096), kind="embedding") is None
    with pytest.raises(UserError, match=r"There is no spectrum of layer 'wide'\. A matrix of 16,385"):
        spectrum(np.broadcast_to(np.float32(1), (side, side)), kind="linear", name="wide")
