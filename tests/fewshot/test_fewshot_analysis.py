"""The whole analysis on real data: scikit-learn's digits, their pixels as features, read from a real feature store."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import MaxAbsScaler
from threadpoolctl import threadpool_limits

from tests.fewshot.made_contexts import by_key, context_with
from workers.fewshot.analysis import run
from workers.fewshot.entries import C_GRID, FewshotSpec
from workers.kit import ANALYSES, Cancelled, LocalContext, UserError
from workers.statistics.metric_names import METRIC_TITLES

SPEC = FewshotSpec(shots=(1, 4, 16, 0), replicates=3)


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    return data.data[:900], data.target[:900]


@pytest.fixture(scope="module")
def finished(digits):
    context = context_with(*digits)
    return run(SPEC, context), context


def test_there_is_a_score_for_every_metric_head_and_number_of_shots(finished):
    outcome, context = finished
    scores = by_key(outcome)
    assert set(scores) == {
        (metric, head, k)
        for metric in METRIC_TITLES
        for head in ("logistic", "nearest_class_mean")
        for k in (1, 4, 16, 0)
    }
    for (_, _, k), score in scores.items():
        assert score.low <= score.value <= score.high
        assert len(score.replicates) == (1 if k == 0 else 3)
        assert score.value == pytest.approx(np.mean(score.replicates))
        assert ("test only" in score.interval) == (k == 0)
        assert ("draw of labels (3 replicates, ddof 1) and test rows" in score.interval) == (k != 0)
    done, total, _ = context.progress
    assert done == total == (3 * 3 + 1) * 2 + 4 * 2 + 1


def test_curves_rise_and_are_good_on_digits(finished):
    scores = by_key(finished[0])
    for head in ("logistic", "nearest_class_mean"):
        for metric in ("accuracy", "auroc"):
            curve = [scores[metric, head, k].value for k in (1, 4, 16, 0)]
            assert curve == sorted(curve)
    assert scores["accuracy", "logistic", 0].value > 0.94
    assert 0.3 < scores["accuracy", "logistic", 1].value < 0.8


def test_scores_with_all_rows_equal_scikit_learn_on_the_same_split(digits, finished):
    x, y = digits
    outcome, context = finished
    with np.load(context.workdir / "predictions.npz") as kept:
        test, pool = kept["test_row_ids"], kept["train_pool_row_ids"]
    scaler = MaxAbsScaler().fit(x[pool])
    choice = next(row[4] for row in outcome.tables["fits"].rows if row[1:3] == ["logistic", 0])
    c = next(c for c in C_GRID if choice.startswith(f"C = {c:g} "))
    with threadpool_limits(1):
        model = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-10, max_iter=300).fit(
            scaler.transform(x[pool]), y[pool]
        )
    scores = by_key(outcome)
    assert scores["accuracy", "logistic", 0].value == pytest.approx(model.score(scaler.transform(x[test]), y[test]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # some pixels are black in every digit
        centroid = NearestCentroid().fit(x[pool], y[pool])
    assert scores["accuracy", "nearest_class_mean", 0].value == pytest.approx(centroid.score(x[test], y[test]))


def test_kept_predictions_give_the_scores_again(finished):
    outcome, context = finished
    scores = by_key(outcome)
    with np.load(context.workdir / "predictions.npz") as kept:
        labels = kept["labels"]
        assert kept["classes"][3] == "class 3"
        parts = [kept[f"{part}_row_ids"] for part in ("test", "train_pool", "validation_pool")]
        assert sorted(np.concatenate(parts)) == list(range(900))
        assert kept["k4.train_row_ids"].shape == (3, 40)
        assert set(kept["k4.train_row_ids"].ravel()) <= set(kept["train_pool_row_ids"])
        for head in ("logistic", "nearest_class_mean"):
            for k, replicates in ((1, 3), (4, 3), (16, 3), (0, 1)):
                logits = kept[f"{head}.k{k}.logits"]
                assert logits.shape == (replicates, len(labels), 10)
                assert logits.dtype == np.float32
                assert logits.sum(axis=2) == pytest.approx(0.0, abs=1e-3)
                again = (logits.argmax(axis=2) == labels).mean(axis=1)
                assert again == pytest.approx(scores["accuracy", head, k].replicates)


def test_a_rerun_is_identical_to_the_byte(digits, finished):
    outcome, context = finished
    again_context = context_with(*digits)
    again = run(SPEC, again_context)
    assert again.scores == outcome.scores
    assert (again_context.workdir / "predictions.npz").read_bytes() == (
        context.workdir / "predictions.npz"
    ).read_bytes()


def test_two_models_see_the_same_rows_whatever_the_order_and_the_job_seed(digits, finished):
    x, y = digits
    order = np.random.default_rng(0).permutation(len(y))
    other = context_with(x[order] ** 2, y[order], row_ids=order, name="squared pixels")
    other.seed = 77
    run(SPEC, other)
    with np.load(finished[1].workdir / "predictions.npz") as a, np.load(other.workdir / "predictions.npz") as b:
        for name in ("test_row_ids", "labels", "k1.train_row_ids", "k16.train_row_ids", "k16.validation_row_ids"):
            assert np.array_equal(a[name], b[name])
        assert not np.array_equal(a["logistic.k1.logits"], b["logistic.k1.logits"])


def test_a_new_number_of_shots_leaves_the_others_as_they_were(digits, finished):
    more = by_key(run(FewshotSpec(shots=(4, 2), replicates=3), context_with(*digits)))
    assert more["auroc", "logistic", 4] == by_key(finished[0])["auroc", "logistic", 4]


def test_tables_and_sentence_say_what_was_drawn(finished):
    outcome, _ = finished
    shots = [dict(zip(outcome.tables["shots"].columns, row, strict=True)) for row in outcome.tables["shots"].rows]
    assert [(one["k"], one["replicate"]) for one in shots] == [(k, r) for k in (1, 4, 16) for r in range(3)] + [(0, 0)]
    assert next(one for one in shots if one["k"] == 16)["unique_rows"] == 160
    assert outcome.summary["train_rows"] + outcome.summary["validation_rows"] + outcome.summary["test_rows"] == 900
    assert outcome.summary["sentence"].startswith("Accuracy 0.")
    assert "with 4 labels a class" in outcome.summary["sentence"]
    assert "with all training rows" in outcome.summary["sentence"]
    assert "65% training pool" in outcome.provenance["split"]


def test_a_small_class_is_filled_and_the_score_says_so(digits):
    x, y = digits
    keep = (y < 2) | ((y == 2) & (np.cumsum(y == 2) <= 12))
    outcome = run(
        FewshotSpec(shots=(4, 32), replicates=2, heads=("nearest_class_mean",)), context_with(x[keep], y[keep])
    )
    scores = by_key(outcome)
    assert scores["accuracy", "nearest_class_mean", 4].note == ""
    assert "class 2 has 8 training rows of the 32 asked for" in scores["accuracy", "nearest_class_mean", 32].note
    assert outcome.summary["oversampled_shots"] == 2


def test_perfect_accuracy_does_not_claim_certainty():
    y = np.arange(80) % 2
    x = np.where(y[:, None] == 1, 5.0, -5.0) + np.random.default_rng(0).standard_normal((80, 4)) * 0.01
    scores = by_key(run(FewshotSpec(shots=(1, 0), replicates=2), context_with(x, y)))
    for k in (1, 0):
        score = scores["accuracy", "logistic", k]
        assert (score.value, score.high) == (1.0, 1.0)
        assert score.low < 0.9
        assert "exact binomial" in score.interval
        assert "too short to believe" in scores["auroc", "logistic", k].note


def test_classes_without_rows_are_left_out():
    rng = np.random.default_rng(0)
    y = rng.choice([0, 2, 3], 200)
    scores = by_key(run(FewshotSpec(shots=(8,), replicates=2), context_with(rng.random((200, 5)) + y[:, None], y)))
    assert scores["auroc", "nearest_class_mean", 8].value > 0.9


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        (np.ones((30, 4)), np.zeros(30, dtype=int), "fewer than two classes"),
        (np.ones((30, 4)), np.array([0] * 28 + [1] * 2), "'class 1' has 2 rows"),
        (np.full((30, 4), np.nan), np.arange(30) % 2, "not finite"),
    ],
)
def test_bad_data_is_a_sentence_before_anything_runs(x, y, sentence):
    context = context_with(x, y)
    with pytest.raises(UserError, match=sentence):
        run(SPEC, context)
    assert context.progress == (0, 0, "")
    assert list(context.workdir.iterdir()) == []


class CancelledLater(LocalContext):
    """Cancels the job at the third fit."""

    def checkpoint(self, done, total, note=""):
        super().checkpoint(done, total, note)
        if done == 3:
            raise Cancelled


def test_a_cancelled_job_stops_at_the_next_fit(digits):
    context = context_with(*digits, cls=CancelledLater)
    with pytest.raises(Cancelled):
        run(SPEC, context)
    assert context.progress[0] == 3


def test_the_registry_loads_this_analysis():
    assert ANALYSES.get("fewshot").load() is run


def cell_files(context):
    return {path: path.stat().st_ino for path in (context.store_dir / "cells").rglob("*.npz")}


def test_more_shots_heads_and_metrics_add_only_their_own_cells(digits):
    context = context_with(*digits)
    first = run(FewshotSpec(shots=(2, 0), replicates=2, metrics=("accuracy",)), context)
    assert first.provenance["cells_computed"] == 6
    kept = cell_files(context)
    again = context_with(*digits, store_dir=context.store_dir)
    more = run(FewshotSpec(shots=(1, 2, 0), replicates=2, metrics=("accuracy", "map")), again)
    assert more.provenance["cells_computed"] == 4
    assert {path: cell_files(context)[path] for path in kept} == kept
    assert len(cell_files(context)) == 10
    before = by_key(first)
    assert {key: by_key(more)[key] for key in before} == before
    replicate = run(FewshotSpec(shots=(1, 2, 0), replicates=3), again)
    assert replicate.provenance["cells_computed"] == 4
    assert run(FewshotSpec(shots=(1,), replicates=3, c_grid=(1.0,)), again).provenance["cells_computed"] == 3
    assert run(FewshotSpec(shots=(1,), replicates=3, seed=1), again).provenance["cells_computed"] == 6


def test_a_grid_that_was_cut_short_gives_the_same_bytes(digits, finished):
    """In the same process; `tests/faults/test_fewshot_kill.py` kills real ones."""
    cut = context_with(*digits, cls=CancelledLater)
    with pytest.raises(Cancelled):
        run(SPEC, cut)
    left = cell_files(cut)
    assert len(left) == 3
    again = context_with(*digits, store_dir=cut.store_dir)
    outcome = run(SPEC, again)
    assert outcome.provenance["cells_computed"] == 20 - 3
    assert {path: cell_files(again)[path] for path in left} == left
    assert (outcome.scores, outcome.tables, outcome.summary) == (
        finished[0].scores,
        finished[0].tables,
        finished[0].summary,
    )
    assert (again.workdir / "predictions.npz").read_bytes() == (finished[1].workdir / "predictions.npz").read_bytes()
