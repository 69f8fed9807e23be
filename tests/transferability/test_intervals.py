"""Intervals: halves without replacement, bootstraps of terms, and why rows are never drawn twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workers.kit import METRICS, UserError
from workers.transferability import half_samples, score
from workers.transferability.analysis import run
from workers.transferability.entries import TransferabilitySpec
from workers.transferability.intervals import DRAWS, bootstrap_means, means_over
from workers.transferability.pass_metric import PassMetric


def test_rows_drawn_twice_would_fake_evidence() -> None:
    """Pure noise: leave-one-out 1-NN is near one half; with replacement, copies are each other's neighbours."""
    generator = np.random.default_rng(0)
    features, labels = generator.standard_normal((200, 16)), np.arange(200) % 2
    honest = score("knn", features, labels, k=1)
    assert 0.4 < honest < 0.6
    fakes = []
    for _ in range(20):
        rows = generator.integers(0, 200, 200)
        fakes.append(score("knn", features[rows], labels[rows], k=1))
    assert min(fakes) > 0.75
    halves = [
        score("knn", features[half], labels[half], k=1) for half in half_samples(labels, count=40, revision="r", seed=0)
    ]
    assert abs(np.mean(halves) - 0.5) < 0.06
    half_width = 1.96 * np.std(halves, ddof=1)
    assert honest - half_width < 0.5 < honest + half_width


def test_entries_and_targets_agree_on_the_interval() -> None:
    for entry in METRICS:
        metric = entry.load()
        if isinstance(metric, PassMetric):
            assert (metric.terms is not None) == (entry.interval == "rows"), entry.name
    assert {entry.name for entry in METRICS if entry.interval == "rows"} == {"nce", "leep", "linear_probe"}


def test_bootstrap_of_terms_has_the_spread_of_a_mean() -> None:
    terms = np.random.default_rng(0).exponential(size=900)
    ids = np.arange(900)
    draws = bootstrap_means(terms, ids, seed=1, draws=2000)
    assert np.mean(draws) == pytest.approx(terms.mean(), abs=0.005)
    assert np.std(draws) == pytest.approx(terms.std() / 30, rel=0.06)
    order = np.random.default_rng(1).permutation(900)
    assert bootstrap_means(terms[order], ids[order], seed=1, draws=5) == draws[:5]
    padded = np.concatenate([terms, np.full(50, np.nan)])
    assert bootstrap_means(padded, np.arange(950), seed=1, draws=5) == draws[:5]


def test_means_over_halves_spread_like_the_mean_itself() -> None:
    """Half the rows without replacement: variance s² / (n / 2) · (1 − 1/2) = s² / n (Cochran, Sampling Techniques)."""
    terms = np.random.default_rng(0).exponential(size=900)
    halves = half_samples(np.zeros(900, dtype=np.int64), count=2000, revision="r", seed=0)
    means = np.array(means_over(terms, halves), dtype=float)
    assert means.mean() == pytest.approx(terms.mean(), abs=0.005)
    assert means.std() == pytest.approx(terms.std(ddof=1) / 30, rel=0.06)
    assert means_over(np.array([1.0, np.nan, 3.0, 5.0]), [np.array([0, 1]), np.array([2, 3])]) == [1.0, 4.0]


def test_the_analysis_makes_each_interval_by_its_kind(planted, stored, tmp_path: Path) -> None:
    features, labels = planted(160, 10, signal=0.4)
    context = stored(tmp_path, features, labels)
    found = run(TransferabilitySpec(metrics=("linear_probe", "logme", "h_score", "leep"), half_samples=5), context)
    probe, logme, plain, leep = found.scores
    assert len(probe.replicates) == 5
    assert f"bootstrap of the rows' terms, {DRAWS} draws" in probe.interval
    assert probe.value is not None
    assert probe.low is not None
    assert probe.high is not None
    assert 0 <= probe.low < probe.value < probe.high <= 1
    assert (len(logme.replicates), len(plain.replicates)) == (5, 5)
    assert "5 stratified halves" in logme.interval
    assert leep.value is None
    assert "needs the model's own classifier" in leep.note
    metrics = found.provenance["metrics"]
    assert "half-samples" in metrics["logme"]["interval"]
    assert "bootstrap" in metrics["linear_probe"]["interval"]
    assert context.progress[:2] == (6, 6)


def test_two_models_are_drawn_alike(planted, stored, tmp_path: Path) -> None:
    features, labels = planted(160, 10, signal=0.4)
    spec = TransferabilitySpec(metrics=("linear_probe",))
    first = run(spec, stored(tmp_path / "a", features, labels, model="a"))
    second = run(spec, stored(tmp_path / "b", features * 3 + 1, labels, model="b"))
    assert first.scores[0].replicates == pytest.approx(second.scores[0].replicates, abs=1e-9)


def test_a_spec_of_which_nothing_can_be_computed_is_refused(planted, stored, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="NCE needs"):
        run(TransferabilitySpec(metrics=("nce", "leep")), stored(tmp_path, *planted(40, 4)))


def test_a_score_whose_halves_have_none_says_so(planted, stored, tmp_path: Path) -> None:
    found = run(TransferabilitySpec(metrics=("h_score",), half_samples=3), stored(tmp_path, *planted(40, 30)))
    assert found.scores[0].value is not None
    assert found.scores[0].low is None
    assert "half-sample has no score" in found.scores[0].note
