"""Leave-one-out kNN: golden values, brute force as oracle, ties, and half-samples from the parent's ranks."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.neighbors import KNeighborsClassifier

from workers.kit import UserError
from workers.transferability import FeaturePass, neighbour_table, score


@pytest.mark.parametrize(("k", "expected"), [(1, 144), (3, 144), (5, 145), (13, 145)])
def test_iris(k: int, expected: int) -> None:
    features, labels = load_iris(return_X_y=True)
    assert score("knn", features, labels, k=k) == expected / 150


def test_default_is_five_neighbours(planted) -> None:
    features, labels = planted(100, 10)
    assert score("knn", features, labels) == score("knn", features, labels, k=5)


@pytest.mark.parametrize("k", [1, 5, 70])
def test_equals_scikit_learn_left_out_one_by_one(planted, k: int) -> None:
    features, labels = planted(120, 6, classes=2, signal=0.7)
    hits = 0
    for row in range(120):
        others = np.arange(120) != row
        fitted = KNeighborsClassifier(n_neighbors=k + 1 - k % 2).fit(features[others], labels[others])
        hits += int(fitted.predict(features[row : row + 1])[0] == labels[row])
    assert score("knn", features, labels, k=k + 1 - k % 2) == hits / 120


def test_ties_go_to_the_nearest_class_whatever_its_name() -> None:
    features = np.array([[0.0], [1.0], [2.0], [-5.0], [-6.0]])
    # Two neighbours of row 0: row 1 (nearer) and row 2.
    for near, far in ((0, 1), (1, 0)):
        labels = np.array([near, near, far, far, far])
        shared = FeaturePass(features, labels)
        assert list(shared.neighbours().nearest(2)[0]) == [1, 2]
        # Rows 0 and 1 see one vote each and follow the nearest, 2 follows row 1 wrongly, 3 and 4 follow each other.
        assert score("knn", features, labels, k=2) == 4 / 5


def test_equal_rows_rank_in_row_order() -> None:
    features = np.repeat(np.random.default_rng(0).standard_normal((2, 30)) + 100.0, 4, axis=0)
    nearest = FeaturePass(features, np.arange(8) % 2).neighbours().nearest(3)
    assert nearest[0].tolist() == [1, 2, 3]
    assert nearest[2].tolist() == [0, 1, 3]
    assert nearest[7].tolist() == [4, 5, 6]


def test_blocks_give_the_same_ranks(planted, monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = planted(150, 12)
    whole = FeaturePass(features, labels).neighbours().order
    monkeypatch.setattr(neighbour_table, "_BLOCK_ENTRIES", 150 * 7)
    assert np.array_equal(FeaturePass(features, labels).neighbours().order, whole)


@pytest.mark.parametrize("k", [1, 5, 30, 99])
def test_half_samples_rank_as_if_alone(planted, k: int) -> None:
    features, labels = planted(400, 8)
    whole = FeaturePass(features, labels)
    rows = np.sort(np.random.default_rng(1).permutation(400)[:200])
    part, alone = whole.select(rows), FeaturePass(features[rows], labels[rows])
    assert np.array_equal(part.neighbours().nearest(k), alone.neighbours().nearest(k))


def test_more_neighbours_than_rows_all_vote() -> None:
    features, labels = np.arange(6.0)[:, None], np.array([0, 0, 0, 0, 1, 1])
    assert score("knn", features, labels, k=50) == 4 / 6
    with pytest.raises(UserError):
        score("knn", features, labels, k=0)


def test_one_row_per_class_has_no_right_neighbour() -> None:
    assert score("knn", np.random.default_rng(0).standard_normal((7, 3)), np.arange(7)) == 0
