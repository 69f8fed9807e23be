"""The paper's own convention: the notebook's numbers by passes over blocks, and the job over models in groups."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from safetensors.numpy import save_file

from workers.filterdb.paper import CONVENTION, paper_drift, run
from workers.filterdb.paper_entries import PaperDriftSpec
from workers.kit import ANALYSES, LocalContext, ModelRef, UserError

ROWS = 20_000


def filters() -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    p = draw.standard_normal((ROWS, 9))
    q = draw.standard_normal((ROWS, 9)) @ (0.6 * np.eye(9) + 0.4 * np.random.default_rng(1).standard_normal((9, 9)))
    r = draw.uniform(-1, 1, (ROWS, 9))
    r[:500] = 0
    return [p, q, r]


def test_the_notebooks_numbers() -> None:
    sets = filters()

    def read() -> Iterator[tuple[int, np.ndarray]]:
        for place in (2, 0, 1, 2, 1, 0):
            half = ROWS // 3
            part = sets[place][:half] if place in seen else sets[place][half:]
            seen.symmetric_difference_update({place})
            yield place, part.reshape(-1, 1, 3, 3)

    seen: set[int] = set()
    found = paper_drift(read, groups=3)
    assert (found.low, found.high) == pytest.approx((-2.3674558294019667, 2.166290846287184), abs=1e-9)
    assert found.basis.explained_variance_ratio[0] == pytest.approx(0.172761401196, abs=1e-9)
    drifts = [found.drift[pair] for pair in ((0, 1), (0, 2), (1, 2))]
    assert drifts == pytest.approx([1.442405581177, 0.076867854676, 1.494326391414], abs=1e-9)
    assert (found.histograms.sum(axis=2) == ROWS).all()
    twice = paper_drift(read, groups=3, bins=140)
    drifts = [twice.drift[pair] for pair in ((0, 1), (0, 2), (1, 2))]
    assert drifts == pytest.approx([1.508052, 0.100191, 1.571331], abs=1e-6)


@pytest.fixture
def models(tmp_path: Path) -> dict[str, ModelRef]:
    """Three models: the sets above as one layer each; the first in two layers, beside what is no 3 × 3 convolution."""
    p, q, r = (one.reshape(-1, 4, 3, 3) for one in filters())
    tensors = {
        "p": {
            "a.weight": p[:2000],
            "b.weight": p[2000:],
            "head.weight": np.ones((4, 5)),
            "c.weight": np.ones((2, 2, 5, 5)),
        },
        "q": {"a.weight": q},
        "r": {"a.weight": r},
    }
    found = {}
    for name, weights in tensors.items():
        path = tmp_path / f"{name}.safetensors"
        save_file(weights, path)
        found[f"{name}@1"] = ModelRef(name=name, revision="1", files=(str(path),))
    return found


def test_the_job_compares_groups_of_models(models: dict[str, ModelRef]) -> None:
    spec = PaperDriftSpec(models=tuple(models), groups=("first", "second", "third"), kernel="3x3")
    outcome = run(spec, LocalContext(others=models))
    rows = {(a, b): value for a, b, value in outcome.tables["drift"].rows}
    assert rows == pytest.approx({("first", "second"): 1.442405581177, ("first", "third"): 0.076867854676,
                                  ("second", "third"): 1.494326391414}, abs=1e-9)  # fmt: skip
    assert outcome.summary["sentence"] == (
        "In the paper's own convention, “second” and “third” lie furthest apart: drift 1.494."
    )
    assert outcome.summary["convention"] == CONVENTION
    assert outcome.provenance["convention"] == CONVENTION
    assert outcome.summary["filters"] == 3 * ROWS
    assert outcome.tables["groups"].rows[0] == ["first", 1, 2, ROWS]
    assert len(outcome.tables["histograms"].rows) == 3 * 9 * 70
    assert len(outcome.tables["pca"].rows) == 9


def test_models_of_one_group_are_pooled(models: dict[str, ModelRef]) -> None:
    outcome = run(
        PaperDriftSpec(models=tuple(models), groups=("x", "y", "x"), kernel="3x3"), LocalContext(others=models)
    )
    assert outcome.tables["groups"].rows == [["x", 2, 3, 2 * ROWS], ["y", 1, 1, ROWS]]
    assert outcome.summary["sentence"].startswith("In the paper's own convention, “x” and “y” lie apart: drift ")


def test_what_cannot_be_compared_is_told(models: dict[str, ModelRef], tmp_path: Path) -> None:
    spec = PaperDriftSpec(models=tuple(models)[:2], groups=("x", "y"), kernel="5x5")
    with pytest.raises(UserError, match="The group “y” has no 5x5 convolution"):
        run(spec, LocalContext(others=models))
    with pytest.raises(UserError, match="All filters of these groups are equal"):
        paper_drift(lambda: [(0, np.ones((2, 2, 3, 3))), (1, np.ones((1, 1, 3, 3)))], groups=2)
    with pytest.raises(UserError, match="no filter"):
        paper_drift(lambda: [(0, np.ones((2, 2, 3, 3)))], groups=2)
    bad = np.full((2, 2, 3, 3), np.nan)
    with pytest.raises(UserError, match="NaN"):
        paper_drift(lambda: [(0, bad), (1, bad)], groups=2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"models": ("a",), "groups": ("x",)},
        {"models": ("a", "b"), "groups": ("x",)},
        {"models": ("a", "b"), "groups": ("x", "x")},
        {"models": ("a", ""), "groups": ("x", "y")},
        {"models": ("a", "b"), "groups": ("x", "y"), "kernel": "99x99"},
        {"models": ("a", "b"), "groups": ("x", "y"), "kernel": "1x1"},
    ],
)
def test_parameters_that_make_no_comparison_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PaperDriftSpec.model_validate(wrong)


def test_the_entry_names_its_models_to_be_pinned() -> None:
    entry = ANALYSES.get("filter_drift_paper")
    spec = entry.params.model_validate({"models": ["b", "a"], "groups": ["x", "y"]})
    assert spec.model_names() == ("b", "a")
    assert spec.with_models(lambda name: f"{name}@1").model_names() == ("b@1", "a@1")
    assert entry.load() is run
