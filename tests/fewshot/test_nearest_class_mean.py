import numpy as np
import pytest
from sklearn.neighbors import NearestCentroid

from workers.fewshot.heads.nearest_class_mean import NearestClassMeanHead
from workers.fewshot.heads.protocol import one_vs_rest_log_odds, softmax


def data(seed=0, offset=0.0):
    rng = np.random.default_rng(seed)
    y = rng.choice([2, 5, 9, 11], 60)
    return rng.standard_normal((60, 12)) + 0.5 * y[:, None] * rng.standard_normal(12) + offset, y


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_predictions_equal_nearest_centroid(offset):
    x, y = data(offset=offset)
    rows = data(1)[0] + offset
    head = NearestClassMeanHead().fit(x, y)
    predicted = head.classes[head.predict_proba(rows).argmax(axis=1)]
    assert np.array_equal(predicted, NearestCentroid().fit(x, y).predict(rows))


def test_probabilities_are_the_softmax_of_negative_squared_distance():
    x, y = data()
    head = NearestClassMeanHead().fit(x, y)
    distances = ((x[:, None, :] - np.stack([x[y == c].mean(axis=0) for c in np.unique(y)])) ** 2).sum(axis=2)
    assert head.predict_proba(x) == pytest.approx(softmax(-distances), abs=1e-12)


def test_log_odds_order_rows_as_probabilities_do_even_where_these_round():
    z = np.array([[0.0, 1.0, 2.0], [800.0, 0.0, 1.0], [900.0, 0.0, 1.0], [-5.0, 3.0, 3.0], [0.0, 0.0, 0.0]])
    odds = one_vs_rest_log_odds(z)
    p = softmax(z)
    ordinary = [0, 3, 4]
    assert odds[ordinary] == pytest.approx(np.log(p[ordinary] / (1 - p[ordinary])))
    assert p[1, 0] == p[2, 0] == 1.0
    assert odds[2, 0] - odds[1, 0] == pytest.approx(100.0)
    assert odds[2, 1] == pytest.approx(-900.0)
