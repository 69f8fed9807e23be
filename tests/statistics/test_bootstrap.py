import numpy as np
import pytest
from sklearn.metrics import accuracy_score, brier_score_loss, roc_auc_score
from sklearn.utils import resample

from workers.statistics import bootstrap_accuracy, bootstrap_auroc, bootstrap_brier, bootstrap_weights, point_score

DRAWS = 40


def scores_of(rows, classes, *, seed, is_tied):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    p = rng.random((rows, classes)) + 0.5 * (labels[:, None] == np.arange(classes))
    if is_tied:
        p = np.round(p, 1)
    return p / p.sum(axis=1, keepdims=True), labels


@pytest.mark.parametrize("is_tied", [False, True])
def test_two_classes_with_patients_equal_the_per_draw_loop(is_tied):
    """EHRSHOT's rule: resample the sorted unique patients with seed b, weight each label by its patient, score."""
    p, labels = scores_of(700, 2, seed=1, is_tied=is_tied)
    patients = np.random.default_rng(2).integers(0, 150, 700)
    weights = bootstrap_weights(700, draws=DRAWS, groups=patients)
    unique = np.unique(patients)
    ours = (
        bootstrap_auroc(p, labels, weights),
        bootstrap_accuracy(p, labels, weights),
        bootstrap_brier(p, labels, weights),
    )
    for b in range(DRAWS):
        drawn, counts = np.unique(resample(unique, random_state=b), return_counts=True)
        multiplicity = dict(zip(drawn.tolist(), counts.tolist(), strict=True))
        w = np.array([multiplicity.get(one, 0) for one in patients.tolist()], dtype=float)
        assert np.array_equal(w, weights[:, b])
        want = (
            roc_auc_score(labels, p[:, 1], sample_weight=w),
            accuracy_score(labels, p.argmax(axis=1), sample_weight=w),
            brier_score_loss(labels, p[:, 1], sample_weight=w),
        )
        assert [one[b] for one in ours] == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize("is_tied", [False, True])
def test_many_classes_equal_the_per_draw_loop(is_tied):
    p, labels = scores_of(400, 5, seed=3, is_tied=is_tied)
    weights = bootstrap_weights(400, draws=DRAWS, seed=11)
    area, share, brier = (f(p, labels, weights) for f in (bootstrap_auroc, bootstrap_accuracy, bootstrap_brier))
    onehot = labels[:, None] == np.arange(5)
    for b in range(DRAWS):
        w = weights[:, b]
        want = np.mean([roc_auc_score(onehot[:, c], p[:, c], sample_weight=w) for c in range(5)])
        assert area[b] == pytest.approx(want, abs=1e-12)
        assert share[b] == pytest.approx(accuracy_score(labels, p.argmax(axis=1), sample_weight=w), abs=1e-12)
        assert brier[b] == pytest.approx(np.average(((p - onehot) ** 2).sum(axis=1), weights=w), abs=1e-12)


def test_point_scores_are_scikit_learns():
    p, labels = scores_of(300, 4, seed=5, is_tied=False)
    assert point_score("auroc", p, labels) == pytest.approx(
        roc_auc_score(labels, p, multi_class="ovr", average="macro"), abs=1e-12
    )
    assert point_score("accuracy", p, labels) == pytest.approx(np.mean(p.argmax(axis=1) == labels), abs=1e-12)


def test_more_draws_than_a_block_agree_with_the_draws_alone():
    p, labels = scores_of(120, 3, seed=7, is_tied=True)
    many = bootstrap_weights(120, draws=600, seed=0)
    whole = bootstrap_auroc(p, labels, many)
    for b in (0, 255, 256, 599):
        assert whole[b] == pytest.approx(bootstrap_auroc(p, labels, many[:, b : b + 1])[0], abs=1e-14)


def test_weights_resample_whole_groups_and_repeat():
    groups = np.array(["b", "a", "b", "c", "a", "b"])
    weights = bootstrap_weights(6, draws=50, seed=3, groups=groups)
    assert np.array_equal(weights, bootstrap_weights(6, draws=50, seed=3, groups=groups))
    assert np.array_equal(weights[0], weights[2])
    assert np.array_equal(weights[1], weights[4])
    assert (weights[[0, 1, 3]].sum(axis=0) == 3).all()
    assert np.array_equal(weights[:, 1:], bootstrap_weights(6, draws=49, seed=4, groups=groups))


def test_a_class_that_a_draw_lacks_is_left_out_of_the_mean():
    p = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.6, 0.3], [0.5, 0.4, 0.1]])
    labels = np.array([0, 1, 2, 0])
    weights = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    area = bootstrap_auroc(p, labels, weights)
    want = np.mean([roc_auc_score([1, 0, 1], p[[0, 1, 3], 0]), roc_auc_score([0, 1, 0], p[[0, 1, 3], 1])])
    assert area[0] == pytest.approx(want)
    assert np.isnan(area[1])


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="belong together"):
        bootstrap_accuracy(np.ones((3, 2)), [0, 1, 0], np.ones((4, 5)))
    with pytest.raises(ValueError, match="two classes"):
        bootstrap_auroc(np.ones((3, 1)), [0, 1, 0], np.ones((3, 5)))
    with pytest.raises(ValueError, match="groups"):
        bootstrap_weights(3, groups=[1, 2])
    with pytest.raises(ValueError, match="at least one row"):
        bootstrap_weights(0)
