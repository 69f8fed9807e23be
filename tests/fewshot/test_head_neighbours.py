"""Nearest neighbours against scikit-learn's with cosine distance and weights 1/d."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from workers.fewshot.head_entries import NEIGHBOURS
from workers.fewshot.heads.nearest_neighbours import NearestNeighboursHead
from workers.kit import UserError


def data(rows, *, seed=0, spread=2.0):
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % 3
    return np.random.default_rng(7).standard_normal((3, 12))[y] + spread * rng.standard_normal((rows, 12)), y


@pytest.mark.parametrize("k", NEIGHBOURS)
def test_probabilities_equal_scikit_learn(k):
    x, y = data(60)
    rows, _ = data(40, seed=1)
    oracle = KNeighborsClassifier(k, metric="cosine", weights="distance", algorithm="brute").fit(x, y)
    head = NearestNeighboursHead(neighbours=(k,)).fit(x, y)
    assert head.predict_proba(rows) == pytest.approx(oracle.predict_proba(rows), abs=1e-9)


def test_k_has_the_highest_validation_accuracy_the_first_of_equals():
    x, y = data(90)
    xv, yv = data(60, seed=3)
    scores = [
        KNeighborsClassifier(k, metric="cosine", weights="distance", algorithm="brute").fit(x, y).score(xv, yv)
        for k in NEIGHBOURS
    ]
    head = NearestNeighboursHead().fit(x, y, validation=(xv, yv))
    assert head.k == NEIGHBOURS[int(np.argmax(scores))]
    assert f"{max(scores):.3f}" in head.choice


def test_rows_equally_far_share_the_last_place():
    x = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    head = NearestNeighboursHead(neighbours=(2,)).fit(x, [0, 1, 2])
    near = 1.0 - np.cos(0.3)
    far = 1.0 - np.sin(0.3)
    row = np.array([[np.cos(0.3), np.sin(0.3)]])
    expected = np.array([1 / near, 0.5 / far, 0.5 / far])
    assert head.predict_proba(row)[0] == pytest.approx(expected / expected.sum())


def test_a_copy_of_a_labelled_row_decides_alone():
    x, y = data(30)
    p = NearestNeighboursHead(neighbours=(20,)).fit(x, y).predict_proba(3.0 * x)
    assert p[np.arange(30), y] == pytest.approx(1.0)


def test_blocks_do_not_change_the_answer(monkeypatch):
    x, y = data(30)
    rows, _ = data(50, seed=1)
    whole = NearestNeighboursHead(neighbours=(5,)).fit(x, y).decision(rows)
    monkeypatch.setattr("workers.fewshot.heads.nearest_neighbours.BLOCK", 100)
    assert NearestNeighboursHead(neighbours=(5,)).fit(x, y).decision(rows) == pytest.approx(whole, abs=1e-9)


def test_numbers_of_neighbours_must_be_positive():
    with pytest.raises(UserError, match="1 or more"):
        NearestNeighboursHead(neighbours=(0,))
