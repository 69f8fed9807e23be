"""The shared pass, half-samples and `score` by name."""

from __future__ import annotations

import numpy as np
import pytest

from workers.kit import METRICS, UserError
from workers.transferability import FeaturePass, half_samples, score
from workers.transferability.pass_metric import PassMetric

NAMES = ("logme", "regularised_h_score", "knn")


@pytest.mark.parametrize(("rows", "dimensions"), [(300, 20), (300, 200), (120, 400)])
@pytest.mark.parametrize("name", NAMES)
def test_a_half_sample_scores_as_if_alone(planted, name: str, rows: int, dimensions: int) -> None:
    """(300, 200): the whole goes through the D × D Gram matrix, its halves through a part of the N × N one."""
    features, labels = planted(rows, dimensions, signal=0.3)
    whole = FeaturePass(features.astype(np.float32), labels)
    metric = METRICS.get(name).load()
    assert isinstance(metric, PassMetric)
    params = METRICS.get(name).params().model_dump()
    for half in half_samples(whole.codes, count=3, revision="r", seed=0):
        shared = metric.compute(whole.select(half), seed=0, **params)
        alone = score(name, features.astype(np.float32)[half], labels[half])
        assert shared == pytest.approx(alone, rel=1e-9, abs=1e-9)


def test_halves_of_many_rows_form_their_own_gram_matrix(planted, monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = planted(200, 150)
    half = half_samples(labels, count=1, revision="r", seed=0)[0]
    shared = score("logme", features[half], labels[half])
    monkeypatch.setattr("workers.transferability.feature_pass._LARGEST_SHARED_KERNEL", 10)
    part = FeaturePass(features, labels).select(half)
    assert METRICS.get("logme").load().compute(part, seed=0) == pytest.approx(shared, abs=1e-10)


def test_halves_are_stratified_and_without_repetition() -> None:
    labels = np.repeat(np.arange(4), [40, 21, 3, 1])
    halves = half_samples(labels, count=200, revision="r", seed=0)
    sizes = np.array([np.bincount(labels[half], minlength=4) for half in halves])
    assert all(len(np.unique(half)) == len(half) for half in halves)
    assert (sizes[:, 0] == 20).all()
    assert set(sizes[:, 1]) == {10, 11}
    assert set(sizes[:, 2]) == {1, 2}
    assert (sizes[:, 3] == 1).all()
    use = np.bincount(np.concatenate(halves), minlength=len(labels))[:40] / 200
    assert abs(use.mean() - 0.5) < 1e-12
    assert 0.35 < use.min() <= use.max() < 0.65


def test_halves_depend_on_revision_and_seed_only() -> None:
    labels = np.arange(60) % 3
    row_ids = np.arange(60) * 10

    def draw(**change: object) -> list[list[int]]:
        settings: dict[str, object] = {"count": 4, "revision": "r", "seed": 0, "row_ids": row_ids} | change
        return [row_ids[half].tolist() for half in half_samples(labels, **settings)]

    assert draw() == draw()
    assert draw() != draw(seed=1)
    assert draw() != draw(revision="s")
    assert draw(count=2) == draw()[:2]
    order = np.random.default_rng(0).permutation(60)
    moved = half_samples(labels[order], count=4, revision="r", seed=0, row_ids=row_ids[order])
    assert [sorted(row_ids[order][half].tolist()) for half in moved] == draw()


@pytest.mark.parametrize(
    ("features", "labels", "reason"),
    [
        (np.ones((5, 2)), np.zeros(5), "same label"),
        (np.ones((5, 2)), np.arange(4), "one label for each"),
        (np.ones(5), np.arange(5), "table"),
        (np.ones((1, 3)), np.zeros(1), "two rows"),
        (np.full((4, 2), np.nan), np.arange(4), "NaN"),
        (np.array([[1.0, np.inf]] * 4), np.arange(4), "infinite"),
        (np.ones((4, 2)), np.array([0.5, 1.5, 0.5, 1.5]), "real numbers"),
        (np.array([["a", "b"]] * 4), np.arange(4), "numbers"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_wrong_input_is_refused_with_a_reason(name: str, features: np.ndarray, labels: np.ndarray, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        score(name, features, labels)


def test_unknown_names_and_parameters() -> None:
    features, labels = np.random.default_rng(0).standard_normal((8, 2)), np.arange(8) % 2
    with pytest.raises(UserError, match="Did you mean logme"):
        score("logm", features, labels)
    with pytest.raises(UserError, match="k"):
        score("knn", features, labels, k=0)
    with pytest.raises(UserError, match="neighbours"):
        score("knn", features, labels, neighbours=3)


def test_the_pass_computes_each_spectrum_once(planted) -> None:
    shared = FeaturePass(*planted(50, 10))
    assert shared.spectrum() is shared.spectrum()
    assert shared.neighbours() is shared.neighbours()
    assert shared.kernel() is shared.kernel()
