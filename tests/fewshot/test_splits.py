from itertools import combinations

import numpy as np
import pytest

from workers.fewshot.splits import split_of, stratified_split
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


def whole(labels, row_ids, **options):
    return split_of(labels, row_ids, **{"dataset_revision": "r1", "seed": 0, "class_names": NAMES, **options})


def patients(rng, rows=3000, count=260):
    """Patients of unequal size whose rows share most of their label."""
    groups = rng.choice(count, rows, p=rng.dirichlet(np.full(count, 1.5)))
    leaning = rng.choice(4, count, p=[0.6, 0.25, 0.1, 0.05])
    labels = np.where(rng.random(rows) < 0.7, leaning[groups], rng.choice(4, rows, p=[0.6, 0.25, 0.1, 0.05]))
    return labels, groups


@pytest.mark.parametrize("seed", range(5))
def test_whole_groups_keep_together_and_shares_are_near(seed):
    labels, groups = patients(np.random.default_rng(seed))
    made = whole(labels, np.arange(3000), groups=groups, seed=seed)
    parts = [made.train, made.validation, made.test]
    assert sorted(np.concatenate(parts)) == list(range(3000))
    for a, b in combinations(parts, 2):
        assert not set(groups[a]) & set(groups[b])
    for part, share in zip(parts, (0.65, 0.10, 0.25), strict=True):
        assert abs(len(part) / 3000 - share) < 0.02
        counts = np.bincount(labels[part], minlength=4) / np.bincount(labels)
        assert (abs(counts - share) < 0.06).all()
    assert made.convention.startswith("by whole groups")


def test_a_split_of_groups_follows_row_ids_not_order_nor_the_groups_numbers():
    rng = np.random.default_rng(3)
    labels, groups = patients(rng)
    ids, order = rng.permutation(9000)[:3000], rng.permutation(3000)
    renamed = rng.permutation(1000)[groups]
    one = whole(labels, ids, groups=groups)
    other = whole(labels[order], ids[order], groups=renamed[order])
    for part in ("train", "validation", "test"):
        assert np.array_equal(ids[getattr(one, part)], ids[order][getattr(other, part)])
    assert whole(labels, ids, groups=groups, seed=1).test.tolist() != one.test.tolist()


def test_a_rare_class_in_three_groups_is_in_each_part():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 10)
    labels = rng.integers(0, 2, 400)
    for group in (5, 17, 30):
        labels[groups == group] = 2
    made = whole(labels, np.arange(400), groups=groups)
    for part in (made.train, made.validation, made.test):
        assert len(set(groups[part[labels[part] == 2]])) == 1


def test_groups_of_one_row_are_split_like_rows():
    labels = np.repeat(np.arange(2), (600, 200))
    made = whole(labels, np.arange(800), groups=np.arange(800))
    assert np.bincount(labels[made.test]).tolist() == [150, 50]
    assert np.bincount(labels[made.validation]).tolist() == [60, 20]


def test_several_labels_keep_their_shares_in_each_part():
    rng = np.random.default_rng(1)
    targets = (rng.random((4000, 6)) < [0.5, 0.3, 0.1, 0.05, 0.01, 0.003]).astype(np.uint8)
    made = whole(np.zeros(4000, dtype=int), np.arange(4000), targets=targets)
    assert sorted(np.concatenate([made.train, made.validation, made.test])) == list(range(4000))
    for part, share in ((made.train, 0.65), (made.validation, 0.10), (made.test, 0.25)):
        assert abs(len(part) / 4000 - share) < 0.01
        given = targets[part].sum(axis=0)
        assert (given > 0).all()
        assert (abs(given - share * targets.sum(axis=0)) <= 3 + 0.02 * targets.sum(axis=0)).all()


def test_splits_of_the_source_are_honoured():
    labels = np.tile([0, 1], 50)
    splits = ["train"] * 60 + ["validation"] * 10 + ["test"] * 28 + [""] * 2
    made = whole(labels, np.arange(100)[::-1].copy(), splits=splits)
    assert sorted(made.train) == list(range(60))
    assert made.train.tolist() == list(range(59, -1, -1))
    assert sorted(made.validation) == list(range(60, 70))
    assert sorted(made.test) == list(range(70, 98))
    assert made.convention == "fixed by the source; 2 rows without a split are left out"


def test_what_the_source_lacks_is_drawn_from_its_training_rows():
    labels = np.tile([0, 1, 2], 100)
    made = whole(labels, np.arange(300), splits=["train"] * 225 + ["test"] * 75)
    assert made.test.tolist() == list(range(225, 300))
    assert np.bincount(labels[made.validation]).tolist() == [10, 10, 10]
    assert len(made.train) == 195
    assert "13% of its training rows are for validation" in made.convention
    renamed = whole(labels, np.arange(300), splits=["train"] * 225 + ["validation"] * 75)
    assert renamed.test.tolist() == made.test.tolist()
    assert "its validation rows are the test rows" in renamed.convention
    groups = np.repeat(np.arange(60), 5)
    grouped = whole(labels, np.arange(300), splits=["train"] * 225 + ["test"] * 75, groups=groups)
    assert not set(groups[grouped.train]) & set(groups[grouped.validation])


def test_a_source_with_training_rows_only_is_split_by_us():
    labels = np.tile([0, 1], 50)
    made = whole(labels, np.arange(100), splits=["train"] * 100)
    assert made.test.tolist() == split(labels, np.arange(100)).test.tolist()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"groups": np.repeat([0, 1, 2, 3], 25), "labels": np.repeat([0, 0, 1, 1], 25)}, "class 'a' lies in 2 groups"),
        ({"groups": np.repeat([0, 1], 50), "labels": np.repeat([0, 1], 50)}, "class 'a' lies in 1 group: it needs"),
        ({"groups": np.zeros(99, dtype=int)}, "100 rows but groups"),
        ({"splits": ["train"] * 99}, "100 rows but 99 splits"),
        ({"splits": ["train"] * 99 + ["dev"]}, "split is 'dev'"),
        ({"splits": ["validation"] * 50 + ["test"] * 50}, "no training rows"),
        (
            {"splits": ["train"] * 60 + ["test"] * 40, "labels": np.repeat([0, 1], (60, 40))},
            "no training row of the class 'b'",
        ),
        (
            {"splits": ["train"] * 60 + ["test"] * 40, "groups": np.tile(np.arange(50), 2)},
            "40 of 50 groups lie in several of the source's splits \\(group 10, 11, 12 …\\)",
        ),
        ({"labels": np.zeros(100, dtype=int), "groups": np.arange(100)}, "fewer than two classes"),
        ({"targets": np.zeros((99, 2))}, "100 rows but targets"),
    ],
)
def test_what_cannot_be_split_is_a_sentence(options, sentence):
    given = {"labels": np.tile([0, 1], 50), **options}
    with pytest.raises(UserError, match=sentence):
        whole(given.pop("labels"), np.arange(100), **given)


def test_where_no_deal_serves_all_parts_a_sentence_says_so():
    """Four groups in three parts: two share a part, and the class that both hold is in two parts only."""
    groups = np.repeat(np.arange(4), 3)
    labels = np.array([0, 1, 2, 0, 1, 3, 0, 2, 3, 1, 2, 3])
    with pytest.raises(UserError, match="No split of whole groups was found"):
        whole(labels, np.arange(12), groups=groups)
