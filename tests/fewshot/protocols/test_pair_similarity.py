"""Pair similarity against scipy and mteb's own evaluator on the same arrays."""

import importlib
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from tests.fewshot.letter_tower import LetterTower
from tests.fewshot.made_contexts import context_with
from workers.fewshot.protocol_entries import PairSimilaritySpec
from workers.fewshot.protocols import pair_similarity
from workers.fewshot.protocols.pair_similarity import pairs_of, run, similarity_scores
from workers.kit import ANALYSES, LOADERS, DatasetRef, LoaderEntry, LocalContext, ModelRef, UserError
from workers.statistics.bootstrap import bootstrap_weights


def made(pairs=60, *, seed=0):
    """Two vectors a pair, alike as its gold score (0 to 5, with equals) says, and noise."""
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, 11, pairs) / 2
    one = rng.standard_normal((pairs, 16))
    other = gold[:, None] / 5 * one + rng.standard_normal((pairs, 16))
    return one, other, gold


def in_rows(one, other, gold, *, seed=1):
    """Features, targets and groups of the rows in any order."""
    order = np.random.default_rng(seed).permutation(2 * len(gold))
    x = np.concatenate([one, other])[order].astype(np.float32)
    return x, np.tile(gold, 2)[order], np.tile(np.arange(len(gold)) + 7, 2)[order]


def context_of(x, targets, groups, **facts):
    labels = np.zeros(len(x), dtype=np.int64)
    return context_with(x, labels, classes=(), task="regression", targets=targets[:, None], groups=groups, **facts)


def test_the_correlations_are_scipys_whatever_the_order_of_the_rows():
    one, other, gold = made()
    x, targets, groups = in_rows(one, other, gold)
    context = context_of(x, targets, groups)
    outcome = run(PairSimilaritySpec(draws=300), context)
    one, other = (rows.astype(np.float32).astype(np.float64) for rows in (one, other))
    cosines = (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    found = {score.metric: score for score in outcome.scores}
    assert found["cosine_spearman"].value == pytest.approx(stats.spearmanr(cosines, gold).statistic, abs=1e-12)
    assert found["cosine_pearson"].value == pytest.approx(stats.pearsonr(cosines, gold).statistic, abs=1e-9)
    assert all(score.low < score.value < score.high for score in outcome.scores)
    assert "60 pairs" in outcome.summary["sentence"]
    assert [row[0] for row in outcome.tables["pairs"].rows] == list(range(7, 67))
    with np.load(context.workdir / pair_similarity.PAIRS) as kept:
        assert np.array_equal(groups[kept["first_row_ids"]], groups[kept["second_row_ids"]])
        assert kept["cosines"] == pytest.approx(cosines)
        assert kept["gold"].tolist() == gold.tolist()


def test_every_draw_is_scipys_of_the_pairs_drawn():
    one, other, gold = made(25)
    cosines = (one * other).sum(axis=1)
    found = similarity_scores(cosines, gold, draws=100, seed=3)
    for draw, weights in enumerate(bootstrap_weights(25, draws=100, seed=3).T):
        rows = np.repeat(np.arange(25), weights.astype(int))
        assert found["spearman"][1][draw] == pytest.approx(stats.spearmanr(cosines[rows], gold[rows]).statistic)
        assert found["pearson"][1][draw] == pytest.approx(stats.pearsonr(cosines[rows], gold[rows]).statistic)


def test_a_table_of_sentences_with_pairs_and_scores_is_read_and_scored(tmp_path):
    letters = LoaderEntry(
        name="letters",
        title="Letters",
        meaning="Letters.",
        target="tests.fewshot.letter_tower:open_tower",
        modality="text",
    )
    pairs = [("a cat sat", "a cat sits", 4.5), ("blue sky", "sky blue", 5), ("jazz", "quick fox", 0.5),
             ("my mum", "your dad", 1), ("red wine", "red vine", 3), ("old owl", "cold bowl", 2.5),
             ("zip", "lava", 0), ("one two", "two ones", 4), ("green tea", "great bee", 2),
             ("hymn", "book", 0)]  # fmt: skip
    lines = [f"{text},{score},p{n}" for n, (one, other, score) in enumerate(pairs) for text in (one, other)]
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(["sentence,score,pair", *lines]), encoding="utf-8")
    config = {"label": "score", "task": "regression", "group_column": "pair", "inputs": ["sentence"]}
    dataset = DatasetRef(
        name="pairs", revision="p" * 64, source="csv", modality="text", location=str(path), config=config
    )
    LOADERS.add(letters)
    try:
        model = ModelRef(name="tower", revision="t" * 64, files=("w",), loader="letters", modality="text")
        outcome = run(PairSimilaritySpec(draws=200), LocalContext(model=model, dataset=dataset))
    finally:
        del LOADERS._entries["letters"]
    counts = [LetterTower().encode_texts([one, other]) for one, other, _ in pairs]
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in counts]
    wanted = stats.spearmanr(cosines, [score for *_, score in pairs]).statistic
    assert outcome.scores[0].value == pytest.approx(wanted)
    assert outcome.summary["pairs"] == 10


