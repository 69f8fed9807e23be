"""The analysis over source logits, other tasks than classes, and metrics with parameters of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.datasets import load_diabetes

from workers.kit import ANALYSES, DatasetRef, ModelRef, UserError
from workers.transferability import score
from workers.transferability.analysis import run
from workers.transferability.entries import TransferabilitySpec, fits


def test_the_models_own_classifier_gives_nce_and_leep(planted: Any, stored: Any, tmp_path: Path) -> None:
    features, labels = planted(200, 12)
    logits = 2 * np.eye(30)[labels * 3] + np.random.default_rng(1).standard_normal((200, 30))
    outcome = run(
        TransferabilitySpec(metrics=("nce", "leep", "logme"), half_samples=4),
        stored(tmp_path, features, labels, logits=logits),
    )
    probabilities = softmax(logits.astype(np.float32).astype(np.float64), axis=1)
    for found in outcome.scores[:2]:
        expected = score(found.metric, features, labels, source_probabilities=probabilities)
        assert found.value == pytest.approx(expected, abs=1e-12)
        assert len(found.replicates) == 4
        assert found.low < found.value <= found.high <= 0
    assert outcome.provenance["source_probabilities"] == "softmax of the 30 logits of the model's own classifier"
    half = outcome.scores[2].replicates
    assert (
        half
        == run(TransferabilitySpec(half_samples=4), stored(tmp_path / "bare", features, labels)).scores[0].replicates
    )


def test_huge_logits_stay_probabilities(planted: Any, stored: Any, tmp_path: Path) -> None:
    features, labels = planted(60, 5)
    outcome = run(
        TransferabilitySpec(metrics=("leep",)), stored(tmp_path, features, labels, logits=1e4 * np.eye(5)[labels])
    )
    assert outcome.scores[0].value == pytest.approx(0, abs=1e-9)


def test_without_a_classifier_the_score_says_so(planted: Any, stored: Any, tmp_path: Path) -> None:
    context = stored(tmp_path, *planted(60, 5))
    outcome = run(TransferabilitySpec(metrics=("knn", "nce"), half_samples=2), context)
    assert outcome.scores[1].value is None
    assert "needs the model's own classifier" in outcome.scores[1].note
    with pytest.raises(UserError, match="own classifier"):
        run(TransferabilitySpec(metrics=("nce", "leep")), context)


@pytest.mark.parametrize("task", ["regression", "multi-label"])
def test_rows_without_classes(stored: Any, tmp_path: Path, task: str) -> None:
    features, target = load_diabetes(return_X_y=True)
    targets = (
        target[:, None] if task == "regression" else np.column_stack([target > 100, target > 150]).astype(np.uint8)
    )
    context = stored(tmp_path, features, np.zeros(442, dtype=np.int64), task=task, targets=targets)
    outcome = run(TransferabilitySpec(metrics=("logme", "knn", "knn_numbers", "sve"), half_samples=10), context)
    by_name = {found.metric: found for found in outcome.scores}
    kind = task.replace("-", "_")
    expected = score("logme", features.astype(np.float32), targets, targets=kind)
    assert by_name["logme"].value == pytest.approx(expected, abs=1e-12)
    assert by_name["logme"].low < expected < by_name["logme"].high
    assert by_name["logme"].interval == "score ± 1.96 × SD, delete-half jackknife, 10 halves"
    assert "scores classes, this data set has" in by_name["knn"].note
    assert (by_name["knn_numbers"].value is not None) == (task == "regression")
    assert by_name["sve"].value is not None
    assert outcome.provenance["half_samples_are"] == "simple: the rows have no classes"
    assert f"{targets.shape[1]} target" in outcome.summary["sentence"]
    json.dumps([outcome.summary, outcome.provenance], allow_nan=False)
    with pytest.raises(UserError, match="scores classes"):
        run(TransferabilitySpec(metrics=("gbc",)), context)


def test_tasks_fit() -> None:
    model = ModelRef(name="m", revision="r", files=("a",), loader="torchvision", modality="image")
    for task in ("regression", "multi-label"):
        data = DatasetRef(name="d", revision="r", source="digits", modality="image", config={"task": task})
        assert fits(model, data) is None


def test_parameters_change_the_score_and_stand_with_it(planted: Any, stored: Any, tmp_path: Path) -> None:
    features, labels = planted(120, 8, signal=0.3)
    spec = TransferabilitySpec(metrics=("knn", "logme"), half_samples=3, params={"knn": {"k": 40}})
    outcome = run(spec, stored(tmp_path, features, labels))
    assert outcome.scores[0].value == score("knn", features.astype(np.float32), labels, k=40)
    assert outcome.scores[0].value != score("knn", features.astype(np.float32), labels)
    assert outcome.provenance["metrics"]["knn"]["params"] == {"k": 40}
    assert outcome.provenance["metrics"]["logme"]["params"]["variant"] == "converged"


def test_parameters_are_read_checked_and_kept_only_where_they_differ() -> None:
    entry = ANALYSES.get("transferability")
    assert "params" not in TransferabilitySpec().model_dump(mode="json")
    assert entry.params(params="").params == {}
    assert entry.params(params={"knn": {"k": 5}}).model_dump(mode="json") == TransferabilitySpec().model_dump(
        mode="json"
    )
    assert entry.params(params='{"logme": {"variant": "eleven_steps"}}').params == {
        "logme": {"variant": "eleven_steps"}
    }
    for wrong, words in (
        ({"gbc": {"floor": 1}}, "not among the metrics"),
        ({"knn": {"k": 0}}, "Leave-one-out kNN, k"),
        ({"knn": {"kk": 1}}, "it takes: k"),
        ({"regularised_h_score": {"a": 1}}, "it takes: none"),
        ("{", "not JSON"),
        ("[1]", "dictionary"),
    ):
        with pytest.raises(ValueError, match=words):
            TransferabilitySpec(params=wrong)


def test_targets_of_a_class_data_set_stay_classes(planted: Any, stored: Any, tmp_path: Path) -> None:
    spec = TransferabilitySpec(metrics=("logme",), half_samples=2, params={"logme": {"targets": "regression"}})
    outcome = run(spec, stored(tmp_path, *planted(60, 5)))
    assert "The rows have classes" in outcome.scores[0].note
