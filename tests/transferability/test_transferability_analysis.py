"""The transferability analysis over features in a real feature store."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from workers.kit import ANALYSES, Cancelled, DatasetRef, ModelRef, UserError
from workers.transferability import score
from workers.transferability.analysis import run
from workers.transferability.entries import TransferabilitySpec, fits


def test_scores_intervals_and_replicates(planted, stored, tmp_path: Path) -> None:
    features, labels = planted(200, 30, signal=0.4)
    context = stored(tmp_path, features, labels)
    outcome = run(TransferabilitySpec(), context)
    assert [found.metric for found in outcome.scores] == ["logme", "regularised_h_score", "h_score", "nce", "knn"]
    assert next(found for found in outcome.scores if found.metric == "nce").value is None, "no classifier of its own"
    for found in outcome.scores:
        if found.metric == "nce":
            continue
        assert found.value == pytest.approx(score(found.metric, features.astype(np.float32), labels), abs=1e-12)
        assert len(found.replicates) == 40
        half_width = 1.96 * np.std(found.replicates, ddof=1)
        assert found.value is not None
        assert found.low == pytest.approx(found.value - half_width)
        assert found.high == pytest.approx(min(found.value + half_width, 1 if found.metric == "knn" else np.inf))
        assert "delete-half jackknife, 40" in found.interval
    assert (outcome.summary["rows"], outcome.summary["dimensions"], outcome.summary["classes"]) == (200, 30, 5)
    assert "200 rows, 30 dimensions, 5 classes" in outcome.summary["sentence"]
    assert context.progress[:2] == (41, 41)
    json.dumps([outcome.summary, outcome.provenance], allow_nan=False)


def test_models_share_the_halves_and_runs_repeat(planted, stored, tmp_path: Path) -> None:
    features, labels = planted(120, 10, signal=0.4)
    spec = TransferabilitySpec(half_samples=6)
    first, again, rotated = (
        run(spec, stored(tmp_path / name, array, labels, model=name))
        for name, array in (("a", features), ("b", features), ("c", features[:, ::-1] * 2))
    )
    assert [found.replicates for found in first.scores] == [found.replicates for found in again.scores]
    for left, right in zip(first.scores, rotated.scores, strict=True):
        np.testing.assert_allclose(left.replicates, right.replicates, rtol=1e-6)
    other_seed = run(spec, stored(tmp_path / "d", features, labels, seed=1))
    assert other_seed.scores[0].value == first.scores[0].value
    assert other_seed.scores[0].replicates != first.scores[0].replicates


def test_intervals_cover_the_value_on_fresh_samples(planted, stored, tmp_path: Path) -> None:
    """The half-sample interval is of the right size: about the spread of the score over independent samples."""
    spread = np.std([score("logme", *fresh(seed)) for seed in range(100, 140)], ddof=1)
    widths = []
    for seed in range(6):
        outcome = run(TransferabilitySpec(metrics=("logme",)), stored(tmp_path / str(seed), *fresh(seed)))
        widths.append(np.std(outcome.scores[0].replicates, ddof=1))
    assert 0.6 < np.median(widths) / spread < 1.8


def fresh(seed: int) -> tuple[np.ndarray, np.ndarray]:
    means = 0.5 * np.random.default_rng(0).standard_normal((4, 12))
    generator = np.random.default_rng(seed)
    labels = np.arange(400) % 4
    return (means[labels] + generator.standard_normal((400, 12))).astype(np.float32), labels


def test_one_class_is_refused(stored, tmp_path: Path) -> None:
    context = stored(tmp_path, np.ones((10, 3)), np.zeros(10, dtype=np.int64))
    with pytest.raises(UserError, match="two classes"):
        run(TransferabilitySpec(), context)


def test_fits() -> None:
    image = ModelRef(name="m", revision="r", files=("a",), loader="torchvision", modality="image")
    digits = DatasetRef(name="d", revision="r", source="digits", modality="image", classes=("a", "b"))
    entry = ANALYSES.get("transferability")
    assert entry.load() is run
    assert (entry.waits_for, entry.needs) == ("features", ("model", "dataset"))
    assert entry.fits(image, digits) is None
    assert "No loader" in (fits(ModelRef(name="m", revision="r", files=("a",)), digits) or "")
    one = DatasetRef(name="d", revision="r", source="digits", modality="image", classes=("a",))
    assert "one class" in (fits(image, one) or "")
    text = DatasetRef(name="d", revision="r", source="text_folder", modality="text", classes=("a", "b"))
    assert "reads images" in (fits(image, text) or "")
    assert fits(None, None)


def test_wrong_spec() -> None:
    with pytest.raises(ValueError, match="Did you mean logme"):
        TransferabilitySpec(metrics=("logmee",))
    for wrong in ({"metrics": ()}, {"metrics": ("knn", "knn")}, {"half_samples": 1}):
        with pytest.raises(ValueError):
            TransferabilitySpec(**wrong)


def test_cancel_stops_within_one_half_sample(planted, stored, tmp_path: Path) -> None:
    context = stored(tmp_path, *planted(100, 5))
    seen: list[int] = []

    def cancel_at_three(done: int, total: int, note: str = "") -> None:
        seen.append(done)
        if done == 3:
            raise Cancelled

    context.checkpoint = cancel_at_three  # type: ignore[method-assign]
    with pytest.raises(Cancelled):
        run(TransferabilitySpec(), context)
    assert max(seen) == 3


def test_other_threads_keep_running(stored, tmp_path: Path) -> None:
    """A heartbeat thread is never held up for long: the linear algebra releases the interpreter's lock."""
    generator = np.random.default_rng(0)
    context = stored(tmp_path, generator.standard_normal((2000, 1280)), generator.integers(0, 10, 2000))
    beats: list[float] = []
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(0.05):
            beats.append(time.monotonic())

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        run(TransferabilitySpec(half_samples=3), context)
    finally:
        stop.set()
        thread.join()
    assert np.diff(beats).max() < 5
