"""Shots against the rows that released samplers drew: run in their own checkouts, kept here as inputs and rows.

published_shots.json names repository, commit, file and function of each protocol.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from workers.fewshot import sample_shots
from workers.fewshot.shot_protocols import PROTOCOLS
from workers.kit import UserError

PUBLISHED = json.loads(Path(__file__).with_name("published_shots.json").read_text(encoding="utf-8"))
CASES = PUBLISHED["cases"]


def labels_of(case, part):
    return [int(digit) for digit in PUBLISHED["labels"][case["labels"]][part]]


def drawn(case, replicates=1):
    return sample_shots(
        labels_of(case, "train"),
        k=case["k"],
        replicates=replicates,
        seed=case["seed"],
        protocol=case["protocol"],
        validation_labels=labels_of(case, "validation"),
    )


@pytest.mark.parametrize("protocol", ["ehrshot", "coop", "tip_adapter"])
def test_rows_and_their_order_are_those_of_the_released_sampler(protocol):
    cases = [case for case in CASES if case["protocol"] == protocol]
    assert len(cases) >= 18
    assert "@" in PUBLISHED["sources"][protocol][0]
    for case in cases:
        (shots,) = drawn(case)
        assert shots.train.tolist() == case["train"]
        assert shots.validation.tolist() == case["validation"]


def test_elevater_takes_the_released_rows_and_cuts_the_released_validation_rows():
    """The order of its rows is that of Python's sets there, so only their membership is compared."""
    cases = [case for case in CASES if case["protocol"] == "elevater"]
    assert {case["k"] for case in cases} == {1, 5, 20, 50}
    for case in cases:
        (shots,) = drawn(case)
        assert sorted(shots.train) == sorted(case["train"])
        assert sorted(shots.validation) == sorted(case["validation"])
        assert shots.validation_is_from_train


def test_mteb_goes_on_shuffling_from_one_experiment_to_the_next():
    for case in [case for case in CASES if case["protocol"] == "mteb"]:
        shots = drawn(case, replicates=10)
        assert [one.train.tolist() for one in shots] == case["train"]
        assert all(one.validation.size == 0 for one in shots)


def test_every_protocol_says_its_rule_its_source_and_its_seeds():
    assert set(PROTOCOLS) == {"ehrshot", "coop", "tip_adapter", "mteb", "elevater", "vtab", "percent"}
    words = {name: one.seed_words() for name, one in PROTOCOLS.items()}
    assert words["ehrshot"] == "5 replicates, seeds 0 to 4"
    assert words["coop"] == "3 replicates, seeds 1 to 3"
    assert words["mteb"] == "10 experiments, seed 42"
    assert words["tip_adapter"] == "one draw, seed 1"
    for one in PROTOCOLS.values():
        assert "arXiv:" in one.source
        assert one.rule
        assert one.shots


def test_a_small_class_is_short_or_filled_as_the_protocol_says():
    labels = [0] * 40 + [1] * 6
    flags = {}
    for name in ("ehrshot", "coop", "tip_adapter", "mteb", "elevater"):
        (one,) = sample_shots(labels, k=16, replicates=1, protocol=name)
        flags[name] = (one.is_oversampled, one.is_short, one.unique_rows + one.validation_unique_rows)
        assert "1 has 6 training rows of the 16 asked for" in one.flags[0]
    assert flags["ehrshot"] == (True, False, 22)
    assert flags["coop"] == flags["mteb"] == flags["elevater"] == (False, True, 22)
    assert flags["tip_adapter"][:2] == (True, False)


def test_validation_rows_are_flagged_apart():
    (one,) = sample_shots([0, 1] * 50, k=8, replicates=1, validation_labels=[0] * 20 + [1] * 3)
    assert one.flags == ()
    assert one.validation_flags == ("1 has 3 validation rows of the 8 asked for; it was filled with replacement",)
    (few,) = sample_shots([0, 1] * 50, k=8, replicates=1, validation_labels=[0] * 20 + [1] * 3, protocol="coop")
    assert few.validation_flags == ("1 has 3 validation rows of the 4 asked for; all of them were taken",)


def test_vtab_takes_800_and_200_rows_as_they_come():
    rng = np.random.default_rng(0)
    labels, held_out = rng.integers(0, 10, 5000), rng.integers(0, 10, 900)
    (one,) = sample_shots(labels, k=1000, replicates=1, protocol="vtab", validation_labels=held_out)
    assert (len(one.train), len(one.validation), one.unique_rows) == (800, 200, 800)
    assert not one.is_short
    (few,) = sample_shots(labels[:300], k=1000, replicates=1, protocol="vtab", validation_labels=held_out[:50])
    assert (few.is_short, few.is_oversampled, len(few.train)) == (True, False, 300)
    assert few.flags == ("there are 300 training rows of the 800 asked for",)
    assert few.validation_flags == ("there are 50 validation rows of the 200 asked for",)


def test_a_class_without_a_row_is_said():
    (one,) = sample_shots([0] * 500 + [7], k=5, replicates=1, protocol="vtab")
    assert "no training row of 7" in one.flags


def test_percent_keeps_the_shares_of_classes_and_is_nested():
    labels = np.repeat([0, 1, 2], (800, 190, 10))
    draws = {k: sample_shots(labels, k=k, protocol="percent", validation_labels=labels) for k in (1, 10, 50, 100)}
    assert np.bincount(labels[draws[10][0].train]).tolist() == [80, 19, 1]
    assert np.bincount(labels[draws[1][0].train]).tolist() == [8, 2, 1]
    for replicate in range(5):
        for small, large in ((1, 10), (10, 50), (50, 100)):
            assert set(draws[small][replicate].train) <= set(draws[large][replicate].train)
            assert set(draws[small][replicate].validation) <= set(draws[large][replicate].validation)
    assert sorted(draws[100][3].train) == list(range(1000))


def test_groups_do_not_straddle_where_validation_rows_are_cut_from_the_shots():
    rng = np.random.default_rng(1)
    labels, groups = rng.integers(0, 2, 300), rng.integers(0, 30, 300)
    for one in sample_shots(labels, k=50, protocol="elevater", groups=groups):
        assert not set(groups[one.train]) & set(groups[one.validation])
        assert any("the rest of the group" in flag for flag in one.flags)
        assert one.unique_rows + one.validation_unique_rows == 100


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_all_takes_all_rows_once(protocol):
    (one,) = sample_shots([0, 1, 1, 0], k="all", replicates=1, protocol=protocol, validation_labels=[1, 0])
    assert one.train.tolist() == [0, 1, 2, 3]
    assert one.validation.tolist() == ([] if protocol == "mteb" else [0, 1])
    assert not one.is_short
    assert not one.flags


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"k": 101, "protocol": "percent"}, "takes 1 to 100 percent"),
        ({"k": 4, "protocol": "vtab"}, "needs at least 5 rows in all"),
        ({"k": -3, "protocol": "vtab"}, "number of rows in all, 1 or more"),
        ({"k": 2.5, "protocol": "percent"}, "percentage of the labels, 1 or more"),
    ],
)
def test_what_a_protocol_cannot_draw_is_a_sentence(options, sentence):
    with pytest.raises(UserError, match=sentence):
        sample_shots([0, 1] * 10, **options)
