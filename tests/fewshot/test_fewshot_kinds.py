"""The analysis on every kind of data set, protocol and head: labels, groups, splits, tokens, seeds."""

import dataclasses

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from tests.fewshot.letter_tower import LetterTower
from tests.fewshot.made_contexts import by_key, context_with
from workers.fewshot.analysis import run
from workers.fewshot.entries import FewshotSpec
from workers.fewshot.heads.ridge import RidgeHead
from workers.fewshot.manifests import manifest_from_json
from workers.fewshot.plan import checked_features
from workers.fewshot.reading import read_for_heads
from workers.kit import ANALYSES, LOADERS, DatasetRef, LoaderEntry, ModelRef, UserError
from workers.sources.entries import FeaturesSpec
from workers.sources.store import Features
from workers.statistics.vectors import unit_rows

SPEC = FewshotSpec(shots=(1, 4, 16, 0), replicates=3)


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    return data.data[:900], data.target[:900]


def labelled(seed=0, rows=400):
    """A multi-label data set: features, and 0/1 by label; the last label is on one row only."""
    rng = np.random.default_rng(seed)
    targets = (rng.random((rows, 4)) < (0.5, 0.3, 0.15, 0.0)).astype(np.uint8)
    targets[7, 3] = 1
    x = rng.standard_normal((rows, 12)) + targets @ rng.standard_normal((4, 12))
    return x, targets


def multi_label_context(x, targets, **facts):
    labels = np.zeros(len(x), dtype=np.int64)
    labels[0] = targets.shape[1] - 1  # so that there are as many class names as labels
    return context_with(x, labels, task="multi-label", targets=targets, **facts)


def test_every_label_of_a_multi_label_data_set_is_a_task_of_its_own():
    x, targets = labelled()
    context = multi_label_context(x, targets)
    outcome = run(FewshotSpec(shots=(2, 16, 0), replicates=3, draws=200), context)
    assert (outcome.summary["classes"], outcome.summary["sub_tasks"]) == (3, 3)
    rows = [
        dict(zip(outcome.tables["sub_tasks"].columns, row, strict=True)) for row in outcome.tables["sub_tasks"].rows
    ]
    assert [row["sub_task"] for row in rows if (row["head"], row["k"], row["metric"]) == ("logistic", 2, "auroc")] == [
        "class 0", "class 1", "class 2"
    ]  # fmt: skip
    ((skipped, reason),) = outcome.tables["skipped"].rows
    assert skipped == "class 3"
    assert "row has it" in reason
    scores = by_key(outcome)
    with np.load(context.workdir / "predictions.npz") as kept:
        test = kept["test_row_ids"]
        assert kept["sub_tasks"].tolist() == ["class 0", "class 1", "class 2"]
        for metric, k in (("auroc", 16), ("map", 2), ("accuracy", 0)):
            members = [row for row in rows if (row["head"], row["k"], row["metric"]) == ("logistic", k, metric)]
            score = scores[metric, "logistic", k]
            assert score.value == pytest.approx(np.mean([row["value"] for row in members]))
            assert score.replicates == pytest.approx(np.mean([row["replicates"] for row in members], axis=0))
            assert score.note.startswith("mean over 3 labels")
        areas = []
        for place in range(3):
            assert np.array_equal(kept[f"t{place}.labels"], targets[test, place])
            logits = kept[f"t{place}.logistic.k16.logits"]
            areas.append(np.mean([roc_auc_score(targets[test, place], one[:, 1] - one[:, 0]) for one in logits]))
            shown = np.bincount(targets[kept[f"t{place}.k2.train_row_ids"][0], place])
            assert shown.tolist() == [2, 2]
    assert scores["auroc", "logistic", 16].value == pytest.approx(np.mean(areas), abs=1e-9)
    assert scores["auroc", "logistic", 16].value > scores["auroc", "logistic", 2].value > 0.55


def test_groups_stay_whole_and_widen_the_intervals(digits):
    x, y = digits
    groups = np.arange(900) // 6
    context = context_with(x, y, groups=groups)
    outcome = run(FewshotSpec(shots=(4, 0), replicates=2), context)
    with np.load(context.workdir / "predictions.npz") as kept:
        parts = [set(groups[kept[f"{part}_row_ids"]]) for part in ("test", "train_pool", "validation_pool")]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 150
        assert np.array_equal(kept["test_groups"], groups[kept["test_row_ids"]])
    score = by_key(outcome)["accuracy", "logistic", 4]
    assert "bootstrap draws of whole groups of test rows" in score.interval


