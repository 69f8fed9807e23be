"""Cosine and normalised class means against their definitions and distances."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.preprocessing import normalize

from workers.fewshot.heads.cosine_class_mean import CosineClassMeanHead
from workers.fewshot.heads.normalised_class_mean import NormalisedClassMeanHead
from workers.fewshot.heads.protocol import centred


def data(seed=0):
    rng = np.random.default_rng(seed)
    y = rng.choice([2, 5, 9, 11], 60)
    lengths = np.exp(rng.standard_normal(60))[:, None]
    return lengths * (rng.standard_normal((60, 12)) + 0.3 * y[:, None] * rng.standard_normal(12)), y


def cosines(rows, means):
    return np.array([[row @ m / np.linalg.norm(row) / np.linalg.norm(m) for m in means] for row in rows])


def test_simplecil_is_the_cosine_to_the_means_of_raw_features():
    x, y = data()
    rows, _ = data(1)
    means = [x[y == c].mean(axis=0) for c in np.unique(y)]
    head = CosineClassMeanHead(sharpness=(7.0,)).fit(x, y)
    assert head.decision(rows) == pytest.approx(centred(7.0 * cosines(rows, means)), abs=1e-12)


def test_normalised_means_are_means_of_rows_of_length_one():
    x, y = data()
    rows, _ = data(1)
    means = [normalize(x[y == c]).mean(axis=0) for c in np.unique(y)]
    head = NormalisedClassMeanHead(sharpness=(7.0,)).fit(x, y)
    assert head.decision(rows) == pytest.approx(centred(7.0 * cosines(rows, means)), abs=1e-12)
    oracle = np.unique(y)[cdist(normalize(rows), normalize(np.array(means)), "sqeuclidean").argmin(axis=1)]
    assert np.array_equal(head.classes[head.decision(rows).argmax(axis=1)], oracle)


def test_long_rows_count_more_in_one_of_them_only():
    x = np.array([[100.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    raw, normalised = (head().fit(x, [0, 0, 1]).means[0] for head in (CosineClassMeanHead, NormalisedClassMeanHead))
    assert raw == pytest.approx([1.0, 0.01], abs=1e-4)
    assert normalised == pytest.approx([2**-0.5, 2**-0.5])


@pytest.mark.parametrize("head", [CosineClassMeanHead, NormalisedClassMeanHead])
def test_the_factor_changes_no_decision(head):
    x, y = data()
    rows, _ = data(1)
    plain = head().fit(x, y)
    chosen = head().fit(x, y, validation=data(3))
    assert plain.factor == 16.0
    assert chosen.factor != plain.factor
    assert np.array_equal(plain.decision(rows).argmax(axis=1), chosen.decision(rows).argmax(axis=1))
