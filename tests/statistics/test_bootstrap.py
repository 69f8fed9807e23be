import warnings

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    f1_score,
    roc_auc_score,
)
from sklearn.utils import resample

from workers.statistics import bootstrap_accuracy, bootstrap_auroc, bootstrap_brier, bootstrap_weights, point_score
from workers.statistics.bootstrap import METRICS, draws_without_a_class
from workers.statistics.logits import one_vs_rest_log_odds, softmax
from workers.statistics.replicates import counted_weights, draw_table, mean_table, row_values

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


def reference(metric, p, labels, w):
    """One draw by scikit-learn with sample weights; the calibration error, which it lacks, bin by bin in a loop."""
    classes = range(p.shape[1])
    named = p.argmax(axis=1)
    if metric == "accuracy":
        return accuracy_score(labels, named, sample_weight=w)
    if metric == "balanced_accuracy":
        return balanced_accuracy_score(labels, named, sample_weight=w)
    if metric == "macro_f1":
        return f1_score(labels, named, labels=classes, average="macro", sample_weight=w, zero_division=np.nan)
    if metric == "ece":
        sure, total = p.max(axis=1), 0.0
        for low in range(15):
            inside = (sure > low / 15) & (sure <= (low + 1) / 15)
            if w[inside].sum():
                total += abs(np.sum(w[inside] * ((named == labels)[inside] - sure[inside]))) / w.sum()
        return total
    if metric == "brier":
        wrong = (p - (labels[:, None] == np.arange(p.shape[1]))) ** 2
        return np.average(wrong[:, 1] if p.shape[1] == 2 else wrong.sum(axis=1), weights=w)
    score = roc_auc_score if metric == "auroc" else average_precision_score
    of = [1] if p.shape[1] == 2 and metric != "map" else classes
    return np.mean([score(labels == c, p[:, c], sample_weight=w) for c in of if w[labels == c].sum()])


@pytest.mark.parametrize("metric", list(METRICS))
@pytest.mark.parametrize("classes", [2, 7])
@pytest.mark.parametrize("is_tied", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_draw_of_every_metric_is_scikit_learns(metric, classes, is_tied, dtype):
    p, labels = scores_of(250, classes, seed=21, is_tied=is_tied)
    labels[labels == classes - 1] = np.where(np.arange((labels == classes - 1).sum()) < 3, classes - 1, 0)  # a rare one
    groups = np.random.default_rng(4).integers(0, 60, 250)
    weights = bootstrap_weights(250, draws=DRAWS, groups=groups, dtype=dtype)
    ours = METRICS[metric](p, labels, weights)
    assert ours.dtype == np.float64
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn tells of classes that a draw lacks
        for b in range(DRAWS):
            if classes == 2 and metric in ("auroc", "auprc") and not weights[labels == 1, b].sum():
                assert np.isnan(ours[b])
                continue
            want = reference(metric, p, labels, weights[:, b].astype(float))
            assert ours[b] == pytest.approx(want, abs=1e-12), b
    assert METRICS[metric](p, labels, np.ones((250, 1)))[0] == pytest.approx(
        reference(metric, p, labels, np.ones(250)), abs=1e-12
    )


@pytest.mark.slow
def test_all_of_ehrshots_3000_draws_equal_the_loop():
    """Its calc_metrics: unique patients resampled with seeds 0 … 999, labels weighted by multiplicity."""
    p, labels = scores_of(2200, 2, seed=31, is_tied=False)
    labels = (np.random.default_rng(1).random(2200) < 0.1).astype(np.int64)
    patients = np.random.default_rng(2).integers(0, 700, 2200)
    unique, member = np.unique(patients, return_inverse=True)
    weights = bootstrap_weights(2200, draws=1000, groups=patients)
    ours = [METRICS[metric](p, labels, weights) for metric in ("auroc", "auprc", "brier")]
    for b in range(1000):
        w = np.bincount(resample(np.arange(len(unique)), random_state=b), minlength=len(unique))[member]
        want = (
            roc_auc_score(labels, p[:, 1], sample_weight=w),
            average_precision_score(labels, p[:, 1], sample_weight=w),
            brier_score_loss(labels, p[:, 1], sample_weight=w),
        )
        assert [one[b] for one in ours] == pytest.approx(want, abs=1e-12)


def test_many_metrics_at_once_are_those_alone():
    rng = np.random.default_rng(6)
    labels = rng.integers(0, 4, 300)
    logits = (rng.standard_normal((3, 300, 4)) + (labels[:, None] == np.arange(4))).astype(np.float32)
    weights = counted_weights(300, draws=30, seed=2, groups=labels * 10 + rng.integers(0, 8, 300))
    assert (weights[:, 0] == 1).all()
    together = mean_table(list(METRICS), list(logits), labels, weights)
    for metric, compute in METRICS.items():
        values, draws = together[metric]
        z = logits.astype(np.float64)
        reads = one_vs_rest_log_odds if metric in ("auroc", "auprc", "map") else softmax
        read = [reads(one) for one in z]
        assert values == pytest.approx([point_score(metric, one, labels) for one in read], abs=1e-12)
        assert draws == pytest.approx(
            np.mean([compute(one, labels, weights[:, 1:]) for one in read], axis=0), abs=1e-12
        )
        rows = row_values(metric, list(logits), labels)
        assert (rows is None) == (metric not in ("accuracy", "brier"))
        if rows is not None:
            assert rows.mean() == pytest.approx(values.mean(), abs=1e-12)
    assert list(draw_table(["map", "accuracy"], logits[0], labels, weights)) == ["map", "accuracy"]


def test_classes_in_parts_and_draws_in_blocks_change_nothing(monkeypatch):
    p, labels = scores_of(200, 9, seed=12, is_tied=True)
    weights = bootstrap_weights(200, draws=90)
    whole = [METRICS[metric](p, labels, weights) for metric in ("auroc", "map")]
    monkeypatch.setattr("workers.statistics.bootstrap_areas.LARGEST_STEPS", 2 * 200)
    monkeypatch.setattr("workers.statistics.bootstrap_areas.LARGEST_BLOCK", 20 * 200)
    for metric, before in zip(("auroc", "map"), whole, strict=True):
        assert METRICS[metric](p, labels, weights) == pytest.approx(before, abs=1e-14)


def test_draws_that_lack_a_class_are_counted():
    labels = np.array([0, 0, 1, 1, 2])
    weights = np.array([[1, 2, 0], [1, 0, 0], [1, 1, 3], [1, 1, 1], [1, 1, 1]], dtype=np.float32)
    assert draws_without_a_class(labels, weights, classes=3) == 1
    assert draws_without_a_class(labels, weights, classes=4) == 3


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