@pytest.mark.slow  # importing mteb takes seconds
def test_the_scores_are_those_of_mtebs_own_task():
    datasets = importlib.import_module("datasets")
    sts = importlib.import_module("mteb.abstasks.sts")
    about = importlib.import_module("mteb.abstasks.task_metadata").TaskMetadata
    one, other, gold = (values.astype(np.float32) for values in made(80))
    vectors = np.concatenate([one, other])

    class Task(sts.AbsTaskSTS):
        metadata = about(
            name="PairsByNumber",
            description="Every text is the number of its row.",
            dataset={"path": "none/none", "revision": "0"},
            type="STS",
            category="t2t",
            modalities=["text"],
            eval_splits=["test"],
            eval_langs=["eng-Latn"],
            main_score="cosine_spearman",
        )

    class Encoder:
        mteb_model_meta = None

        def encode(self, inputs, **kwargs):
            return vectors[[int(text) for batch in inputs for text in batch["text"]]]

        def similarity(self, a, b):
            raise NotImplementedError

        def similarity_pairwise(self, a, b):
            return (np.asarray(a) * np.asarray(b)).sum(axis=1)

    task = Task(seed=42)
    columns = {"sentence1": [str(row) for row in range(80)], "sentence2": [str(row) for row in range(80, 160)]}
    task.dataset = datasets.DatasetDict({"test": datasets.Dataset.from_dict({**columns, "score": gold.tolist()})})
    task.data_loaded = True
    published = task.evaluate(Encoder(), split="test", encode_kwargs={"batch_size": 32})["default"]
    outcome = run(PairSimilaritySpec(draws=100), context_of(*in_rows(one, other, gold.astype(np.float64))))
    for score in outcome.scores:
        assert score.value == pytest.approx(published[score.metric], abs=1e-6)


def test_data_sets_of_another_form_are_refused_in_a_sentence():
    x, targets, groups = in_rows(*made(12))
    form = "in pairs of rows: the pair's number as the group"
    with pytest.raises(UserError, match=f"{form}.*has no groups"):
        pairs_of(None, targets)
    with pytest.raises(UserError, match=r"1 of 13 groups are no pairs \(group 99 has 1 row\)"):
        pairs_of(np.append(groups, 99), np.append(targets, 1.0))
    with pytest.raises(UserError, match="2 targets a row"):
        pairs_of(groups, np.stack([targets, targets], axis=1))
    apart = targets.copy()
    apart[0] += 1
    with pytest.raises(UserError, match="1 of 12 pairs have two scores"):
        run(PairSimilaritySpec(), context_of(x, apart, groups, name="apart"))
    few = groups < 7 + 9
    with pytest.raises(UserError, match="There are 9 pairs: 10 are needed"):
        run(PairSimilaritySpec(), context_of(x[few], targets[few], groups[few], name="few"))
    with pytest.raises(UserError, match="All gold scores are equal"):
        run(PairSimilaritySpec(), context_of(x, np.ones(24), groups, name="flat"))
    with pytest.raises(UserError, match="This data set has classes"):
        run(PairSimilaritySpec(), context_with(x, np.arange(24) % 2, name="classes"))
    fits = ANALYSES.get("pair_similarity").fits
    dataset = DatasetRef(name="d", revision="d" * 64, source="digits", config={"task": "classification"})
    assert form in fits(None, dataset)
    assert "for classification" in fits(None, replace(dataset, config={}, classes=("a", "b")))
    assert fits(None, replace(dataset, config={"task": "regression"})) is None
