import numpy as np
import pytest
from scipy import stats

from workers.statistics import (
    bootstrap_weights,
    combined_difference,
    holm,
    holm_corrected,
    paired_bootstrap,
    paired_difference,
    point_score,
)
from workers.statistics.paired import compare_all, compare_at, compare_tasks, holm_within
from workers.statistics.replicates import draw_table


def predictions(rng, labels, *, skill, replicates=3, classes=3):
    noise = rng.standard_normal((replicates, len(labels), classes))
    return noise + skill * (labels[:, None] == np.arange(classes))


def test_pairing_takes_the_common_noise_out():
    rng = np.random.default_rng(0)
    common = rng.standard_normal(40)
    a, b = common + 0.3 + 0.05 * rng.standard_normal(40), common + 0.05 * rng.standard_normal(40)
    paired = paired_difference(a, b, a_score=1.3, b_score=1.0)
    assert paired.difference == pytest.approx(0.3)
    assert paired.standard_error == pytest.approx(np.std(a - b, ddof=1))
    assert paired.is_separable
    assert paired.p_value == pytest.approx(2 * stats.norm.sf(0.3 / np.std(a - b, ddof=1)))
    shuffled = paired_difference(a, rng.permutation(b), a_score=1.3, b_score=1.0)
    assert not shuffled.is_separable


def test_equal_scores_cannot_be_told_apart():
    same = paired_difference([0.1, 0.2, 0.3], [0.1, 0.2, 0.3])
    assert same.p_value == 1.0
    assert not same.is_separable
    with pytest.raises(ValueError, match="one length"):
        paired_difference([1.0, 2.0], [1.0, 2.0, 3.0])


def test_paired_bootstrap_equals_a_loop_over_draws():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 120)
    a, b = predictions(rng, labels, skill=1.5), predictions(rng, labels, skill=1.0)
    got = paired_bootstrap(a, b, labels, draws=300, seed=5)
    apart = []
    for draw in range(300):
        rows = np.random.RandomState(5 + draw).randint(0, 120, 120)
        hits = [np.mean([(one[rows].argmax(axis=1) == labels[rows]).mean() for one in model]) for model in (a, b)]
        apart.append(hits[0] - hits[1])
    assert (got.low, got.high) == pytest.approx(tuple(np.quantile(apart, [0.025, 0.975])), abs=1e-12)
    assert got.standard_error == pytest.approx(np.std(apart, ddof=1))
    smaller = min(np.sum(np.array(apart) <= 1e-12), np.sum(np.array(apart) >= -1e-12))
    assert got.p_value == pytest.approx(min(1, 2 * (1 + smaller) / 301))


def test_paired_bootstrap_finds_a_planted_difference_and_no_other():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 3, 400)
    good, same, other = (predictions(rng, labels, skill=s) for s in (2.5, 1.0, 1.0))
    weights = bootstrap_weights(400, draws=1000)
    assert paired_bootstrap(good, same, labels, weights=weights).is_separable
    assert paired_bootstrap(good, same, labels, metric="auroc", weights=weights).is_separable
    assert not paired_bootstrap(other, same, labels, weights=weights).is_separable
    assert paired_bootstrap(same, same, labels, weights=weights).p_value == 1.0


def test_the_draw_of_labels_widens_the_difference():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 500)
    base = predictions(rng, labels, skill=1.0, replicates=5)
    # A's skill depends on the draw, so its mean over five draws is uncertain whatever the test rows.
    a = np.stack([base[r] + s * (labels[:, None] == np.arange(3)) for r, s in enumerate((-0.9, 1.2, 0.4, -0.7, 1.0))])
    test_only = paired_bootstrap(a, base, labels, draws=500)
    both = combined_difference(a, base, labels, draws=500)
    assert both.difference == pytest.approx(test_only.difference)
    assert both.standard_error > 2 * test_only.standard_error
    assert test_only.is_separable
    assert not both.is_separable


def test_auroc_and_brier_are_those_of_the_probabilities():
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 3, 150)
    a, b = (predictions(rng, labels, skill=s, replicates=2) for s in (2.0, 1.0))
    p, q = (np.exp(one) / np.exp(one).sum(axis=2, keepdims=True) for one in (a, b))
    for metric in ("auroc", "brier"):
        want = np.mean([point_score(metric, one, labels) for one in p])
        want -= np.mean([point_score(metric, one, labels) for one in q])
        for compare in (paired_bootstrap, combined_difference):
            assert compare(a, b, labels, metric=metric, draws=50).difference == pytest.approx(want, abs=1e-12)


def test_holm_is_the_step_down_rule():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([]) == ()
    one = paired_difference(np.arange(5.0) + 0.9, np.arange(5.0) + np.array([0.5, -0.5, 0.4, -0.4, 0.0]))
    assert one.is_separable
    assert not holm_corrected([one] * 3)[0].is_separable
    assert "Holm over 3 pairs" in holm_corrected([one] * 3)[0].kind


