"""The difference of a model to its base: merged LoRAs, full training, other revisions, strangers, damage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tests.sources.shipped import MOBILENET
from tests.weights.checkpoints import model_of, rows, saved, transformer
from workers.kit import ANALYSES, Cancelled, LocalContext, ModelRef, Outcome, UserError
from workers.sources.untrained import untrained_weights
from workers.weights.difference_analysis import LAYER_COLUMNS, UNMATCHED_COLUMNS, run
from workers.weights.entries import WeightDifferenceSpec

BASE = "base@0123456789ab"
State = dict[str, np.ndarray]


def compare(model: ModelRef, base: ModelRef, **options: Any) -> Outcome:
    return run(WeightDifferenceSpec(base=BASE), LocalContext(model=model, others={BASE: base}, **options))


def pair(folder: Path, base: State, tuned: State) -> tuple[ModelRef, ModelRef]:
    return saved(folder / "tuned.safetensors", tuned), saved(folder / "base.safetensors", base)


def merged(state: State, *, rank: int, dtype: Any = np.float32) -> State:
    """The state with a LoRA of that rank merged into its query and up projections."""
    rng = np.random.default_rng(9)
    tuned = dict(state)
    for name, value in state.items():
        if "query" in name or "up." in name:
            low = rng.standard_normal((value.shape[0], rank)) @ rng.standard_normal((rank, value.shape[1]))
            tuned[name] = (value.astype(np.float64) + 0.02 * low).astype(dtype)
    return tuned


def test_a_merged_lora_is_found(tmp_path: Path) -> None:
    base = transformer()
    outcome = compare(*pair(tmp_path, base, merged(base, rank=4)))
    found = {row["layer"]: row for row in rows(outcome, "layers")}
    for name, row in found.items():
        if "query" in name or "up." in name:
            assert (row["rank"], row["is_low_rank"]) == (4, True), name
            assert row["rank_at_99"] <= 4
            assert 1 <= row["stable_rank_of_difference"] <= 4
            assert 0.2 < row["relative_norm"] < 0.8
        else:
            assert (row["relative_norm"], row["changed_share"], row["rank"]) == (0, 0, 0)
    sentence = outcome.summary["sentence"]
    assert sentence.startswith("8 of 13 matrices differ from the base's, by ")
    assert "all 8 have a rank of at most 4, as a merged LoRA leaves it" in sentence
    assert (outcome.summary["changed"], outcome.summary["low_rank"], outcome.summary["unmatched"]) == (8, 8, 0)


def test_numbers_are_those_of_numpy(tmp_path: Path) -> None:
    base = transformer()
    rng = np.random.default_rng(3)
    tuned = {name: (value + 0.01 * rng.standard_normal(value.shape)).astype(np.float32) for name, value in base.items()}
    outcome = compare(*pair(tmp_path, base, tuned))
    for row in rows(outcome, "layers"):
        before, after = base[row["layer"]].astype(np.float64), tuned[row["layer"]].astype(np.float64)
        delta = after - before
        assert row["relative_norm"] == pytest.approx(np.linalg.norm(delta) / np.linalg.norm(before))
        cosine = (before * after).sum() / np.linalg.norm(before) / np.linalg.norm(after)
        assert row["cosine"] == pytest.approx(cosine)
        assert row["sign_agreement"] == np.mean(np.sign(before) == np.sign(after))
        assert row["changed_share"] == 1
        assert row["is_low_rank"] is False
    names = [row["layer"] for row in rows(outcome, "layers")]
    whole = np.concatenate([(tuned[name].astype(float) - base[name]).ravel() for name in names])
    of = np.concatenate([base[name].astype(float).ravel() for name in names])
    assert outcome.summary["relative_norm"] == pytest.approx(np.linalg.norm(whole) / np.linalg.norm(of))
    assert [score.metric for score in outcome.scores] == ["relative_difference", "difference_cosine", "sign_agreement"]
    assert "merged LoRA" not in outcome.summary["sentence"]


def test_equal_revisions(tmp_path: Path) -> None:
    outcome = compare(*pair(tmp_path, transformer(), transformer()))
    assert outcome.summary["sentence"] == "All 13 matrices equal the base's."
    assert outcome.summary["changed"] == 0
    assert outcome.summary["relative_norm"] == 0


def test_strangers_are_called_so(tmp_path: Path) -> None:
    outcome = compare(*pair(tmp_path, transformer(seed=0), transformer(seed=1)))
    assert "does not seem to be made from it" in outcome.summary["sentence"]


def test_a_real_model_and_its_untrained_twin(tmp_path: Path) -> None:
    trained = model_of(MOBILENET)
    shapes = {name: tuple(shape) for name, (shape, _dtype) in trained.tensors.items()}
    untrained = untrained_weights(shapes, architecture="mobilenet_v2", seed=0)
    outcome = compare(trained, saved(tmp_path / "untrained.safetensors", untrained))
    assert outcome.summary["matrices"] == 53
    assert outcome.summary["unmatched"] == 0
    assert "does not seem to be made from it" in outcome.summary["sentence"]


def test_rounding_alone_is_said(tmp_path: Path) -> None:
    base = transformer()
    tuned = {name: value.astype(ml_dtypes.bfloat16) for name, value in base.items()}
    outcome = compare(*pair(tmp_path, base, tuned))
    for row in rows(outcome, "layers"):
        assert (row["dtype"], row["base_dtype"]) == ("bfloat16", "float32")
        assert row["changed_share"] == 0
        assert row["rank"] == 0
        assert "part of the difference is rounding" in row["note"]


def test_heads_and_grown_vocabularies(tmp_path: Path) -> None:
    base = transformer()
    tuned = {f"model.{name}": value for name, value in merged(base, rank=2).items()}
    words = tuned["model.embed_tokens.weight"]
    tuned["model.embed_tokens.weight"] = np.concatenate([words, np.ones((4, 48), dtype=np.float32)])
    tuned["classifier.weight"] = np.ones((3, 48), dtype=np.float32)
    outcome = compare(*pair(tmp_path, base, tuned))
    found = {row["layer"]: row for row in rows(outcome, "layers")}
    assert len(found) == 13
    grown = found["model.embed_tokens.weight"]
    assert grown["base_layer"] == "embed_tokens.weight"
    assert grown["relative_norm"] == 0
    assert "the first 120 are compared" in grown["note"]
    assert found["model.layers.1.mlp.up.weight"]["rank"] == 2
    (head,) = rows(outcome, "unmatched")
    assert (head["layer"], head["side"], head["shape"]) == ("classifier.weight", "this model", "3 × 48")
    assert outcome.summary["sentence"].endswith("; 1 layer has no counterpart.")


def test_an_outcome_is_json_with_the_agreed_columns(tmp_path: Path) -> None:
    base = transformer()
    base["layers.0.mlp.up.weight"][:] = 0
    outcome = compare(*pair(tmp_path, base, merged(transformer(), rank=1)))
    assert outcome.tables["layers"].columns == LAYER_COLUMNS
    assert outcome.tables["unmatched"].columns == UNMATCHED_COLUMNS
    json.dumps([outcome.summary, outcome.provenance], allow_nan=False)
    for table in outcome.tables.values():
        assert all(len(row) == len(table.columns) for row in table.rows)
        json.dumps(table.rows, allow_nan=False)
    zero = next(row for row in rows(outcome, "layers") if row["layer"] == "layers.0.mlp.up.weight")
    assert (zero["relative_norm"], zero["cosine"]) == (None, None)


def test_a_stopped_run_is_taken_up(tmp_path: Path) -> None:
    class Interrupted(LocalContext):
        def checkpoint(self, done: int, total: int, note: str = "") -> None:
            if done >= 5:
                raise Cancelled("stop")

    base = transformer()
    model, earlier = pair(tmp_path, base, merged(base, rank=4))
    store = tmp_path / "store"
    with pytest.raises(Cancelled):
        run(WeightDifferenceSpec(base=BASE), Interrupted(model=model, others={BASE: earlier}, store_dir=store))
    outcome = compare(model, earlier, store_dir=store)
    assert outcome.provenance["reused_matrices"] == 5
    whole = compare(model, earlier)
    assert (outcome.tables, outcome.summary) == (whole.tables, whole.summary)
    # Of another base nothing is taken.
    other = saved(tmp_path / "other.safetensors", transformer(seed=5))
    assert compare(model, other, store_dir=store).provenance["reused_matrices"] == 0


@pytest.mark.parametrize("side", ["tuned", "base"])
def test_damaged_weights_name_the_tensor(tmp_path: Path, side: str) -> None:
    states = {"base": transformer(), "tuned": transformer()}
    states[side]["layers.2.mlp.down.weight"][0, 0] = np.nan
    with pytest.raises(UserError, match=r"layers\.2\.mlp\.down\.weight holds NaN"):
        compare(*pair(tmp_path, states["base"], states["tuned"]))


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    model = saved(tmp_path / "m.safetensors", transformer())
    other = saved(tmp_path / "o.safetensors", {"fc.weight": np.ones((5, 7), dtype=np.float32)})
    norms = saved(tmp_path / "n.safetensors", {"norm.weight": np.ones(5, dtype=np.float32)})
    with pytest.raises(UserError, match="no layer in common"):
        compare(model, other)
    with pytest.raises(UserError, match="n: This model has no weight matrix"):
        compare(model, norms)
    with pytest.raises(UserError, match="Name the base") as error:
        run(WeightDifferenceSpec(), LocalContext(model=model))
    assert error.value.field == "base"
    with pytest.raises(UserError, match="no model nobody"):
        run(WeightDifferenceSpec(base="nobody"), LocalContext(model=model))
    with pytest.raises(UserError, match="choose one"):
        run(WeightDifferenceSpec(base=BASE), LocalContext())


def test_entry() -> None:
    entry = ANALYSES.get("weight_difference")
    assert entry.load() is run
    assert entry.title == "Difference of weights"
    spec = WeightDifferenceSpec(base="b")
    assert spec.model_names() == ("b",)
    assert spec.with_models(lambda name: f"{name}@1").base == "b@1"
    assert WeightDifferenceSpec().model_names() == ()
