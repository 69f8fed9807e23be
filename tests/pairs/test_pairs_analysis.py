"""The analyses of pairs over features that lie in a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pairs.stored import stored
from workers.kit import ANALYSES, DatasetRef, LocalContext, Outcome, UserError
from workers.pairs.analysis import run
from workers.pairs.compatibility import average_accuracy, average_compatibility
from workers.pairs.compatibility_analysis import run as run_compatibility
from workers.pairs.entries import AlignmentSpec, CompatibilitySpec, PairsSpec, ProbeSpec
from workers.pairs.likeness import Settings, likeness_of
from workers.pairs.probe_analysis import run as run_probes
from workers.pairs.rows import halves_of, sampled

ROWS = 120
LABELS = np.arange(ROWS) % 4


def planted(seed: int, *, width: int = 12, signal: float = 2.0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return signal * draw.standard_normal((4, width))[LABELS] + draw.standard_normal((ROWS, width))


@pytest.fixture
def context(tmp_path: Path) -> LocalContext:
    x = planted(0)
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((12, 12)))[0]
    return stored(
        tmp_path, {"a@1": x, "b@1": 3 * x @ turn, "c@1": np.random.default_rng(2).normal(size=x.shape)}, LABELS
    )


def rows(outcome: Outcome, table: str) -> list[dict[str, Any]]:
    found = outcome.tables[table]
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def test_a_turned_model_is_alike_and_noise_is_not(context: LocalContext) -> None:
    found = run(PairsSpec(models=("c@1", "a@1", "b@1"), half_samples=10), context)
    by = {(row["model_a"], row["model_b"], row["measure"]): row for row in rows(found, "pairs")}
    assert len(by) == 3 * 5
    for measure in ("cka", "cka_plain", "procrustes"):
        assert by["a", "b", measure]["value"] == pytest.approx(1, abs=1e-6)
    assert by["a", "b", "neighbours"]["value"] == 1
    assert abs(by["a", "c", "cka"]["value"]) < 0.05
    assert by["a", "c", "cka"]["low"] < 0 < by["a", "c", "cka"]["high"]
    for row in by.values():
        if row["model_b"] == "c":
            assert row["low"] <= row["chance"] <= row["high"], row
    assert found.summary["models"] == ["a", "b", "c"]
    assert found.summary["sentence"].startswith("Most alike: a and b (CKA 1.000")
    assert {score.metric for score in found.scores} == {f"likeness_{row['name']}" for row in rows(found, "measures")}
    assert all(len(score.replicates) == 10 for score in found.scores)


def test_distance_for_rsa_is_the_specs(context: LocalContext) -> None:
    """A rotation keeps cosines, not correlations over features."""
    one, two = (
        rows(run(PairsSpec(models=("a@1", "b@1"), half_samples=2, distance=distance), context), "pairs")
        for distance in ("cosine", "correlation")
    )
    rsa = [next(row["value"] for row in table if row["measure"] == "rsa") for table in (one, two)]
    assert rsa[0] == pytest.approx(1, abs=1e-4)
    assert rsa[1] < 0.999


def test_the_order_of_the_names_changes_nothing(context: LocalContext) -> None:
    one, two = (run(PairsSpec(models=names, half_samples=3), context) for names in (("a@1", "c@1"), ("c@1", "a@1")))
    assert one.tables == two.tables
    assert one.scores == two.scores


def test_a_sample_of_the_rows_is_said(context: LocalContext) -> None:
    found = run(PairsSpec(models=("a@1", "c@1"), half_samples=3, rows=40, rsa_rows=20, components=4), context)
    assert found.summary["rows"] == 40
    notes = {row["measure"]: row["note"] for row in rows(found, "pairs")}
    assert notes["rsa"] == "20 of 40 rows"
    assert notes["procrustes"].startswith("4 principal components, ")


@pytest.mark.parametrize("names", [(), ("a@1",), ("a@1", "unknown@1")])
def test_names_that_do_not_do_are_said(context: LocalContext, names: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=r"Name 2 to 8 models|There is no model unknown@1"):
        run(PairsSpec(models=names), context)


def test_features_of_other_rows_are_refused(tmp_path: Path) -> None:
    ids = {"a@1": np.arange(ROWS), "b@1": np.arange(ROWS) + 1}
    context = stored(tmp_path, {"a@1": planted(0), "b@1": planted(1)}, LABELS, row_ids=ids)
    with pytest.raises(UserError, match="b are of other rows"):
        run(PairsSpec(models=("a@1", "b@1")), context)


def test_a_model_without_variance_has_notes_in_place_of_values(tmp_path: Path) -> None:
    context = stored(tmp_path, {"a@1": planted(0), "b@1": np.ones((ROWS, 3))}, LABELS)
    found = run(PairsSpec(models=("a@1", "b@1"), half_samples=4), context)
    undefined = {row["measure"] for row in rows(found, "pairs") if row["value"] is None and row["note"]}
    assert undefined >= {"cka", "cka_plain", "rsa", "procrustes"}
    assert "not defined" in found.summary["sentence"]


def test_halves_are_stratified_and_never_hold_a_row_twice() -> None:
    labels = np.repeat([0, 1, 2], [10, 7, 1])
    halves = halves_of(labels, count=30, seed=0)
    assert set(halves[labels == 0].sum(axis=0)) == {5}
    assert set(halves[labels == 1].sum(axis=0)) == {3, 4}
    assert set(halves[labels == 2].sum(axis=0)) == {1}
    assert np.array_equal(halves, halves_of(labels, count=30, seed=0))
    assert not np.array_equal(halves, halves_of(labels, count=30, seed=1))


def test_a_sample_holds_every_class_in_its_share() -> None:
    labels = np.repeat([0, 1], [90, 10])
    rows_drawn = sampled(labels, 20, seed=0)
    assert np.bincount(labels[rows_drawn]).tolist() == [18, 2]
    assert len(np.unique(rows_drawn)) == 20
    assert np.array_equal(sampled(labels, 100, seed=0), np.arange(100))


def test_the_interval_of_cka_holds_what_many_rows_say() -> None:
    """The value over 4,000 rows is the truth; intervals from 100 rows hold it about 95 times of 100."""
    draw = np.random.default_rng(7)
    mixing = draw.standard_normal((5, 8))
    settings = Settings(halves=30, rsa_rows=8, components=2, neighbours=1)

    def pair(count: int) -> list[np.ndarray]:
        shared = draw.standard_normal((count, 5))
        return [
            np.hstack([shared, draw.standard_normal((count, 3))]),
            shared @ mixing + 2 * draw.standard_normal((count, 8)),
        ]

    def cka(count: int) -> Any:
        found = likeness_of(pair(count), np.zeros(count, dtype=np.int64), settings)
        return next(one for one in found if one.measure == "cka")

    truth = cka(4_000).value
    held = [one.low <= truth <= one.high for one in (cka(100) for _ in range(60))]
    assert 50 <= sum(held) <= 60


def test_compatibility_by_hand() -> None:
    matrix = np.array([[0.5, np.nan, np.nan], [0.6, 0.7, np.nan], [0.4, 0.7, 0.9]])
    assert average_compatibility(matrix) == pytest.approx(2 / 3)  # .6 ≥ .5 and .7 ≥ .7, but .4 < .5
    assert average_accuracy(matrix) == pytest.approx((0.5 + 0.6 + 0.7 + 0.4 + 0.7 + 0.9) / 6)


def test_a_better_aligned_model_replaces_and_a_turned_one_does_not(tmp_path: Path) -> None:
    old = planted(0, signal=1.0)
    means = np.stack([old[label == LABELS].mean(axis=0) for label in range(4)])
    better = means[LABELS] * 2 + np.random.default_rng(3).standard_normal(old.shape)
    turn = np.linalg.qr(np.random.default_rng(4).standard_normal((12, 12)))[0]
    context = stored(tmp_path, {"old@1": old, "better@1": better, "turned@1": better @ turn}, LABELS)
    found = run_compatibility(CompatibilitySpec(models=("old@1", "better@1", "turned@1")), context)
    by = {(row["queries"], row["gallery"]): row for row in rows(found, "compatibility")}
    assert len(by) == 6
    assert by["better", "old"]["verdict"] == "compatible"
    assert by["turned", "better"]["verdict"] == "worse"
    assert by["turned", "turned"]["accuracy"] == pytest.approx(by["better", "better"]["accuracy"], abs=0.02)
    assert by["old", "old"]["difference"] is None
    scores = {score.metric: score for score in found.scores}
    assert scores["average_compatibility"].value == pytest.approx(1 / 3)
    assert scores["average_accuracy"].value == pytest.approx(np.mean([row["accuracy"] for row in by.values()]))


def test_embeddings_of_different_dimensions_are_refused_with_the_reason(tmp_path: Path) -> None:
    context = stored(tmp_path, {"old@1": planted(0), "new@1": planted(1, width=20)}, LABELS)
    with pytest.raises(UserError, match=r"different dimensions .*: old 12, new 20"):
        run_compatibility(CompatibilitySpec(models=("old@1", "new@1")), context)


def test_probe_vectors_are_kept_for_all_rows_and_for_halves(tmp_path: Path) -> None:
    context = stored(tmp_path, {"a@1": planted(0)}, LABELS)
    context.workdir.mkdir()
    found = run_probes(ProbeSpec(half_samples=3), context)
    assert found.summary["tasks"] == 4
    with np.load(context.workdir / found.artifacts[0].path) as arrays:
        assert arrays["vectors"].shape == (4, 4, 12)
        # A row is best described by its own class's vector.
        x = planted(0) - planted(0).mean(axis=0)
        assert np.mean((x @ arrays["vectors"][0].T).argmax(axis=1) == LABELS) > 0.9
        assert arrays["tasks"].tolist() == ["class 0", "class 1", "class 2", "class 3"]


def test_probe_vectors_of_numbers(tmp_path: Path) -> None:
    x = planted(0)
    zeros = np.zeros(ROWS, dtype=np.int64)
    context = stored(tmp_path, {"a@1": x}, zeros, task="regression", targets=5 * x[:, 0] + 100)
    context.workdir.mkdir()
    found = run_probes(ProbeSpec(half_samples=2, ridge=1e-6), context)
    with np.load(context.workdir / found.artifacts[0].path) as arrays:
        expected = np.zeros(12)
        expected[0] = 1 / x[:, 0].std()
        assert arrays["vectors"][0, 0] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        (PairsSpec, {"models": ["x"] * 2}),
        (PairsSpec, {"models": [str(n) for n in range(9)]}),
        (AlignmentSpec, {"x": 1}),
    ],
)
def test_parameters_that_do_not_do_are_refused(spec: type, values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"twice|at most 8|Extra"):
        spec(**values)


@pytest.mark.parametrize("kind", ["pairs", "alignment", "compatibility", "probe_vectors"])
def test_every_analysis_can_be_loaded_and_says_what_it_needs(kind: str) -> None:
    entry = ANALYSES.get(kind)
    assert callable(entry.load())
    assert "dataset" in entry.needs


def test_a_search_needs_classes() -> None:
    fits = ANALYSES.get("compatibility").fits
    assert "Choose a data set" in (fits(None, None) or "")
    numbers = DatasetRef(name="n", revision="n", source="digits", config={"task": "regression"})
    assert "one class a row" in (fits(None, numbers) or "")
    assert "not installed" in (fits(None, DatasetRef(name="n", revision="n", source="gone")) or "")
    assert fits(None, DatasetRef(name="n", revision="n", source="digits", classes=("a", "b"))) is None
