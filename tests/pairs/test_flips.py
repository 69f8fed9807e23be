"""Flips by hand on six rows, their invariants, and the interval on models that are equally good."""

from __future__ import annotations

import numpy as np
import pytest

from workers.statistics.bootstrap import bootstrap_weights
from workers.statistics.flips import complement
from workers.statistics.paired import combined_difference


def answers(*replicates: list[int], classes: int = 3) -> np.ndarray:
    """Logits of models that are sure of these classes."""
    return np.stack([2.0 * np.eye(classes)[one] for one in replicates])


LABELS = np.array([0, 0, 0, 1, 1, 2])
#                       right  wrong  wrong right wrong right
STUDENT = answers([0, 1, 2, 1, 0, 2])
#                       right  right  wrong wrong right wrong
TEACHER = answers([0, 0, 1, 0, 1, 0])


def test_six_rows_by_hand() -> None:
    found = complement(STUDENT, TEACHER, LABELS)
    assert found.positive.value == pytest.approx(2 / 6)
    assert found.negative.value == pytest.approx(2 / 6)
    assert (found.student.value, found.teacher.value) == (0.5, 0.5)
    assert found.oracle.value == pytest.approx(5 / 6)
    assert [(one.label, one.rows, one.positive, one.negative) for one in found.by_class] == [
        (0, 3, pytest.approx(1 / 3), 0.0),
        (1, 2, 0.5, 0.5),
        (2, 1, 0.0, 1.0),
    ]
    # Two flips, in two classes: one of them holds half.
    assert found.holding == 1
    assert found.replicates == 1
    assert "test rows only" in found.positive.interval.kind


def test_the_surer_one_wins_the_average() -> None:
    student = np.array([[[3.0, 0.0], [0.0, 1.0]]])
    teacher = np.array([[[0.0, 1.0], [4.0, 0.0]]])
    found = complement(student, teacher, np.array([0, 0]), draws=100)
    assert found.averaged.value == 1.0
    assert found.gain.value == 0.5
    # Logits mean the same after any shift of a row.
    assert complement(student + 100, teacher - 7, np.array([0, 0]), draws=100).averaged.value == 1.0


def test_a_model_and_itself_do_not_flip() -> None:
    found = complement(STUDENT, STUDENT, LABELS)
    for one in (found.positive, found.negative, found.difference, found.gain):
        assert (one.value, one.interval.low, one.interval.high) == (0, 0, 0)
    assert found.oracle.value == found.averaged.value == found.student.value
    assert found.holding == 0


def test_turned_around_gains_are_losses() -> None:
    one, two = complement(STUDENT, TEACHER, LABELS), complement(TEACHER, STUDENT, LABELS)
    assert one.positive.value == two.negative.value
    assert one.difference.value == -two.difference.value
    assert one.oracle == two.oracle


def test_the_difference_of_accuracies_has_the_interval_of_the_paired_comparison() -> None:
    draw = np.random.default_rng(0)
    one, two = draw.standard_normal((4, 80, 3)), draw.standard_normal((4, 80, 3))
    labels = draw.integers(0, 3, 80)
    weights = bootstrap_weights(80, draws=300)
    found = complement(one, two, labels, weights=weights)
    expected = combined_difference(two, one, labels, weights=weights)
    assert found.difference.value == pytest.approx(expected.difference)
    assert found.difference.interval.low == pytest.approx(expected.low)
    assert found.difference.interval.high == pytest.approx(expected.high)
    assert found.difference.value == pytest.approx(found.positive.value - found.negative.value)
    assert "4 replicates" in found.positive.interval.kind


def test_flips_of_two_coins_are_covered_by_their_interval() -> None:
    """Two independent models of accuracy ½ and ½: ρ_pos is ¼; 95% intervals hold it about 95 times of 100."""
    draw = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        right = draw.random((2, 1, 120)) < 0.5
        logits = [np.stack([one, ~one], axis=-1).astype(float) for one in right]
        found = complement(logits[0], logits[1], np.zeros(120, dtype=int), draws=200)
        held += found.positive.interval.low <= 0.25 <= found.positive.interval.high
    assert 178 <= held <= 199


def test_shapes_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="same rows"):
        complement(STUDENT, TEACHER[:, :5], LABELS)
