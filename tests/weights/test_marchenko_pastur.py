"""The Marchenko–Pastur fit: laws with known parameters, and the density by scikit-learn as oracle."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.neighbors import KernelDensity

from workers.weights.marchenko_pastur import BANDWIDTH, _density, fit_marchenko_pastur


def normal_eigenvalues(seed: int, rows: int, columns: int, *, sigma: float = 1.0) -> np.ndarray:
    """Of a matrix of normal entries, divided by its rows: their bulk is σ² (1 ± √(M/N))²."""
    matrix = sigma * np.random.default_rng(seed).standard_normal((rows, columns))
    return np.linalg.eigvalsh(matrix.T @ matrix / rows)


@pytest.mark.parametrize(("rows", "columns"), [(1200, 300), (1000, 800)])
def test_the_bulk_of_a_normal_matrix_has_its_law(rows: int, columns: int) -> None:
    fit = fit_marchenko_pastur(normal_eigenvalues(0, rows, columns, sigma=0.3), rows=rows, columns=columns)
    assert fit is not None
    aspect = math.sqrt(columns / rows)
    assert fit.sigma == pytest.approx(1, abs=0.03)
    assert fit.low == pytest.approx(0.09 * (1 - aspect) ** 2, rel=0.1)
    assert fit.high == pytest.approx(0.09 * (1 + aspect) ** 2, rel=0.05)
    assert fit.soft_rank == pytest.approx(1, abs=0.05)
    assert (fit.spikes, fit.covers_peak) == (0, True)


def test_planted_spikes_are_counted() -> None:
    values = np.append(normal_eigenvalues(1, 1000, 300), [6.0, 8.0, 12.0])
    fit = fit_marchenko_pastur(values, rows=1000, columns=300)
    assert fit is not None
    assert fit.spikes == 3
    assert fit.high < fit.spike_limit < 6
    assert fit.soft_rank == pytest.approx(fit.high / 12, rel=1e-12)


def test_square_matrices_have_the_quarter_circle() -> None:
    fit = fit_marchenko_pastur(normal_eigenvalues(2, 400, 400), rows=400, columns=400)
    assert fit is not None
    assert fit.sigma == pytest.approx(1, abs=0.05)
    assert fit.low == 0


@pytest.mark.parametrize("factor", [1e-12, 1e9])
def test_the_unit_does_not_matter(factor: float) -> None:
    values = normal_eigenvalues(3, 300, 100)
    one = fit_marchenko_pastur(values, rows=300, columns=100)
    other = fit_marchenko_pastur(values * factor, rows=300, columns=100)
    assert one is not None
    assert other is not None
    assert other.sigma == pytest.approx(one.sigma, rel=1e-6)
    assert other.high == pytest.approx(one.high * factor, rel=1e-6)
    assert other.spikes == one.spikes


@pytest.mark.parametrize("values", [normal_eigenvalues(4, 300, 100), np.array([0.3, 0.31, 2.0]), np.arange(12.0)])
def test_the_density_is_scikit_learns(values: np.ndarray) -> None:
    x, y = _density(np.sort(values))
    peer = KernelDensity(kernel="linear", bandwidth=BANDWIDTH).fit(values[:, None])
    assert y == pytest.approx(np.exp(peer.score_samples(x[:, None])), rel=1e-9)


def test_where_no_law_reaches_the_peak_it_says_so() -> None:
    fit = fit_marchenko_pastur(np.append(np.full(99, 1e-6), 1.0), rows=200, columns=100)
    assert fit is not None
    assert not fit.covers_peak


@pytest.mark.parametrize("values", [[0.0, 0.0, 0.0], np.append(np.zeros(0), 0.0)])
def test_no_energy_no_law(values: list[float]) -> None:
    assert fit_marchenko_pastur(values, rows=3, columns=3) is None


def test_a_density_that_is_thin_everywhere_has_no_law() -> None:
    assert fit_marchenko_pastur(np.append(np.ones(1999), 1999.0), rows=4000, columns=2000) is None
