"""EHRSHOT's sampler, by its published rule, and what people may get wrong when they ask for shots."""

from itertools import pairwise

import numpy as np
import pytest

from workers.fewshot import Shots, sample_shots
from workers.kit import UserError

KS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 128)


def ehrshot_rule(labels, k, seed, max_k):
    """Per class, reset the seed, draw max_k without replacement, fill up with replacement, keep the first k."""
    chosen = []
    for value in sorted(set(labels.tolist())):
        state = np.random.RandomState(seed)
        rows = np.array([row for row, label in enumerate(labels.tolist()) if label == value])
        taken = state.choice(rows, min(len(rows), max_k), replace=False).tolist()
        if max_k > len(rows):
            taken += state.choice(rows, max_k - len(rows), replace=True).tolist()
        chosen += taken[:k]
    return chosen


def labels_with_62_positives():
    labels = np.zeros(500, dtype=int)
    labels[np.arange(62) * 8] = 1
    return labels


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("k", KS)
def test_indices_equal_the_rule(k, seed):
    rng = np.random.default_rng(seed)
    for labels in (labels_with_62_positives(), rng.integers(0, 4, 300), rng.choice([3, 7, 20], 90, p=[0.7, 0.2, 0.1])):
        held_out = rng.permutation(labels)[: len(labels) // 2]
        shots = sample_shots(labels, k=k, replicates=2, seed=seed, validation_labels=held_out)
        for replicate in (0, 1):
            assert shots[replicate].train.tolist() == ehrshot_rule(labels, k, seed + replicate, 128)
            assert shots[replicate].validation.tolist() == ehrshot_rule(held_out, k, seed + replicate, 128)


def test_golden_indices():
    """Made once by the rule with numpy's RandomState: 62 positives among 500 rows, max_k 128."""
    shots = sample_shots(labels_with_62_positives(), k=128)
    assert shots[0].train[:8].tolist() == [238, 398, 285, 364, 62, 14, 182, 325]
    assert shots[0].train[128:136].tolist() == [240, 256, 264, 384, 408, 280, 88, 360]
    assert shots[0].train[-4:].tolist() == [0, 392, 400, 288]
    assert shots[4].train[:8].tolist() == [211, 92, 341, 307, 54, 154, 141, 206]
    assert shots[4].train[-4:].tolist() == [320, 440, 424, 56]


def test_smaller_draws_are_contained_in_larger_ones_and_classes_are_balanced():
    labels = np.random.default_rng(0).integers(0, 3, 600)
    by_k = {k: sample_shots(labels, k=k) for k in KS}
    for small, large in pairwise(KS):
        for a, b in zip(by_k[small], by_k[large], strict=True):
            assert set(a.train) <= set(b.train)
            assert np.bincount(labels[b.train]).tolist() == [large] * 3
            assert b.unique_rows == 3 * large
            assert not b.is_oversampled
    assert len({tuple(one.train) for one in by_k[8]}) == 5


def test_a_small_class_is_filled_and_flagged():
    """As Celiac in EHRSHOT: 62 positives give the same 62 rows at k = 64 and k = 128."""
    labels = labels_with_62_positives()
    at_64, at_128, at_62 = (sample_shots(labels, k=k)[2] for k in (64, 128, 62))
    assert at_64.is_oversampled
    assert at_128.is_oversampled
    assert not at_62.is_oversampled
    assert at_128.unique_rows == 128 + 62
    positives = [set(one.train[labels[one.train] == 1]) for one in (at_64, at_128)]
    assert positives[0] == positives[1]
    assert len(positives[0]) == 62


@pytest.mark.parametrize("k", [0, "all"])
def test_all_takes_every_row_in_every_replicate(k):
    shots = sample_shots([0, 1, 1, 0, 1], k=k, replicates=3, validation_labels=[1, 0])
    assert [one.train.tolist() for one in shots] == [[0, 1, 2, 3, 4]] * 3
    assert [one.validation.tolist() for one in shots] == [[0, 1]] * 3
    assert [(one.k, one.replicate, one.is_oversampled) for one in shots] == [
        (0, 0, False),
        (0, 1, False),
        (0, 2, False),
    ]


def test_labels_of_any_kind_and_no_validation():
    shots = sample_shots(["cat", "dog", "cat", "dog"], k=2, replicates=1, groups=[1, 1, 2, 2])
    assert isinstance(shots[0], Shots)
    assert sorted(shots[0].train) == [0, 1, 2, 3]
    assert shots[0].validation.size == 0
    assert shots[0].validation_unique_rows == 0


@pytest.mark.parametrize(
    ("labels", "options", "sentence"),
    [
        ([1, 1, 1], {"k": 1}, "at least two classes"),
        ([], {"k": 1}, "empty"),
        ([[0, 1]], {"k": 1}, "one label a row"),
        ([0.0, 1.0, float("nan")], {"k": 1}, "missing"),
        ([0, 1], {"k": -1}, "number of labels a class"),
        ([0, 1], {"k": 1.5}, "number of labels a class"),
        ([0, 1], {"k": True}, "number of labels a class"),
        ([0, 1], {"k": 256}, "raise max_k"),
        ([0, 1], {"k": 1, "replicates": 0}, "at least one"),
        ([0, 1], {"k": 1, "seed": -1}, "seed"),
        ([0, 1], {"k": 1, "protocol": "imagenet"}, "no shot protocol named 'imagenet'. Known: ehrshot, coop"),
        ([0, 1], {"k": 1, "validation_labels": [0, 2]}, "no training row has"),
        ([0, 1], {"k": 1, "groups": [1]}, "2 labels but groups"),
    ],
)
def test_bad_input_is_a_sentence(labels, options, sentence):
    with pytest.raises(UserError, match=sentence):
        sample_shots(labels, **options)
