"""CKA from Gram blocks against its dense definition, closed forms and noise."""

from __future__ import annotations

import numpy as np
import pytest

from workers.pairs.hsic import gram_sums


def dense_cka(x: np.ndarray, y: np.ndarray, *, is_debiased: bool) -> float:
    """Written from the definitions: tr(KHLH), and Song et al. (2012), equation 5."""
    rows = len(x)
    k, m = x @ x.T, y @ y.T
    if not is_debiased:
        centring = np.eye(rows) - 1 / rows

        def biased(a: np.ndarray, b: np.ndarray) -> float:
            return float(np.trace(a @ centring @ b @ centring))

        return biased(k, m) / float(np.sqrt(biased(k, k) * biased(m, m)))
    ones = np.ones(rows)

    def unbiased(a: np.ndarray, b: np.ndarray) -> float:
        a, b = a - np.diag(np.diag(a)), b - np.diag(np.diag(b))
        middle = (ones @ a @ ones) * (ones @ b @ ones) / ((rows - 1) * (rows - 2))
        return float((np.trace(a @ b) + middle - 2 / (rows - 2) * (ones @ a @ b @ ones)) / (rows * (rows - 3)))

    return unbiased(k, m) / float(np.sqrt(unbiased(k, k) * unbiased(m, m)))


@pytest.fixture
def two() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    x = draw.standard_normal((150, 30)) + 2.0
    return x, x @ draw.standard_normal((30, 12)) + 3 * draw.standard_normal((150, 12))


@pytest.mark.parametrize("block", [7, 64, 1000])
def test_all_rows_and_halves_equal_the_dense_definition(two: tuple[np.ndarray, np.ndarray], block: int) -> None:
    x, y = two
    halves = np.random.default_rng(1).random((150, 3)) < 0.5
    sums = gram_sums([x, y], halves, block=block)
    for number, rows in enumerate([np.full(150, fill_value=True), *halves.T]):
        expected = dense_cka(x[rows], y[rows], is_debiased=True)
        assert sums.debiased()[0, 1, number] == pytest.approx(expected, abs=1e-10)
        assert sums.plain()[1, 0, number] == pytest.approx(dense_cka(x[rows], y[rows], is_debiased=False), abs=1e-10)


def test_a_model_is_like_itself_turned_scaled_and_shifted(two: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = two
    turn = np.linalg.qr(np.random.default_rng(2).standard_normal((30, 30)))[0]
    sums = gram_sums([x, 1e-3 * x @ turn + 5.0, y, 1e3 * y - 7.0])
    for found in (sums.debiased()[..., 0], sums.plain()[..., 0]):
        assert found[0, 1] == pytest.approx(1, abs=1e-9)
        assert np.diag(found) == pytest.approx(1)
        assert found[0, 2] == pytest.approx(found[1, 3], abs=1e-9)


def test_wide_noise_looks_alike_until_it_is_debiased() -> None:
    draw = np.random.default_rng(3)
    plain, debiased = [], []
    for _ in range(10):
        sums = gram_sums([draw.standard_normal((100, 400)), draw.standard_normal((100, 400))])
        plain.append(sums.plain()[0, 1, 0])
        debiased.append(sums.debiased()[0, 1, 0])
    assert min(plain) > 0.7
    assert abs(np.mean(debiased)) < 0.02


def test_features_that_do_not_vary_have_no_cka(two: tuple[np.ndarray, np.ndarray]) -> None:
    sums = gram_sums([two[0], np.full((150, 4), 3.0)])
    assert np.isnan(sums.debiased()[0, 1, 0])
    assert np.isnan(sums.plain()[0, 1, 0])
    assert sums.debiased()[0, 0, 0] == pytest.approx(1)


def test_features_of_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="numbers of rows"):
        gram_sums([np.ones((5, 2)), np.ones((6, 2))])
