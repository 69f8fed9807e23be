import numpy as np
import pytest
from scipy import stats

from workers.fewshot.curves import INTERVAL_COLUMNS, HeldOut, mean_points, points_of
from workers.sources.cell_store import Cell
from workers.statistics.bootstrap import bootstrap_weights, draws_without_a_class
from workers.statistics.replicates import counted_weights

METRICS = ("accuracy", "auroc", "brier")


def held_out(labels, *, classes, draws=300, groups=None):
    weights = counted_weights(len(labels), draws=draws, groups=groups)
    return HeldOut(
        labels=labels,
        weights=weights,
        classes=classes,
        units=len(labels) if groups is None else len(np.unique(groups)),
        is_grouped=groups is not None,
        lacking=draws_without_a_class(labels, weights, classes=classes),
    )


def cells(labels, *, classes, replicates, seed=0, converged=True):
    rng = np.random.default_rng(seed)
    return [
        Cell(
            logits=(rng.standard_normal((len(labels), classes)) + (labels[:, None] == np.arange(classes))).astype(
                np.float32
            ),
            converged=converged or place > 0,
        )
        for place in range(replicates)
    ]


def test_a_point_shows_both_sources_and_each_alone():
    rng = np.random.default_rng(1)
    labels, groups = rng.integers(0, 3, 200), rng.integers(0, 50, 200)
    found = cells(labels, classes=3, replicates=4, converged=False)
    point = points_of(
        found, held_out(labels, classes=3, groups=groups), metrics=METRICS, sub_task="", head="h", k=8, note="filled"
    )[0]
    row = dict(zip(INTERVAL_COLUMNS, point.row(), strict=True))
    hits = np.stack([cell.logits.argmax(axis=1) == labels for cell in found])
    weights = bootstrap_weights(200, draws=300, groups=groups)
    test = (hits.mean(axis=0) @ weights / weights.sum(axis=0)).var(ddof=1)
    draw = hits.mean(axis=1).var(ddof=1) / 4
    df = (draw + test) ** 2 / (draw**2 / 3 + test**2 / (len(np.unique(groups)) - 1))
    half = stats.t.ppf(0.975, df) * np.sqrt(draw + test)
    assert (row["value"], row["high"] - row["value"]) == pytest.approx((hits.mean(), half))
    assert row["degrees_of_freedom"] == pytest.approx(df)
    assert row["draw_sd"] == pytest.approx(hits.mean(axis=1).std(ddof=1))
    assert row["draw_high"] - row["value"] == pytest.approx(stats.t.ppf(0.975, 3) * np.sqrt(draw))
    assert row["test_standard_error"] == pytest.approx(np.sqrt(test))
    assert "300 bootstrap draws of whole groups of test rows" in row["kind"]
    assert "ddof 1" in row["draw_kind"]
    assert row["note"] == "filled; 1 of 4 fits did not converge"
    score = point.score()
    assert (score.value, score.low, score.high, score.note) == (row["value"], row["low"], row["high"], row["note"])


@pytest.mark.parametrize(
    ("k", "replicates", "words", "note"),
    [
        (0, 1, "test only, as all training rows leave no draw of labels", ""),
        (None, 1, "test only, as no label is read", ""),
        (4, 1, "test rows only", "one draw of labels"),
    ],
)
def test_without_a_draw_the_interval_is_of_the_test_only_and_says_so(k, replicates, words, note):
    labels = np.arange(90) % 3
    (point,) = points_of(
        cells(labels, classes=3, replicates=replicates),
        held_out(labels, classes=3),
        metrics=["accuracy"],
        sub_task="",
        head="h",
        k=k,
    )
    row = dict(zip(INTERVAL_COLUMNS, point.row(), strict=True))
    assert words in row["kind"]
    assert note in row["note"]
    assert (row["draw_low"], row["draw_sd"], row["draw_kind"]) == (None, None, "")
    assert (row["low"], row["high"]) == (row["test_low"], row["test_high"])


def test_draws_that_lack_a_class_are_said():
    labels = np.array([0] * 57 + [1] * 3)
    test = held_out(labels, classes=2)
    lacking = int((test.weights[labels == 1].sum(axis=0) == 0).sum())
    assert test.lacking == lacking > 3
    points = points_of(cells(labels, classes=2, replicates=2), test, metrics=("accuracy", "auroc", "macro_f1"),
                       sub_task="", head="h", k=1)  # fmt: skip
    notes = {point.metric: point.score().note for point in points}
    assert notes["accuracy"] == ""
    assert notes["auroc"] == f"{lacking} of 300 test draws lack a class, left out"
    assert f"in {lacking} of 300 test draws" in notes["macro_f1"]


def test_a_metric_that_is_not_defined_is_a_dash_with_its_reason():
    labels = np.zeros(50, dtype=np.int64)
    points = points_of(
        cells(labels, classes=2, replicates=2), held_out(labels, classes=2), metrics=("accuracy", "auroc"),
        sub_task="", head="h", k=1,
    )  # fmt: skip
    score = points[1].score()
    assert (score.value, score.low, score.replicates) == (None, None, ())
    assert "no test row" in score.note
    assert points[1].row()[4:8] == [None] * 4
    assert points[0].score().value is not None


def test_a_multi_class_brier_score_may_pass_one():
    labels = np.arange(60) % 3
    wrong = [Cell(logits=np.where(labels[:, None] == np.arange(3), -9.0, 9.0).astype(np.float32) + n) for n in (0, 1)]
    for cell in wrong:
        cell.logits[:, 0] += 20 * (labels != 0)
        cell.logits[:, 1] += 20 * (labels == 0)
    (point,) = points_of(wrong, held_out(labels, classes=3), metrics=["brier"], sub_task="", head="h", k=1)
    assert point.score().value == pytest.approx(2.0, abs=1e-6)


def test_the_mean_over_labels_keeps_to_those_that_all_have():
    rng = np.random.default_rng(2)
    points = []
    weights = counted_weights(120, draws=200)
    for place, share in enumerate((0.5, 0.3, 0.0)):
        labels = (rng.random(120) < share).astype(np.int64)
        test = HeldOut(labels=labels, weights=weights, classes=2, units=120, is_grouped=False, lacking=0)
        for head in ("a", "b"):
            found = cells(labels, classes=2, replicates=3, seed=place)
            points += points_of(found, test, metrics=("accuracy", "auroc"), sub_task=f"l{place}", head=head, k=4)
    means = {(point.head, point.metric): point for point in mean_points(points)}
    assert len(means) == 4
    area = means["a", "auroc"]
    members = [p for p in points if (p.head, p.metric) == ("a", "auroc") and p.sub_task != "l2"]
    assert area.values == pytest.approx(np.mean([p.values for p in members], axis=0))
    assert area.draws == pytest.approx(np.mean([p.draws for p in members], axis=0))
    assert area.score().note.startswith("mean over 2 labels, without l2 (not defined there)")
    assert means["a", "accuracy"].score().note.startswith("mean over 3 labels")
