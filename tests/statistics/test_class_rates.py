"""Rates of every class against scikit-learn, their intervals against a loop over the draws and closed forms."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import precision_recall_fscore_support

from workers.statistics import class_rates as rates_module
from workers.statistics.bootstrap import bootstrap_weights
from workers.statistics.class_rates import (
    RATES,
    class_differences,
    class_rates,
    clopper_pearson,
    named_classes,
    named_labels,
    named_pairs,
)
from workers.statistics.intervals import combined_interval, exact_binomial_interval
from workers.statistics.paired import holm
from workers.statistics.strata import wilson_limits

ROWS, CLASSES, REPLICATES = 150, 6, 4


def predictions(seed: int, *, strength: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    labels = np.random.default_rng(0).integers(0, CLASSES, ROWS)
    logits = np.random.default_rng(seed).normal(size=(REPLICATES, ROWS, CLASSES))
    logits[:, np.arange(ROWS), labels] += strength
    return logits.astype(np.float32), labels


def by_scikit_learn(named: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
    found = precision_recall_fscore_support(
        labels, named, labels=np.arange(CLASSES), sample_weight=weights, zero_division=np.nan
    )
    return dict(zip(("precision", "recall", "f1", "support"), found, strict=True))


def test_rates_are_those_of_scikit_learn_averaged_over_replicates() -> None:
    logits, labels = predictions(1)
    found = class_rates(named_classes(logits, labels), draws=20)
    reference = [by_scikit_learn(one.argmax(axis=1), labels) for one in logits]
    for name in RATES:
        expected = np.mean([one[name] for one in reference], axis=0)
        np.testing.assert_allclose(found.rates[name].value, expected, atol=1e-12)
    np.testing.assert_array_equal(found.support, reference[0]["support"])
    assert found.named.sum() == pytest.approx(ROWS)


@pytest.mark.parametrize("is_grouped", [False, True])
def test_intervals_are_those_of_a_loop_over_the_draws(*, is_grouped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates_module, "CHUNK", 9 * ROWS)  # several chunks
    logits, labels = predictions(1)
    groups = np.arange(ROWS) // 3 if is_grouped else None
    found = class_rates(named_classes(logits, labels), draws=40, seed=3, groups=groups)
    weights = bootstrap_weights(ROWS, draws=40, seed=3, groups=groups)
    named = logits.argmax(axis=2)
    tables = [[by_scikit_learn(one, labels, weights[:, draw]) for one in named] for draw in range(40)]
    for name in ("recall", "f1"):
        values = np.stack([by_scikit_learn(one, labels)[name] for one in named])
        drawn = np.array([np.mean([one[name] for one in table], axis=0) for table in tables])
        for label in range(CLASSES):
            units = (labels == label).sum() if groups is None else len(np.unique(groups[labels == label]))
            expected = combined_interval(
                values[:, label],
                float(drawn[:, label].var(ddof=1)),
                bounds=(0, 1),
                test_degrees_of_freedom=float(units - 1),
            )
            rate = found.rates[name]
            value = values[:, label].mean()
            quantile = stats.t.ppf(0.975, expected.degrees_of_freedom)
            seen = value * (1 - value) / expected.standard_error**2
            limits = wilson_limits(value, seen, confidence=2 * stats.norm.cdf(quantile) - 1)
            assert (rate.low[label], rate.high[label]) == pytest.approx(limits, abs=1e-9)
            assert rate.draw_error[label] == pytest.approx(expected.draw_standard_error)
            assert rate.test_error[label] == pytest.approx(expected.test_standard_error)
            assert rate.degrees_of_freedom[label] == pytest.approx(expected.degrees_of_freedom)
    assert ("groups" in found.kind) == is_grouped


def test_a_class_that_is_never_named_has_no_precision() -> None:
    labels = np.array([0, 0, 1, 1, 2])
    logits = np.zeros((2, 5, 3))
    logits[:, :, 0] = 1
    logits[0, 2, 1] = 2
    found = class_rates(named_classes(logits, labels), draws=200)
    precision = found.rates["precision"]
    assert precision.value[:2] == pytest.approx([(2 / 4 + 2 / 5) / 2, 1.0])
    assert np.isnan([precision.value[2], precision.low[2], precision.high[2]]).all()
    assert precision.replicates.tolist() == [2, 1, 0]
    assert found.rates["recall"].value.tolist() == [1.0, 0.25, 0.0]
    # Class 2 has one row: (4/5)^5 of the draws lack it, and its recall is said of the rest alone.
    assert found.rates["recall"].lacking[2] == pytest.approx(200 * 0.8**5, abs=30)


def test_without_spread_the_interval_is_exact() -> None:
    labels = np.repeat([0, 1], [30, 12])
    logits = np.stack([np.eye(2)[labels]] * 3)
    found = class_rates(named_classes(logits, labels), draws=50)
    for place, count in enumerate((30, 12)):
        exact = exact_binomial_interval(count, count)
        for name in ("recall", "precision"):
            assert found.rates[name].low[place] == pytest.approx(exact.low)
            assert found.rates[name].high[place] == 1.0
        lowest = 0.025 ** (1 / count)
        assert found.rates["f1"].low[place] == pytest.approx(2 * lowest / (1 + lowest))
        assert found.rates["f1"].is_exact[place]
    grouped = class_rates(named_classes(logits, labels), draws=50, groups=np.arange(42) // 2).rates["recall"]
    assert np.isnan(grouped.low).all()
    assert not grouped.is_exact.any()


def test_exact_limits_are_those_of_scipy() -> None:
    low, high = clopper_pearson(np.array([0.0, 3.0, 9.0]), np.array([9.0, 9.0, 9.0]))
    for place, count in enumerate((0, 3, 9)):
        expected = stats.binomtest(count, 9).proportion_ci(method="exact")
        assert (low[place], high[place]) == pytest.approx((expected.low, expected.high))


def test_labels_of_several_a_row_are_the_given_side_of_their_sub_tasks() -> None:
    rng = np.random.default_rng(2)
    logits = [rng.normal(size=(2, 80, 2)) for _ in range(3)]
    labels = [rng.integers(0, 2, 80) for _ in range(3)]
    found = class_rates(named_labels(logits, labels), draws=20)
    for place in range(3):
        reference = [
            precision_recall_fscore_support(labels[place], one.argmax(axis=1), average="binary", pos_label=1)
            for one in logits[place]
        ]
        for at, name in enumerate(("precision", "recall", "f1")):
            assert found.rates[name].value[place] == pytest.approx(np.mean([one[at] for one in reference]))
        assert found.support[place] == labels[place].sum()


def test_a_pair_has_the_share_of_the_class_that_is_named_as_the_other() -> None:
    logits, labels = predictions(4)
    found = class_rates(named_pairs(logits, labels, [(0, 1), (2, 0)]), draws=30)
    named = logits.argmax(axis=2)
    for place, (of, other) in enumerate([(0, 1), (2, 0)]):
        expected = (named[:, labels == of] == other).mean()
        assert found.rates["recall"].value[place] == pytest.approx(expected)


def test_differences_are_paired_and_corrected_over_the_classes() -> None:
    (a, labels), (b, _) = predictions(1, strength=2.5), predictions(2, strength=1.0)
    found = class_differences(named_classes(a, labels), named_classes(b, labels), rate="f1", draws=60, seed=1)
    weights = bootstrap_weights(ROWS, draws=60, seed=1)

    def table(logits: np.ndarray, draw: np.ndarray | None) -> np.ndarray:
        return np.stack([by_scikit_learn(one, labels, draw)["f1"] for one in logits.argmax(axis=2)])

    apart = table(a, None) - table(b, None)
    drawn = np.stack([(table(a, one) - table(b, one)).mean(axis=0) for one in weights.T])
    bare = []
    for label in range(CLASSES):
        units = float((labels == label).sum() - 1)
        expected = combined_interval(
            apart[:, label], float(drawn[:, label].var(ddof=1)), bounds=(-1, 1), test_degrees_of_freedom=units
        )
        assert found.difference[label] == pytest.approx(apart[:, label].mean())
        assert (found.low[label], found.high[label]) == pytest.approx((expected.low, expected.high), abs=1e-9)
        ratio = abs(apart[:, label].mean()) / expected.standard_error
        bare.append(2 * stats.t.sf(ratio, expected.degrees_of_freedom))
    np.testing.assert_allclose(found.p_value, holm(bare), rtol=1e-6)
    assert {found.verdict(label) for label in range(CLASSES)} <= {"higher", "not separable"}
    assert "Holm over 6 classes" in found.kind


def test_a_difference_without_spread_has_the_sign_tests_p() -> None:
    labels = np.repeat([0, 1, 2], [4, 20, 6])
    right = np.eye(3)[labels][None]
    wrong = np.eye(3)[(labels + 1) % 3][None]
    found = class_differences(named_classes(right, labels), named_classes(wrong, labels), draws=50)
    expected = holm([stats.binomtest(count, count).pvalue for count in (4, 20, 6)])
    np.testing.assert_allclose(found.p_value, expected)
    assert [found.verdict(label) for label in range(3)] == ["not separable", "higher", "not separable"]
    same = class_differences(named_classes(right, labels), named_classes(right, labels), draws=50)
    assert same.p_value.tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(ValueError, match="same test rows"):
        class_differences(named_classes(right, labels), named_classes(wrong, labels[::-1]), draws=5)


def test_a_thousand_classes_hold_no_cube() -> None:
    rows = 4000
    labels = np.random.default_rng(0).integers(0, 1000, rows)
    logits = np.random.default_rng(1).random((1, rows, 1000), dtype=np.float32)
    logits[0, np.arange(rows), labels] += 0.5
    found = named_classes(logits, labels)
    tracemalloc.start()
    class_rates(found, draws=300)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400e6, "rows × classes × draws would be 1.2 billion numbers"


def made(rng: np.random.Generator, rows: int, *, replicates: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits of four classes of unequal size and difficulty; each draw of the labels moves the classes' logits."""
    labels = rng.choice(4, rows, p=(0.4, 0.3, 0.2, 0.1))
    shift = rng.normal(0, spread, (replicates, 1, 4)) + np.array([1.0, 1.5, 2.0, 2.6])
    noise = rng.normal(0, 0.8, (1, rows, 4)) + rng.normal(0, 0.6, (replicates, rows, 4))
    return noise + shift * np.eye(4)[labels], labels


@pytest.mark.slow
@pytest.mark.parametrize(("replicates", "spread"), [(1, 0.0), (5, 0.3)])
def test_intervals_of_classes_hold_the_truth(replicates: int, spread: float) -> None:
    """93 to 99% of the intervals hold the rates over endless draws and rows: with few rows they are rather too long."""
    rng = np.random.default_rng(5)
    endless = [made(rng, 4000, replicates=50, spread=spread) for _ in range(16)]
    truths = [class_rates(named_classes(*one), draws=2).rates for one in endless]
    hits = {name: [] for name in RATES}
    for repetition in range(500):
        logits, labels = made(rng, 150, replicates=replicates, spread=spread)
        found = class_rates(named_classes(logits, labels), draws=200, seed=repetition)
        for name in RATES:
            rate, truth = found.rates[name], np.mean([one[name].value for one in truths], axis=0)
            hits[name].append((rate.low <= truth) & (truth <= rate.high))
    for name, held in hits.items():
        share = np.mean(held, axis=0)
        assert 0.93 <= share.mean() <= 0.99, (name, share)
        assert share.min() > 0.91, (name, share)