@pytest.mark.parametrize("metric", ["accuracy", "brier", "auroc", "macro_f1"])
def test_a_pair_at_one_number_of_shots_is_the_paired_bootstrap(metric, monkeypatch):
    """In chunks too small for all draws, and with groups."""
    monkeypatch.setattr("workers.statistics.paired.CHUNK", 150 * 70)
    rng = np.random.default_rng(8)
    labels, groups = rng.integers(0, 3, 150), rng.integers(0, 50, 150)
    a, b = predictions(rng, labels, skill=1.2), predictions(rng, labels, skill=1.0, replicates=2)
    got = compare_at(a, b, labels, metric=metric, groups=groups, draws=200, seed=3)
    want = paired_bootstrap(a, b, labels, metric=metric, groups=groups, draws=200, seed=3)
    assert got.kind == want.kind == "paired bootstrap of whole groups of test rows, 200 draws, percentiles"
    for name in ("difference", "low", "high", "standard_error", "p_value"):
        assert getattr(got, name) == pytest.approx(getattr(want, name), abs=1e-12), name


def test_pairs_are_corrected_within_each_number_of_shots():
    rng = np.random.default_rng(9)
    labels = rng.integers(0, 3, 300)
    skills = {"weak": 1.0, "same": 1.0, "strong": 2.5}
    pairs = {
        k: compare_all(
            {name: predictions(rng, labels, skill=s) for name, s in skills.items()}, labels, metric="accuracy"
        )
        for k in (1, 8)
    }
    assert list(pairs[1]) == [("weak", "same"), ("weak", "strong"), ("same", "strong")]
    corrected = holm_within(pairs)
    for k, shown in corrected.items():
        assert [one.p_value for one in shown.values()] == list(holm([one.p_value for one in pairs[k].values()]))
        assert [one.verdict for one in shown.values()] == ["not separable", "lower", "lower"]
        assert all("Holm over 3 pairs" in one.kind for one in shown.values())
    assert (
        compare_at(
            predictions(rng, labels, skill=3), predictions(rng, labels, skill=1), labels, metric="accuracy", draws=200
        ).verdict
        == "higher"
    )


def test_draws_that_lack_a_class_are_left_out_and_said():
    labels = np.array([0] * 38 + [1, 1])
    rng = np.random.default_rng(10)
    a, b = predictions(rng, labels, skill=2, classes=2), predictions(rng, labels, skill=1, classes=2)
    got = compare_at(a, b, labels, metric="auroc", draws=500)
    weights = bootstrap_weights(40, draws=500)
    lacking = int((weights[labels == 1].sum(axis=0) == 0).sum())
    assert lacking > 20
    assert f"{500 - lacking} draws ({lacking} others lack a class)" in got.kind
    with pytest.raises(ValueError, match="not defined"):
        compare_at(a, b, np.zeros(40, dtype=int), metric="auroc", draws=50)
    with pytest.raises(ValueError, match="same rows"):
        compare_at(a, b[:, :30], labels, metric="accuracy", draws=50)


@pytest.mark.parametrize("metric", ["accuracy", "brier", "auroc"])
def test_means_over_sub_tasks_equal_a_loop_over_draws(metric):
    rng = np.random.default_rng(11)
    labels = [rng.integers(0, 2, 80) for _ in range(2)]
    models = {
        name: [predictions(rng, y, skill=skill, classes=2, replicates=count) for y in labels]
        for name, skill, count in (("a", 1.5, 2), ("b", 1.0, 2), ("no labels", 0.8, 1))
    }
    got = compare_tasks(models, labels, metric=metric, draws=60, seed=3)
    weights = bootstrap_weights(80, draws=60, seed=3)
    tables = {
        name: np.mean(
            [
                np.mean([draw_table([metric], one, y, weights)[metric] for one in part], axis=0)
                for part, y in zip(parts, labels, strict=True)
            ],
            axis=0,
        )
        for name, parts in models.items()
    }
    for (one, other), found in got.items():
        apart = tables[one] - tables[other]
        assert (found.low, found.high) == pytest.approx(tuple(np.quantile(apart, [0.025, 0.975])), abs=1e-6)
        assert found.standard_error == pytest.approx(apart.std(ddof=1), abs=1e-6)


def test_a_sub_task_without_the_metric_is_left_out():
    rng = np.random.default_rng(12)
    labels = [rng.integers(0, 2, 60), np.zeros(60, dtype=int)]
    models = {
        name: [predictions(rng, y, skill=skill, classes=2) for y in labels] for name, skill in (("a", 2), ("b", 1))
    }
    both = compare_tasks(models, labels, metric="auroc", draws=50)
    first = compare_all({name: parts[0] for name, parts in models.items()}, labels[0], metric="auroc", draws=50)
    assert both == first
    with pytest.raises(ValueError, match="not defined"):
        compare_tasks({name: parts[1:] for name, parts in models.items()}, labels[1:], metric="auroc", draws=50)
