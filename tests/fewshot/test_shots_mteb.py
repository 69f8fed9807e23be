"""MTEB's few-shot classification against mteb's own task object on the same arrays."""

import importlib

import numpy as np
import pytest

from workers.fewshot import sample_shots

pytestmark = pytest.mark.slow  # importing mteb takes seconds
SIZES = {"train": 400, "test": 300}


def test_rows_and_accuracies_are_those_of_mtebs_own_task():
    datasets = importlib.import_module("datasets")
    linear_model = importlib.import_module("sklearn.linear_model")
    classification = importlib.import_module("mteb.abstasks.classification")
    about = importlib.import_module("mteb.abstasks.task_metadata").TaskMetadata
    rng = np.random.default_rng(5)
    centres = rng.normal(size=(6, 24))
    parts = {name: rng.choice(6, rows, p=[0.3, 0.25, 0.2, 0.15, 0.08, 0.02]) for name, rows in SIZES.items()}
    vectors = {name: centres[y] + 1.5 * rng.normal(size=(len(y), 24)) for name, y in parts.items()}

    class Task(classification.AbsTaskClassification):
        metadata = about(
            name="RowsByNumber",
            description="Every text is the number of its row.",
            dataset={"path": "none/none", "revision": "0"},
            type="Classification",
            category="t2c",
            modalities=["text"],
            eval_splits=["test"],
            eval_langs=["eng-Latn"],
            main_score="accuracy",
        )

    class Encoder:
        """Gives the row whose number the text is, and keeps which rows were asked for."""

        mteb_model_meta = None
        asked = None

        def encode(self, inputs, *, hf_split, **kwargs):
            rows = [int(text) for batch in inputs for text in batch["text"]]
            if hf_split == "train":
                self.asked = rows
            return vectors[hf_split][rows]

        def similarity(self, one, other):
            raise NotImplementedError

        def similarity_pairwise(self, one, other):
            raise NotImplementedError

    task = Task(seed=42)
    task.dataset = datasets.DatasetDict(
        {
            name: datasets.Dataset.from_dict({"text": [str(row) for row in range(len(y))], "label": y.tolist()})
            for name, y in parts.items()
        }
    )
    task.data_loaded = True
    encoder = Encoder()
    published = task.evaluate(encoder, split="test", encode_kwargs={"batch_size": 64})["default"]
    shots = sample_shots(parts["train"], k=8, replicates=10, seed=42, protocol="mteb")
    assert encoder.asked == sorted(set(np.concatenate([one.train for one in shots]).tolist()))
    accuracies = [experiment["accuracy"] for experiment in published["scores_per_experiment"]]
    ours = []
    for one in shots:
        fitted = linear_model.LogisticRegression(max_iter=100).fit(
            vectors["train"][one.train], parts["train"][one.train]
        )
        ours.append(fitted.score(vectors["test"], parts["test"]))
    np.testing.assert_allclose(ours, accuracies, rtol=0, atol=1e-9)
    assert len(set(accuracies)) > 1
    assert published["accuracy"] == pytest.approx(np.mean(ours), abs=1e-9)
