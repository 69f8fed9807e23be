"""What every entry of METRICS promises, the ones of third parties included."""

from __future__ import annotations

import math

import numpy as np
import pytest

from workers.kit import METRICS, MetricEntry, UserError
from workers.transferability import score
from workers.transferability.target_pass import TargetPass

ENTRIES = [entry for entry in METRICS if "classification" in entry.tasks]
OF_TARGETS = [entry for entry in METRICS if set(entry.tasks) & {"regression", "multi-label"}]


def inputs(signal: float, *, seed: int, rows: int = 150, dimensions: int = 24) -> dict[str, np.ndarray]:
    """Features and source probabilities that carry the labels as strongly as `signal` says."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(rows) % 5)
    features = signal * generator.standard_normal((5, dimensions))[labels] + generator.standard_normal(
        (rows, dimensions)
    )
    logits = signal * 3 * np.eye(12)[labels] + generator.standard_normal((rows, 12))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return {"features": features, "labels": labels, "source_probabilities": probabilities}


@pytest.fixture(params=ENTRIES, ids=lambda entry: entry.name)
def entry(request: pytest.FixtureRequest) -> MetricEntry:
    found: MetricEntry = request.param
    return found


def test_the_three_first_metrics_are_there() -> None:
    assert {"logme", "regularised_h_score", "knn"} <= {entry.name for entry in ENTRIES}


def test_entry_says_what_it_is(entry: MetricEntry) -> None:
    assert entry.title
    assert entry.meaning.endswith(".")
    assert entry.paper
    assert entry.version
    assert callable(entry.load())
    entry.params()


def test_deterministic_finite_and_inputs_unchanged(entry: MetricEntry) -> None:
    given, kept = inputs(0.5, seed=1), inputs(0.5, seed=1)
    first = score(entry.name, **given, seed=3)
    assert isinstance(first, float)
    assert math.isfinite(first)
    assert score(entry.name, **given, seed=3) == first
    for name, array in given.items():
        assert np.array_equal(array, kept[name]), name


def test_read_only_float32_and_fortran_inputs(entry: MetricEntry) -> None:
    given = inputs(0.5, seed=1)
    features = np.asfortranarray(given["features"].astype(np.float32))
    features.setflags(write=False)
    given["labels"].setflags(write=False)
    value = score(entry.name, **(given | {"features": features}))
    assert value == pytest.approx(score(entry.name, **given), abs=1e-4)


def test_label_names_and_gaps_do_not_matter(entry: MetricEntry) -> None:
    given = inputs(0.5, seed=2)
    value = score(entry.name, **given)
    for labels in (4 - given["labels"], given["labels"] * 11 - 3, np.array(list("vwxyz"))[given["labels"]]):
        assert score(entry.name, **(given | {"labels": labels})) == pytest.approx(value, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_a_planted_good_model_beats_noise(entry: MetricEntry, seed: int) -> None:
    good, noise = score(entry.name, **inputs(1.0, seed=seed)), score(entry.name, **inputs(0.0, seed=seed))
    if entry.role == "ranking":
        assert good > noise if entry.higher_is_better else good < noise


@pytest.mark.parametrize(
    "case",
    ["absent class", "constant feature", "wide", "one row per class", "all zero", "constant", "equal rows", "tiny"],
)
def test_degenerate_inputs_are_defined_or_refused(entry: MetricEntry, case: str) -> None:
    given = inputs(0.5, seed=4)
    features, labels = given["features"], given["labels"]
    if case == "absent class":
        labels = np.where(labels == 2, 3, labels)
    elif case == "constant feature":
        features[:, 3] = 7.5
    elif case == "wide":
        given = inputs(0.5, seed=4, rows=40, dimensions=90)
        features, labels = given["features"], given["labels"]
    elif case == "one row per class":
        labels = np.arange(len(labels))
    elif case == "all zero":
        features = np.zeros_like(features)
    elif case == "constant":
        features = np.full_like(features, 3.3)
    elif case == "equal rows":
        features = features[labels]
    elif case == "tiny":
        features = features * 1e-200
    try:
        value = score(entry.name, **(given | {"features": features, "labels": labels}))
    except UserError:
        return
    assert math.isfinite(value)


def test_every_metric_has_a_task() -> None:
    assert {entry.name for entry in (*ENTRIES, *OF_TARGETS)} == {entry.name for entry in METRICS}


def targets_pass(task: str, signal: float, *, seed: int, scale: float = 1.0, offset: float = 0.0) -> TargetPass:
    """Features that carry two targets as strongly as `signal` says."""
    generator = np.random.default_rng(seed)
    hidden = generator.standard_normal((120, 3))
    features = signal * hidden @ generator.standard_normal((3, 10)) + generator.standard_normal((120, 10))
    targets = hidden[:, :2] + 0.3 * generator.standard_normal((120, 2))
    values = (targets > 0).astype(int) if task == "multi-label" else scale * targets + offset
    return TargetPass(features, values, task=task)


@pytest.mark.parametrize(
    ("entry", "task"),
    [(entry, task) for entry in OF_TARGETS for task in entry.tasks if task != "classification"],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_metrics_of_targets(entry: MetricEntry, task: str) -> None:
    compute, params = entry.load().compute, entry.params().model_dump()
    value = compute(targets_pass(task, 1.0, seed=1), seed=0, **params)
    assert math.isfinite(value)
    assert compute(targets_pass(task, 1.0, seed=1), seed=0, **params) == value
    if task == "regression":
        moved = targets_pass(task, 1.0, seed=1, scale=100.0, offset=5000.0)
        assert compute(moved, seed=0, **params) == pytest.approx(value, abs=1e-8)
    if entry.role == "ranking":
        for seed in range(5):
            good, noise = (compute(targets_pass(task, s, seed=seed), seed=0, **params) for s in (2.0, 0.0))
            assert good > noise
    half = targets_pass(task, 1.0, seed=1).select(np.arange(60))
    assert math.isfinite(compute(half, seed=0, **params))
