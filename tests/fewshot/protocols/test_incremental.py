"""Class-incremental evaluation: closed forms, scikit-learn and hand-made courses."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge

from workers.fewshot.protocols.incremental import (
    Run,
    class_order,
    forgetting,
    stage_accuracies,
    staged,
    stages_of,
    summaries,
)
from workers.fewshot.protocols.incremental_heads import RandomProjection, StreamingLda, head_named

NAMES = ("cosine_class_mean", "normalised_class_mean", "nearest_class_mean", "streaming_lda")


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(1)
    y = np.repeat(np.arange(6), 40)
    return generator.normal(size=(240, 9)) + 2.0 * generator.normal(size=(6, 9))[y], y


@pytest.mark.parametrize("name", NAMES)
def test_the_order_leaves_no_trace_after_the_last_stage(name: str, data) -> None:
    x, y = data
    ends = []
    for seed in (1993, 7):
        head = head_named(name, seed=seed, projection=50)
        run = staged(head, x, y, x, y, stages_of(class_order(6, seed), 2), lambda: None)
        ends.append(run.hits[-1])
    np.testing.assert_array_equal(ends[0], ends[1])


def test_streaming_lda_ends_as_scikit_learns_in_one_go(data) -> None:
    x, y = data
    head = StreamingLda(shrinkage=0.1)
    for classes in stages_of(class_order(6, 1993), 2):
        chosen = np.isin(y, classes)
        head.learn(x[chosen], y[chosen])
    reference = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1, priors=np.full(6, 1 / 6)).fit(x, y)
    # scikit-learn shrinks each class after scaling it; with classes of one size and no scaling the sums agree closely.
    assert (head.predict(x) == reference.predict(x)).mean() > 0.99


def test_random_projection_is_ridge_on_all_rows_seen(data) -> None:
    x, y = data
    head = RandomProjection(seed=3, width=30)
    for classes in stages_of(np.arange(6), 3):
        chosen = np.isin(y, classes)
        head.learn(x[chosen], y[chosen])
    hidden = head._hidden(x)
    penalty = head._penalty(hidden[y >= 3], y[y >= 3])
    reference = Ridge(alpha=penalty, fit_intercept=False, solver="cholesky").fit(hidden, np.eye(6)[y])
    np.testing.assert_array_equal(head.predict(x), reference.predict(hidden).argmax(axis=1))


def test_accuracies_and_forgetting_by_hand() -> None:
    # Two rows of stage 0, two of stage 1: all right when new, one of stage 0 is lost at the end.
    stage = np.array([0, 0, 1, 1])
    run = Run(
        hits=np.array([[1, 1, 0, 0], [1, 0, 1, 1]], dtype=bool),
        is_seen=np.array([[1, 1, 0, 0], [1, 1, 1, 1]], dtype=bool),
        stage=stage,
    )
    ones = np.ones((4, 1))
    assert stage_accuracies(run, ones)[:, 0].tolist() == [1.0, 0.75]
    assert forgetting(run, ones)[0] == 0.5
    assert summaries(run, ones)["mean_accuracy"][0] == 0.875


def test_the_order_is_numpys_permutation_and_the_last_stage_takes_the_rest() -> None:
    # The order of CIFAR-100's classes that PODNet and DER publish for seed 1993, its first ten.
    assert class_order(100, 1993)[:10].tolist() == [68, 56, 78, 8, 23, 84, 90, 65, 74, 76]
    assert [len(classes) for classes in stages_of(class_order(7, 0), 3)] == [3, 3, 1]


def test_a_head_sees_each_class_at_its_stage_only(data) -> None:
    x, y = data
    run = staged(
        head_named("cosine_class_mean", seed=0, projection=5), x, y, x, y, stages_of(np.arange(6), 2), lambda: None
    )
    assert run.is_seen.sum(axis=1).tolist() == [80, 160, 240]
    assert not run.hits[0][y >= 2].any()
