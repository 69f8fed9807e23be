"""RSA, shared neighbours and Procrustes against scipy, scikit-learn and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.spatial import procrustes
from scipy.spatial.distance import pdist
from sklearn.neighbors import NearestNeighbors

from workers.pairs.geometry import Ranking, dissimilarities, principal, procrustes_likeness, spearman, upper
from workers.pairs.neighbours import mutual_share, nearest_rows, nearest_within
from workers.statistics.vectors import unit_rows


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((60, 9)) + 0.5


@pytest.mark.parametrize("distance", ["correlation", "cosine"])
def test_distances_are_scipys(x: np.ndarray, distance: str) -> None:
    assert upper(dissimilarities(x, distance=distance)) == pytest.approx(pdist(x, distance), abs=1e-12)  # type: ignore[arg-type]


def test_rsa_is_scipys_spearman_with_ties() -> None:
    draw = np.random.default_rng(1)
    one, two = draw.integers(0, 5, 200).astype(float), draw.integers(0, 5, 200).astype(float)
    assert spearman(one, two) == pytest.approx(stats.spearmanr(one, two).statistic, abs=1e-12)


def test_ranks_of_a_part_are_scipys_without_sorting_again() -> None:
    draw = np.random.default_rng(7)
    for values in (draw.standard_normal(80), draw.integers(0, 6, 80).astype(float)):
        part = draw.random(80) < 0.4
        assert np.array_equal(Ranking(values).ranks(part), stats.rankdata(values[part]))
        assert np.array_equal(Ranking(values).ranks(), stats.rankdata(values))


def test_rows_without_direction_are_at_one_from_all() -> None:
    found = dissimilarities(np.array([[0.1, 0.1, 0.1], [1.0, 2.0, 4.0], [3.0, 1.0, 0.0]]))
    assert found[0].tolist() == [0, 1, 1]


def test_nearest_rows_are_scikit_learns_and_leave_the_row_out(x: np.ndarray) -> None:
    unit = unit_rows(x)
    found = nearest_rows(unit, unit, depth=5, block=16)
    expected = NearestNeighbors(n_neighbors=6, metric="cosine", algorithm="brute").fit(x).kneighbors(x)[1][:, 1:]
    assert np.array_equal(found, expected)


def test_equals_are_taken_in_order() -> None:
    unit = unit_rows(np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    assert nearest_rows(unit, unit, depth=2).tolist() == [[1, 2], [0, 2], [0, 1], [0, 1]]


def test_nearest_rows_of_a_half_come_from_the_deeper_table(x: np.ndarray) -> None:
    unit = unit_rows(x)
    members = np.random.default_rng(2).random(60) < 0.5
    places = np.flatnonzero(members)
    found = nearest_within(nearest_rows(unit, unit, depth=59), members, k=4)
    assert np.array_equal(found, places[nearest_rows(unit[members], unit[members], depth=4)])


def test_neighbours_that_ran_out_are_not_shared() -> None:
    table = np.array([[1, 2], [0, 2], [0, 1]])
    found = nearest_within(table, np.array([True, True, False]), k=2)
    assert found.tolist() == [[1, -1], [0, -1]]
    assert mutual_share(found, found) == 0.5


def test_shared_neighbours_by_hand() -> None:
    one, two = np.array([[1, 2], [0, 3]]), np.array([[2, 3], [3, 0]])
    assert mutual_share(one, two) == pytest.approx((1 / 2 + 1) / 2)


def test_procrustes_is_scipys(x: np.ndarray) -> None:
    y = x @ np.random.default_rng(3).standard_normal((9, 9)) + np.random.default_rng(4).standard_normal((60, 9))
    # scipy's disparity lets the second be scaled too: 1 − ‖XᵀY‖_*².
    assert procrustes_likeness(x, y) ** 2 == pytest.approx(1 - procrustes(x, y)[2], abs=1e-12)


def test_procrustes_knows_a_turned_model(x: np.ndarray) -> None:
    turn = np.linalg.qr(np.random.default_rng(5).standard_normal((9, 9)))[0]
    assert procrustes_likeness(x, 40 * x @ turn + 3) == pytest.approx(1)
    assert np.isnan(procrustes_likeness(x, np.ones((60, 3))))


@pytest.mark.parametrize("shape", [(60, 9), (8, 30), (40, 30)])
def test_principal_components_are_those_of_the_svd(shape: tuple[int, int]) -> None:
    x = np.random.default_rng(6).standard_normal(shape)
    kept, share = principal(x, most=5)
    left, values, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    assert kept @ kept.T == pytest.approx((left[:, :5] * values[:5] ** 2) @ left[:, :5].T, abs=1e-9)
    assert share == pytest.approx(float((values[:5] ** 2).sum() / (values**2).sum()))