def test_the_manifest_is_kept_and_is_the_same_for_every_model(digits):
    x, y = digits
    contexts = [context_with(x, y), context_with(x**2, y, name="squared pixels")]
    spec = FewshotSpec(shots=(4, 0), replicates=2, heads=("nearest_class_mean",), metrics=("accuracy",))
    outcomes = [run(spec, context) for context in contexts]
    kept = [(context.workdir / "manifest.json").read_text() for context in contexts]
    assert kept[0] == kept[1]
    assert manifest_from_json(kept[0]).digest == outcomes[0].summary["manifest"] == outcomes[1].summary["manifest"]
    assert outcomes[0].tables["shots"] == outcomes[1].tables["shots"]
    assert [artifact.name for artifact in outcomes[0].artifacts] == ["predictions.npz", "manifest.json"]


def test_the_splits_of_the_source_are_kept(digits):
    x, y = digits
    splits = tuple(np.array(["train", "validation", "test"])[np.minimum(np.arange(900) // 400, 2)])
    context = context_with(x, y, splits=splits)
    outcome = run(FewshotSpec(shots=(4,), replicates=2), context)
    with np.load(context.workdir / "predictions.npz") as kept:
        assert kept["test_row_ids"].tolist() == list(range(800, 900))
        assert set(kept["k4.train_row_ids"].ravel()) <= set(range(400))
    assert "fixed by the source" in outcome.provenance["split"]


def test_a_class_without_a_test_row_is_refused_before_anything_runs(digits):
    x, y = digits
    splits = np.where(np.arange(900) < 700, "train", "test")
    splits[(y == 3) & (splits == "test")] = "train"
    context = context_with(x, y, splits=tuple(splits.tolist()))
    with pytest.raises(UserError, match="no test row of the class 'class 3'"):
        run(SPEC, context)
    assert context.progress == (0, 0, "")


@pytest.mark.parametrize(
    ("protocol", "shots", "replicates", "rows"),
    [
        ("coop", (1, 16), 2, [10, 160]),
        ("mteb", (8,), 10, [80]),
        ("elevater", (5,), 3, [40]),
        ("vtab", (100,), 2, [80]),
        ("percent", (10,), 2, [59]),
        ("tip_adapter", (), 0, [10, 20, 40, 80, 160]),
    ],
)
def test_other_protocols_draw_by_their_own_rule(digits, protocol, shots, replicates, rows):
    spec = FewshotSpec(
        protocol=protocol, shots=shots, replicates=replicates, heads=("nearest_class_mean",), metrics=("accuracy",)
    )
    outcome = run(spec, context_with(*digits))
    shown = [dict(zip(outcome.tables["shots"].columns, row, strict=True)) for row in outcome.tables["shots"].rows]
    assert [one["train_rows"] for one in shown if one["replicate"] == 0] == pytest.approx(rows, abs=1)
    assert len(shown) == len(rows) * (replicates or 1)
    assert all(len(one["digest"]) == 64 for one in shown)
    assert outcome.provenance["shots"]
    assert ("validation shots together" in outcome.provenance["final_fit"]) == (protocol in ("elevater", "vtab"))


@pytest.mark.parametrize(("protocol", "k"), [("elevater", 5), ("elevater", 1), ("vtab", 100), ("ehrshot", 5)])
def test_elevater_and_vtab_fit_what_was_chosen_again_on_training_and_validation_rows(digits, protocol, k):
    x, y = digits[0].astype(np.float32), digits[1]
    context = context_with(x, y)
    spec = FewshotSpec(protocol=protocol, shots=(k,), replicates=2, heads=("ridge",), metrics=("accuracy",))
    outcome = run(spec, context)
    choices = [row[4] for row in outcome.tables["fits"].rows]
    with np.load(context.workdir / "predictions.npz") as kept:
        for r, choice in enumerate(choices):
            train, validation = kept[f"k{k}.train_row_ids"][r], kept[f"k{k}.validation_row_ids"][r]
            once = RidgeHead().fit(x[train], y[train], validation=(x[validation], y[validation]))
            assert choice == once.choice
            rows = np.concatenate([train, validation]) if (protocol, k) in {("elevater", 5), ("vtab", 100)} else train
            lone = RidgeHead(lambdas=(once.penalty,), sharpness=(once.factor,)).fit(x[rows], y[rows])
            logits = kept[f"ridge.k{k}.logits"][r]
            assert logits == pytest.approx(lone.decision(x[kept["test_row_ids"]]), abs=1e-4)


def test_a_draw_of_one_class_is_refused_before_anything_runs():
    rng = np.random.default_rng(0)
    y = (np.arange(400) % 50 == 0).astype(np.int64)
    context = context_with(rng.standard_normal((400, 5)), y)
    with pytest.raises(UserError, match="one class only: ask for more labels"):
        run(FewshotSpec(protocol="vtab", shots=(5,), replicates=3), context)
    assert not (context.store_dir / "cells").exists()


def test_a_class_that_a_draw_lacks_is_never_named(digits):
    x, y = digits
    keep = (y < 3) | ((y == 3) & (np.cumsum(y == 3) <= 6))
    context = context_with(x[keep], y[keep])
    heads = ("nearest_class_mean", "logistic")
    outcome = run(FewshotSpec(protocol="vtab", shots=(20,), replicates=4, heads=heads), context)
    flags = [row[-2] for row in outcome.tables["shots"].rows]
    lacking = [place for place, words in enumerate(flags) if "no training row of class 3" in words]
    assert lacking
    with np.load(context.workdir / "predictions.npz") as kept:
        logits = kept["logistic.k20.logits"]
    for place in range(4):
        assert ((logits[place].argmax(axis=1) == 3).any()) <= (place not in lacking)
        assert logits[place].sum(axis=1) == pytest.approx(0.0, abs=1e-3)
    assert by_key(outcome)["accuracy", "nearest_class_mean", 20].value > 0.7


def test_tokens_are_read_by_the_heads_that_need_them(digits, monkeypatch):
    """Rows of pixels as tokens, a hundred test rows at a time; their mean is what the pooled head sees."""
    monkeypatch.setattr("workers.fewshot.grid.PART_BYTES", 100 * 8 * 8 * 4)
    x, y = digits
    pooled = x.reshape(-1, 8, 8).mean(axis=1)
    context = context_with(pooled, y)
    context_with(x.reshape(-1, 8, 8), y, store_dir=context.store_dir, spec=FeaturesSpec(pooling="tokens"))
    spec = FewshotSpec(shots=(8, 0), replicates=2, heads=("moments", "ridge"), metrics=("accuracy",))
    scores = by_key(run(spec, context))
    assert scores["accuracy", "moments", 0].value > scores["accuracy", "ridge", 0].value + 0.1
    alone = FewshotSpec(shots=(8, 0), replicates=2, heads=("moments",), metrics=("accuracy",))
    assert ANALYSES.get("fewshot").waits_for_params(alone) == {"pooling": "tokens"}
    again = run(alone, context)
    assert again.provenance["cells_computed"] == 0
    assert by_key(again)["accuracy", "moments", 8] == scores["accuracy", "moments", 8]


def test_pooled_features_where_tokens_are_needed_are_a_sentence(digits):
    context = context_with(*digits, spec=FeaturesSpec(pooling="tokens"))
    with pytest.raises(UserError, match="one vector a token"):
        run(FewshotSpec(heads=("moments",)), context)
    assert context.progress == (0, 0, "")


TOPICS = ("zebra", "wolf_dog", "quail", "unseen")


@pytest.fixture
def letters():
    """A loader with a text tower, for as long as a test takes."""
    entry = LoaderEntry(
        name="letters",
        title="Letters",
        meaning="Letters.",
        target="tests.fewshot.letter_tower:open_tower",
        modality="image",
    )
    LOADERS.add(entry)
    yield entry
    del LOADERS._entries["letters"]


def about(*, rows=120, seed=0, **options):
    """Features in the space of the tower: sentences about three of four topics, with letters that get lost."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % 3
    words = [f"a photo of a {TOPICS[label].replace('_', ' ')}." for label in labels]
    texts = ["".join(letter for letter in one if rng.random() > 0.25) for one in words]
    return context_with(LetterTower().encode_texts(texts), labels, loader="letters", classes=TOPICS, **options)


def test_zero_shot_has_one_score_without_labels_and_adapters_build_on_it(letters):
    context = about()
    spec = FewshotSpec(shots=(1, 8, 0), replicates=2, heads=("zero_shot", "tip_adapter", "ridge"))
    outcome = run(spec, context)
    scores = by_key(outcome)
    alone = scores["accuracy", "zero_shot", None]
    assert [key for key in scores if key[:2] == ("accuracy", "zero_shot")] == [("accuracy", "zero_shot", None)]
    assert len(alone.replicates) == 1
    assert "test only, as no label is read" in alone.interval
    with np.load(context.workdir / "predictions.npz") as kept:
        assert kept["classes"].tolist() == list(TOPICS[:3])
        logits, test = kept["zero_shot.logits"], kept["test_row_ids"]
    towers = unit_rows(LetterTower().encode_texts([f"a photo of a {name.replace('_', ' ')}." for name in TOPICS[:3]]))
    cosines = unit_rows(np.asarray(read_for_heads(["ridge"], context, templates=()).features.x[test])) @ towers.T
    wanted = 20.0 * (cosines - cosines.mean(axis=1, keepdims=True))
    assert logits[0] == pytest.approx(wanted, abs=1e-4)
    assert alone.value == pytest.approx((wanted.argmax(axis=1) == test % 3).mean())
    assert scores["accuracy", "tip_adapter", 8].value >= alone.value - 0.1
    assert "with no label" in outcome.summary["sentence"] or outcome.summary["best_head"] != "zero_shot"
    assert run(spec, context).provenance["cells_computed"] == 0
    other = FewshotSpec(shots=(1, 8, 0), replicates=2, heads=("zero_shot", "ridge"), templates=("{}", "the {} itself"))
    assert run(other, context).provenance["cells_computed"] == 1


def test_a_model_without_a_text_tower_is_refused_in_words(digits):
    tower_less = LoaderEntry(
        name="silent",
        title="Silent",
        meaning="No texts.",
        target="tests.fewshot.letter_tower:open_silent",
        modality="image",
    )
    LOADERS.add(tower_less)
    try:
        context = context_with(*digits, loader="silent")
        with pytest.raises(UserError, match="has no text tower, so it cannot read the names of classes"):
            run(FewshotSpec(heads=("ridge", "zero_shot")), context)
        assert context.progress == (0, 0, "")
    finally:
        del LOADERS._entries["silent"]


def test_heads_of_texts_want_one_class_a_row(letters):
    x, targets = labelled()
    context = multi_label_context(x, targets, loader="letters")
    context.dataset = dataclasses.replace(context.dataset, config={"task": "multi-label"})
    with pytest.raises(UserError, match="several labels a row"):
        run(FewshotSpec(heads=("zero_shot",)), context)


@pytest.mark.parametrize(
    ("shape", "labels", "ids", "has_tokens"),
    [((10, 4), 9, 10, False), ((10, 4), 10, 11, False), ((10, 3, 4), 10, 10, False), ((10, 4), 10, 10, True)],
)
def test_rows_labels_and_ids_that_do_not_match_are_a_sentence(shape, labels, ids, has_tokens):
    features = Features(
        x=np.ones(shape, dtype=np.float32),
        labels=np.zeros(labels, dtype=np.int64),
        row_ids=np.arange(ids),
        classes=("a", "b"),
    )
    with pytest.raises(UserError, match="one vector a token" if has_tokens else "one vector a row"):
        checked_features(features, needs_tokens=has_tokens)


def test_a_data_set_for_regression_is_refused_and_one_of_labels_is_not():
    fits = ANALYSES.get("fewshot").fits
    model = ModelRef(name="m", revision="0", files=("f",), loader="torchvision", modality="image")
    facts = {"name": "d", "revision": "0", "source": "digits", "modality": "image", "classes": ("only",)}
    assert "is for regression" in fits(model, DatasetRef(**facts, config={"task": "regression"}))
    assert "one class only" in fits(model, DatasetRef(**facts))
    assert fits(model, DatasetRef(**facts, config={"task": "multi-label"})) is None


def test_a_seeded_head_says_what_all_rows_leave_out(digits):
    x, y = digits
    spec = FewshotSpec(shots=(1, 0), replicates=1, heads=("random_forest",), metrics=("accuracy",))
    scores = by_key(run(spec, context_with(x[y < 2][:60], y[y < 2][:60])))
    assert scores["accuracy", "random_forest", 0].note == "one fit: the head's own draws are not in the interval"
    assert "the head's own" not in scores["accuracy", "random_forest", 1].note


def test_features_of_numbers_are_refused_before_anything_runs():
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((40, 5)), np.zeros(40, dtype=np.int64)
    numbers = context_with(x, labels, classes=(), task="regression", targets=rng.standard_normal((40, 1)))
    with pytest.raises(UserError, match="This data set is for regression: heads need rows with classes or labels"):
        run(SPEC, numbers)
    assert numbers.progress == (0, 0, "")
    assert not (numbers.store_dir / "cells").exists()
