"""Base-to-new against CoOp's rule written out and scikit-learn, and its intervals against brute force."""

import random

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestCentroid

from tests.fewshot.letter_tower import LetterTower
from tests.fewshot.made_contexts import by_key, context_with
from workers.fewshot.protocol_entries import BaseToNewSpec
from workers.fewshot.protocols import base_to_new
from workers.fewshot.protocols.base_to_new import Answers, Half, halves, run, scores_of
from workers.fewshot.splits import stratified_split
from workers.kit import ANALYSES, HEADS, LOADERS, DatasetRef, LoaderEntry, UserError
from workers.statistics.bootstrap import bootstrap_weights
from workers.statistics.vectors import unit_rows

METRICS = ("base_accuracy", "new_accuracy", "harmonic_mean_of_means", "mean_of_harmonic_means")
TOPICS = ("gold_fish", "jazz", "quick_wok", "hymn_book", "violet")


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    return data.data[:900].astype(np.float32), data.target[:900]


def drawn(y, rows, k, state):
    """CoOp's draw (Dassl's generate_fewshot_dataset): classes as they first occur, random.sample or all there are."""
    by_class = {}
    for row in rows:
        by_class.setdefault(y[row], []).append(row)
    return [row for own in by_class.values() for row in (state.sample(own, k) if len(own) >= k else own)]


def test_the_first_half_rounded_up_is_base():
    assert [part.tolist() for part in halves(5)] == [[0, 1, 2], [3, 4]]
    assert [part.tolist() for part in halves(4)] == [[0, 1], [2, 3]]


@pytest.mark.filterwarnings("ignore:self.within_class_std_dev_:UserWarning")  # pixels that are always black
def test_class_means_are_scikit_learns_on_coops_draws(digits):
    x, y = digits
    context = context_with(x, y)
    outcome = run(BaseToNewSpec(heads=("nearest_class_mean",), draws=200), context)
    split = stratified_split(
        y, np.arange(len(y)), dataset_revision="d" * 64, seed=0, class_names=[str(c) for c in range(10)]
    )
    wanted = {"base_accuracy": [], "new_accuracy": []}
    for seed in (1, 2, 3):
        for name, classes in (("base_accuracy", range(5)), ("new_accuracy", range(5, 10))):
            train, test = (part[np.isin(y[part], classes)] for part in (split.train, split.test))
            rows = drawn(y, train, 16, random.Random(seed))
            wanted[name].append(NearestCentroid().fit(x[rows], y[rows]).score(x[test], y[test]))
    found = by_key(outcome)
    for name, values in wanted.items():
        assert found[name, "nearest_class_mean", 16].replicates == pytest.approx(values)
    base, new = (np.array(wanted[name]) for name in wanted)
    of_means = found["harmonic_mean_of_means", "nearest_class_mean", 16].value
    assert of_means == pytest.approx(2 / (1 / base.mean() + 1 / new.mean()))
    of_seeds = found["mean_of_harmonic_means", "nearest_class_mean", 16].value
    assert of_seeds == pytest.approx(np.mean(2 / (1 / base + 1 / new)))
    assert of_seeds <= of_means
    assert "draw of labels" in found["base_accuracy", "nearest_class_mean", 16].interval
    table = [dict(zip(outcome.tables["draws"].columns, row, strict=True)) for row in outcome.tables["draws"].rows]
    assert [(row["seed"], row["base_accuracy"]) for row in table] == list(zip((1, 2, 3), base, strict=True))
    with np.load(context.workdir / base_to_new.PREDICTIONS) as kept:
        assert kept["new.classes"].tolist() == [f"class {c}" for c in range(5, 10)]
        assert kept["new.test_row_ids"].tolist() == [row for row in split.test if y[row] >= 5]
        hits = kept["new.nearest_class_mean.logits"].argmax(axis=2) == kept["new.labels"]
        assert hits.mean(axis=1) == pytest.approx(wanted["new_accuracy"])
    assert outcome.summary["sentence"].startswith(f"{base.mean():.3f} on 5 base classes")


@pytest.fixture
def letters():
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


