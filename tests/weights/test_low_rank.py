"""Low rank: planted spectra, the truncated SVD, and the matrix that a convolution is factored as."""

from __future__ import annotations

import numpy as np
import pytest

from workers.kit import UserError
from workers.weights.low_rank import ENERGIES, low_rank_table
from workers.weights.spectra import spectrum


def planted(singular: list[float], rows: int, columns: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    left = np.linalg.qr(generator.standard_normal((rows, len(singular))))[0]
    right = np.linalg.qr(generator.standard_normal((columns, len(singular))))[0]
    return (left * singular) @ right.T


def test_planted_spectrum() -> None:
    # Energies 64, 16, 4, 1 of 85: kept shares 0.753, 0.941, 0.988, 1.
    rows = low_rank_table(planted([8, 4, 2, 1], 50, 30))
    assert [row.energy for row in rows] == list(ENERGIES)
    assert [row.rank for row in rows] == [2, 3, 4, 4]
    errors = [np.sqrt(5 / 85), np.sqrt(1 / 85), 0.0, 0.0]
    assert [row.relative_error for row in rows] == pytest.approx(errors, abs=1e-7)
    assert [row.parameters for row in rows] == [160, 240, 320, 320]
    assert {row.parameters_full for row in rows} == {1500}
    assert all(row.saves for row in rows)


def test_the_error_is_that_of_the_truncated_svd() -> None:
    weight = np.random.default_rng(1).standard_normal((40, 90))
    u, s, vt = np.linalg.svd(weight, full_matrices=False)
    for row in low_rank_table(weight):
        assert (s[: row.rank] ** 2).sum() >= row.energy * (s**2).sum() > (s[: row.rank - 1] ** 2).sum()
        cut = (u[:, : row.rank] * s[: row.rank]) @ vt[: row.rank]
        assert row.relative_error == pytest.approx(
            np.linalg.norm(weight - cut) / np.linalg.norm(weight), rel=1e-9, abs=1e-12
        )
        assert row.saves == (row.rank * 130 < 3600)


def test_a_convolution_is_the_matrix_of_its_outputs() -> None:
    weight = np.random.default_rng(2).standard_normal((16, 8, 3, 3)).astype(np.float32)
    assert low_rank_table(weight, kind="conv2d") == low_rank_table(weight.reshape(16, 72))


def test_a_spectrum_of_one_matrix_is_taken_as_it_is() -> None:
    weight = np.random.default_rng(3).standard_normal((30, 20))
    assert low_rank_table(spectrum(weight, kind="linear")) == low_rank_table(weight)
    point = np.random.default_rng(4).standard_normal((30, 20, 1, 1))
    pooled = low_rank_table(spectrum(point, kind="conv2d"))
    assert [row.rank for row in pooled] == [row.rank for row in low_rank_table(point, kind="conv2d")]
    with pytest.raises(ValueError, match="one matrix"):
        low_rank_table(spectrum(np.ones((4, 4, 3, 3)), kind="conv2d"))


@pytest.mark.parametrize("weight", [np.zeros((6, 4)), np.zeros((1, 1))])
def test_nothing_to_keep(weight: np.ndarray) -> None:
    assert [(row.rank, row.relative_error, row.parameters) for row in low_rank_table(weight)] == [(0, 0.0, 0)] * 4


def test_all_energy_needs_the_rank() -> None:
    (row,) = low_rank_table(planted([3, 2, 1], 10, 10), energies=[1.0])
    assert row.rank == 3
    (row,) = low_rank_table(np.ones((1, 5)), energies=[1.0])
    assert (row.rank, row.relative_error, row.saves) == (1, 0.0, False)


@pytest.mark.parametrize("energy", [0.0, -0.5, 1.5])
def test_an_energy_is_a_share(energy: float) -> None:
    with pytest.raises(ValueError, match="share"):
        low_rank_table(np.ones((3, 3)), energies=[energy])


def test_damaged_weights_are_refused() -> None:
    with pytest.raises(UserError, match="NaN"):
        low_rank_table(np.array([[1.0, float("nan")], [2.0, 3.0]]))
