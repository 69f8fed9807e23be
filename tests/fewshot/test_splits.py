import numpy as np
import pytest

from workers.fewshot.splits import stratified_split
from workers.kit import UserError

NAMES = tuple("abcdef")


def split(labels, row_ids, **options):
    return stratified_split(labels, row_ids, **{"dataset_revision": "r1", "seed": 0, "class_names": NAMES, **options})


def test_shares_hold_in_every_class_and_every_row_is_used_once():
    labels = np.repeat(np.arange(4), (200, 100, 40, 20))
    made = split(labels, np.arange(360))
    assert sorted(np.concatenate([made.train, made.validation, made.test])) == list(range(360))
    assert np.bincount(labels[made.test]).tolist() == [50, 25, 10, 5]
    assert np.bincount(labels[made.validation]).tolist() == [20, 10, 4, 2]
    assert "65% training pool, 10% validation, 25% test" in made.convention


def test_the_split_follows_the_row_ids_not_the_order_of_rows():
    rng = np.random.default_rng(0)
    labels, ids = np.repeat(np.arange(3), 30), rng.permutation(1000)[:90]
    order = rng.permutation(90)
    one, other = split(labels, ids), split(labels[order], ids[order])
    for part in ("train", "validation", "test"):
        assert np.array_equal(ids[getattr(one, part)], ids[order][getattr(other, part)])


def test_the_split_depends_on_revision_and_seed():
    labels, ids = np.repeat(np.arange(2), 50), np.arange(100)
    first = split(labels, ids).test.tolist()
    assert split(labels, ids).test.tolist() == first
    assert split(labels, ids, dataset_revision="r2").test.tolist() != first
    assert split(labels, ids, seed=1).test.tolist() != first


def test_the_smallest_class_has_one_row_in_each_part():
    labels = np.array([0] * 20 + [1] * 3)
    made = split(labels, np.arange(23))
    for part in (made.train, made.validation, made.test):
        assert (labels[part] == 1).sum() == 1


@pytest.mark.parametrize(
    ("labels", "rows", "sentence"),
    [
        (np.array([0] * 9 + [1] * 2), 11, "class 'b' has 2 rows: it needs at least 3"),
        (np.array([0] * 9 + [1]), 10, "class 'b' has 1 row: "),
        (np.zeros(9, dtype=int), 9, "at least two"),
        (np.zeros(9, dtype=int), 8, "8 rows but 9 labels"),
    ],
)
def test_bad_input_is_a_sentence(labels, rows, sentence):
    with pytest.raises(UserError, match=sentence):
        split(labels, np.arange(rows))
