"""Confusion against scikit-learn's matrix."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from workers.statistics.confusion import confusion, rows_confused


def predictions() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 200)
    logits = rng.normal(size=(3, 200, 5))
    logits[:, np.arange(200), labels] += 1
    return logits, labels


def test_counts_are_those_of_scikit_learn_averaged() -> None:
    logits, labels = predictions()
    found = confusion(logits, labels)
    tables = [confusion_matrix(labels, one.argmax(axis=1), labels=range(5)) for one in logits]
    np.testing.assert_allclose(found.counts.toarray(), np.mean(tables, axis=0), atol=1e-12)
    one = confusion(logits[1:2], labels)
    np.testing.assert_array_equal(one.counts.toarray(), tables[1])
    expected = confusion_matrix(labels, logits[1].argmax(axis=1), labels=range(5), normalize="true")
    np.testing.assert_allclose(one.shares(), expected)


def test_the_pairs_confused_most_come_first() -> None:
    logits, labels = predictions()
    found = confusion(logits, labels)
    table = found.counts.toarray()
    np.fill_diagonal(table, 0)
    pairs = found.most_confused(4)
    np.testing.assert_allclose([rows for _, _, rows in pairs], np.sort(table.ravel())[::-1][:4])
    assert all(table[of, other] == pytest.approx(rows) for of, other, rows in pairs)
    assert confusion(np.eye(3)[[0, 1, 2]][None], [0, 1, 2]).most_confused(20) == []


def test_rows_of_a_pair_are_those_of_most_replicates_and_surest() -> None:
    logits, labels = predictions()
    of, other, rows = confusion(logits, labels).most_confused(1)[0]
    found = rows_confused(logits, labels, of=of, other=other)
    assert sum(count for _, count, _ in found) == pytest.approx(3 * rows)
    assert all(labels[place] == of for place, _, _ in found)
    order = [(-count, -sure) for _, count, sure in found]
    assert order == sorted(order)
    assert rows_confused(logits, labels, of=0, other=4) != rows_confused(logits, labels, of=4, other=0)
    assert rows_confused(logits, np.zeros(200, dtype=int), of=3, other=1) == []


def test_a_class_without_test_rows_is_a_row_of_zeros() -> None:
    found = confusion(np.eye(3)[[0, 1, 1]][None], [0, 1, 1])
    assert found.shares()[2].tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="on the rows of the labels"):
        confusion(np.zeros((1, 3, 2)), [0, 1])
