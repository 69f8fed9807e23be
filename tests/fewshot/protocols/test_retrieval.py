"""Retrieval against trec_eval and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import pytrec_eval

from workers.fewshot.protocols.retrieval import mean_with_interval, query_scores, top_rows
from workers.statistics.vectors import unit_rows

K = 10


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 7, 180)
    return generator.normal(size=(180, 12)) + 0.8 * np.eye(7, 12)[labels], labels


def test_ndcg_and_mrr_are_those_of_trec_eval(data) -> None:
    x, labels = data
    found = query_scores(x, labels, k=K)
    units = unit_rows(x)
    similarity = units @ units.T
    relevant, run = {}, {}
    for query in range(len(x)):
        others = [row for row in range(len(x)) if row != query]
        relevant[str(query)] = {str(row): int(labels[row] == labels[query]) for row in others}
        nearest = sorted(others, key=lambda row: -similarity[query, row])[:K]
        run[str(query)] = {str(row): float(similarity[query, row]) for row in nearest}
    judged = pytrec_eval.RelevanceEvaluator(relevant, {f"ndcg_cut_{K}", "recip_rank", "P_1"}).evaluate(run)
    for name, key in (("ndcg", f"ndcg_cut_{K}"), ("mrr", "recip_rank"), ("precision_at_1", "P_1")):
        np.testing.assert_allclose(found[name], [judged[str(query)][key] for query in range(len(x))], atol=1e-12)


def test_an_example_by_hand() -> None:
    # Query 0 sees rows 1 (other class), 2 and 3 (its class) in this order.
    x = np.array([[1.0, 0.0], [1.0, 0.1], [1.0, 0.5], [1.0, 2.0]])
    found = query_scores(x, np.array([0, 1, 0, 0]), k=3)
    gain = 1 / np.log2(3) + 1 / np.log2(4)
    assert found["ndcg"][0] == pytest.approx(gain / (1 + 1 / np.log2(3)))
    assert found["mrr"][0] == 0.5
    assert found["precision_at_1"][0] == 0.0
    assert np.isnan(found["ndcg"][1]), "a row alone in its class asks for nothing"


def test_rows_of_the_own_group_are_no_answers(data) -> None:
    x, labels = data
    doubled, twice = np.repeat(x, 2, axis=0), np.repeat(labels, 2)
    groups = np.repeat(np.arange(len(x)), 2)
    alone = query_scores(x, labels, k=K)["precision_at_1"]
    kept = query_scores(doubled, twice, k=K, groups=groups)["precision_at_1"]
    np.testing.assert_array_equal(kept[::2], alone)
    assert query_scores(doubled, twice, k=K)["precision_at_1"].mean() == 1.0, "without groups each finds its twin"


def test_a_shared_label_is_enough_and_scale_does_not_matter(data) -> None:
    x, labels = data
    one_hot = np.eye(7, dtype=np.int64)[labels]
    plain, shared = query_scores(x, labels, k=K), query_scores(x * 1000.0, one_hot, k=K)
    np.testing.assert_allclose(plain["ndcg"], shared["ndcg"], atol=1e-12)


def test_the_first_of_equals_comes_first() -> None:
    similarity = np.array([[0.5, 0.9, 0.5, 0.5, 0.1]])
    assert top_rows(similarity, 3).tolist() == [[1, 0, 2]]
    assert top_rows(similarity, 9).tolist() == [[1, 0, 2, 3, 4]]


def test_zero_features_give_numbers_and_no_nan() -> None:
    found = query_scores(np.zeros((6, 4)), np.array([0, 0, 1, 1, 2, 2]), k=K)
    assert all(np.isfinite(values).all() for values in found.values())


def test_the_interval_holds_the_mean_and_groups_make_it_wider(data) -> None:
    generator = np.random.default_rng(0)
    by_group = np.repeat(generator.random(30), 6)
    groups = np.repeat(np.arange(30), 6)
    value, low, high = mean_with_interval(by_group, draws=500, seed=0, groups=None)
    _, low_group, high_group = mean_with_interval(by_group, draws=500, seed=0, groups=groups)
    assert low < value < high
    assert (high_group - low_group) > 1.8 * (high - low)