def test_names_reach_new_classes_and_a_cache_of_base_rows_does_not(letters):
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 5
    words = [f"a photo of a {TOPICS[label].replace('_', ' ')}." for label in labels]
    texts = ["".join(letter for letter in one if rng.random() > 0.5) for one in words]
    x = LetterTower().encode_texts(texts)
    context = context_with(x, labels, loader="letters", classes=TOPICS)
    heads = ("zero_shot", "tip_adapter", "cosine_class_mean")
    outcome = run(BaseToNewSpec(heads=heads, k=4, draws=200), context)
    found = by_key(outcome)
    towers = unit_rows(LetterTower().encode_texts([f"a photo of a {name.replace('_', ' ')}." for name in TOPICS]))
    with np.load(context.workdir / base_to_new.PREDICTIONS) as kept:
        rows = {name: kept[f"{name}.test_row_ids"] for name in ("base", "new")}
    for name, first, last in (("base", 0, 3), ("new", 3, 5)):
        right = (unit_rows(x[rows[name]]) @ towers[first:last].T).argmax(axis=1) + first == labels[rows[name]]
        score = found[f"{name}_accuracy", "zero_shot", None]
        assert score.value == pytest.approx(right.mean())
        assert len(score.replicates) == 1
        assert "test" in score.interval
    assert found["new_accuracy", "tip_adapter", 4].value == found["new_accuracy", "zero_shot", None].value
    assert found["base_accuracy", "tip_adapter", 4].value >= found["base_accuracy", "zero_shot", None].value - 0.05
    assert "no row of them" in found["new_accuracy", "tip_adapter", 4].note
    assert "labelled rows of the new classes" in found["new_accuracy", "cosine_class_mean", 4].note


def test_the_interval_of_h_is_that_of_drawing_labels_and_rows_anew():
    """Accuracies that vary by replicate: intervals hold the mean over fresh replicates and fresh rows."""
    rng = np.random.default_rng(0)
    rows, replicates = 150, 5
    weights = bootstrap_weights(2 * rows, draws=200)
    empty = {"classes": np.arange(2), "test": np.arange(rows), "draws": [], "flags": ()}
    labels = np.zeros(rows, dtype=np.int64)
    halves_made = [Half(labels=labels, weights=part, **empty) for part in (weights[:rows], weights[rows:])]

    def made():
        hits = [
            rng.random((replicates, rows)) < rng.normal(level, 0.04, (replicates, 1)).clip(0, 1) for level in (0.8, 0.5)
        ]
        logits = [np.stack([hit, ~hit], axis=2).astype(np.float32) for hit in hits]
        return scores_of(Answers(base=logits[0], new=logits[1], choices=()), *halves_made, head="ridge", k=16, note="")

    runs = [made() for _ in range(200)]
    for place, metric in enumerate(METRICS):
        scores = [one[place] for one in runs]
        assert {score.metric for score in scores} == {metric}
        truth = np.mean([score.value for score in scores])
        covered = np.mean([score.low <= truth <= score.high for score in scores])
        assert 0.91 <= covered <= 0.995, metric


def test_what_cannot_be_halved_or_named_is_refused(digits):
    x, y = digits
    few = y < 3
    with pytest.raises(UserError, match="this data set has 3, at least 4 are needed"):
        run(BaseToNewSpec(), context_with(x[few], y[few]))
    with pytest.raises(
        ValidationError, match=r"knows the classes that it was fitted on alone.*these can: cosine_class"
    ):
        BaseToNewSpec(heads=("logistic",))
    with pytest.raises(ValidationError, match="nearest_class_mean"):
        BaseToNewSpec(heads=("nearest_mean",))
    with pytest.raises(ValidationError, match="appears twice"):
        BaseToNewSpec(heads=("zero_shot", "zero_shot"))
    fits = ANALYSES.get("base_to_new").fits
    data = {"name": "d", "revision": "d" * 64, "source": "digits", "modality": "image"}
    assert "at least 4" in fits(None, DatasetRef(**data, classes=("a", "b", "c")))
    assert "for regression" in fits(None, DatasetRef(**data, config={"task": "regression"}))
    assert "several labels a row" in fits(None, DatasetRef(**data, config={"task": "multi-label"}, classes=("a", "b")))
    assert fits(None, DatasetRef(**data, classes=("a", "b", "c", "d"))) is None


def test_the_heads_that_extend_say_how():
    assert {entry.name: entry.extends for entry in HEADS if entry.extends} == {
        "nearest_class_mean": "rows",
        "cosine_class_mean": "rows",
        "normalised_class_mean": "rows",
        "zero_shot": "name",
        "tip_adapter": "name",
    }
