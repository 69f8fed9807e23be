"""Every kernel and dimension, both views of batch norm, sums by depth, and real trained weights."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.filterdb.checkpoints import analyse, layers, packaged
from workers.filterdb import FilterStatistics, layer_quality
from workers.filterdb.analysis import fold_in_place, run
from workers.filterdb.entries import FilterdbSpec, fits
from workers.filterdb.findings import findings_sentence, mean_score
from workers.kit import LocalContext, ModelRef, UserError
from workers.sources.headers import read_headers
from workers.sources.layers import open_weights
from workers.statistics.layer_groups import LayerGroup

DETECTOR = "models/ch_PP-OCRv4_det_infer.onnx"
READERS = ("models/ch_PP-OCRv4_rec_infer.onnx", "models/ch_ppocr_mobile_v2.0_cls_infer.onnx")


def test_trained_text_detector() -> None:
    outcome = analyse(packaged("rapidocr_onnxruntime", DETECTOR))
    rows = layers(outcome, kernel="")
    found = layers(outcome)
    assert sum(not row["is_transposed"] for row in rows) == 62
    assert len(found) == 12
    filters = [row["filters"] for row in found]
    assert sum(filters) == 11_904
    assert np.average([row["sparsity"] for row in found], weights=filters) == pytest.approx(8.4005e-05, abs=5e-10)
    assert outcome.scores[0].value == pytest.approx(8.4005e-05, abs=5e-10)
    assert outcome.scores[1].value == pytest.approx(0.8047955852, abs=1e-9)
    # The fourth 3 × 3 one, the node p2o.Conv.7.
    assert min(row["variance_entropy"] for row in found) == pytest.approx(0.2499711453, abs=1e-9)
    assert {row["depth_source"] for row in rows} == {"graph"}
    assert sum(1 for row in rows if row["kernel"] == "2×2" and row["is_transposed"]) == 2


def test_three_trained_text_models_add_up_to_one_basis() -> None:
    whole = FilterStatistics.empty()
    for name in (DETECTOR, *READERS):
        for sums in analyse(packaged("rapidocr_onnxruntime", name)).sums:
            if (sums.labels["kernel"], sums.labels["view"]) == ("3x3", "stored"):
                whole = whole.merge(LayerGroup.from_bytes(sums.payload).statistics)
    assert whole.n == 12_472
    published = [0.269870, 0.186935, 0.163288, 0.116366, 0.096285, 0.045248, 0.043339, 0.040578, 0.038090]
    assert whole.pca().explained_variance_ratio == pytest.approx(published, abs=1e-6)


@pytest.fixture
def every_kind(tmp_path: Path) -> Path:
    """One layer of each kind, a batch norm with scales that differ widely, half precision, and quantised codes."""
    rng = np.random.default_rng(3)

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(np.float32)

    path = tmp_path / "m.safetensors"
    save_file(
        {
            "a0.conv.weight": normal(16, 3, 7, 7),
            "b.0.weight": normal(64, 16, 3, 3).astype(np.float16),
            "b.1.weight": np.geomspace(1e-4, 1, 64).astype(np.float32) * np.where(np.arange(64) % 2, 1, -1),
            "b.1.bias": normal(64),
            "b.1.running_mean": normal(64),
            "b.1.running_var": np.full(64, 0.25, dtype=np.float32),
            "c.conv.weight": normal(8, 16, 1, 5),
            "d.conv.weight": normal(8, 8, 3, 3, 3),
            "e.conv.weight": normal(8, 8, 9),
            "f.conv.weight": normal(8, 8, 11, 11),
            "g.deconv.weight": normal(8, 4, 2, 2),
            "h.conv.weight": normal(4, 4, 1, 1),
            "i.conv.weight": rng.integers(-9, 9, (4, 4, 3, 3)).astype(np.int8),
            "j.fc.weight": normal(4, 4),
        },
        path,
    )
    return path


def test_every_kernel_and_dimension_has_a_row(every_kind: Path) -> None:
    outcome = analyse(every_kind)
    rows = layers(outcome, kernel="")
    assert [(row["layer"], row["kind"], row["kernel"], row["filters"]) for row in rows] == [
        ("a0.conv.weight", "conv2d", "7×7", 48),
        ("b.0.weight", "conv2d", "3×3", 1024),
        ("c.conv.weight", "conv2d", "1×5", 128),
        ("d.conv.weight", "conv3d", "3×3×3", 64),
        ("e.conv.weight", "conv1d", "9", 64),
        ("f.conv.weight", "conv2d", "11×11", 64),
        ("g.deconv.weight", "conv2d", "2×2", 32),
        ("h.conv.weight", "conv2d", "1×1", 16),
    ]
    assert [row["depth"] for row in rows] == pytest.approx(np.linspace(0, 1, 8))
    assert [row["is_transposed"] for row in rows] == [False] * 6 + [True, False]
    assert [row["dtype"] for row in rows[:2]] == ["float32", "float16"]
    numbers = ("variance_entropy", "sparsity", "orthogonality", "norm_l1", "randomness_threshold")
    assert all(row[name] is None or math.isfinite(row[name]) for row in rows for name in numbers)
    assert {row["verdict"] for row in rows} <= {"random", "healthy", "not assessable"}
    assert outcome.tables["skipped"].rows == [["i.conv.weight", "its numbers are int8, not floating point"]]
    assert outcome.summary["skipped"] == {"its numbers are int8, not floating point": 1}
    assert outcome.summary["sentence"] == "The only layer of kernel size 3 × 3 is random."
    assert "1 tensor was left out: its numbers are int8" in outcome.summary["kernels_sentence"]
    assert (outcome.summary["convolutions"], outcome.summary["filters"]) == (8, 48 + 1024 + 128 + 64 + 64 + 64 + 32)


def test_a_model_without_3x3_layers_is_told_by_its_commonest_kernel(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = [(8, 8, 1, 1), (8, 8, 1, 1), (64, 32, 5, 5), (8, 8, 7, 7)]
    for number, sentence in ((4, "of kernel size 5 × 5"), (2, "of kernel size 1 × 1")):
        state = {f"l{place}.conv.weight": rng.standard_normal(shape) for place, shape in enumerate(shapes[:number])}
        save_file(state, tmp_path / "m.safetensors")
        outcome = analyse(tmp_path / "m.safetensors")
        assert sentence in outcome.summary["sentence"]
        assert outcome.tables["pca"].rows == outcome.tables["histograms"].rows == []
        assert [score.value for score in outcome.scores] == [None] * 3
    assert outcome.sums == ()


def test_both_views_are_kept_apart(every_kind: Path) -> None:
    outcome = analyse(every_kind)
    (folded,) = layers(outcome, kernel="", view="folded")
    (stored,) = layers(outcome)
    assert folded["layer"] == stored["layer"] == "b.0.weight"
    # Scales from 1e-4 on make the first channels sparse; a filter scaled by its own largest weight does not see them.
    assert (stored["sparsity"], folded["sparsity"] > 0.3) == (0, True)
    kept = {
        (sums.labels["kernel"], sums.labels["view"]): LayerGroup.from_bytes(sums.payload).statistics
        for sums in outcome.sums
        if sums.labels["kernel"] == "3x3"
    }
    assert kept["3x3", "folded"].n == kept["3x3", "stored"].n == 1024
    assert kept["3x3", "folded"].second_moment == pytest.approx(kept["3x3", "stored"].second_moment, abs=1e-6)
    assert kept["3x3", "folded"].mean != pytest.approx(kept["3x3", "stored"].mean, abs=1e-3)  # γ changes signs


def test_sums_are_of_small_kernels_of_two_dimensions(every_kind: Path) -> None:
    sums = analyse(every_kind).sums
    assert {one.kind for one in sums} == {"layer_group"}
    labels = [(one.labels["kernel"], one.labels["view"], one.labels["decile"], one.labels["layers"]) for one in sums]
    places = {"7x7": 0, "3x3": 1, "1x5": 2, "2x2": 8}  # depths 0, 1/7, 2/7, 6/7
    assert sorted(labels) == sorted((kernel, view, decile, 1) for kernel, decile in places.items()
                                    for view in ("stored", "folded"))  # fmt: skip
    assert all(LayerGroup.from_bytes(one.payload).layers == 1 for one in sums)


def test_pictures_are_filters_scaled_by_their_largest_weight(every_kind: Path) -> None:
    outcome = analyse(every_kind)
    table = outcome.tables["pictures"]
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert {row["layer"][0] for row in rows} == set("abcg")
    of_b = [row for row in rows if row["layer"] == "b.0.weight"]
    assert len(of_b) == 64
    assert [of_b[0]["filter"], of_b[-1]["filter"]] == [0, 1023]
    assert all(len(row["values"]) == row["kernel_height"] * row["kernel_width"] for row in rows)
    assert all(max(map(abs, row["values"])) == 127 for row in rows)
    json.dumps(table.rows)


def test_an_all_zero_layer_is_defined(tmp_path: Path) -> None:
    save_file({"a.conv.weight": np.zeros((8, 8, 3, 3), dtype=np.float32)}, tmp_path / "m.safetensors")
    outcome = analyse(tmp_path / "m.safetensors")
    (row,) = layers(outcome)
    assert (row["sparsity"], row["variance_entropy"], row["verdict"]) == (1, 0, "sparse")
    assert {tuple(picture[-1]) for picture in outcome.tables["pictures"].rows} == {(0,) * 9}
    json.dumps([outcome.summary, outcome.provenance], allow_nan=False)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_transposed_convolution_is_judged_by_its_outputs(tmp_path: Path, groups: int) -> None:
    weight = np.random.default_rng(0).standard_normal((8, 6 // groups, 3, 3))
    state = {"up.deconv.weight": weight, "up.deconv.bias": np.zeros(6)}
    save_file(state, tmp_path / "m.safetensors")
    (row,) = layers(analyse(tmp_path / "m.safetensors"))
    assert (row["is_transposed"], row["groups"]) == (True, groups)
    size = 8 // groups
    parts = [weight[part * size : (part + 1) * size].swapaxes(0, 1) for part in range(groups)]
    ordinary = layer_quality(np.concatenate(parts))
    assert row["orthogonality"] == pytest.approx(ordinary.orthogonality, abs=1e-12)
    assert row["variance_entropy"] == pytest.approx(ordinary.variance_entropy, abs=1e-12)


@pytest.mark.parametrize("shape", [(48, 5, 3, 3), (6, 48, 2, 2), (16, 8, 7)])
def test_folding_in_place_is_folding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]) -> None:
    monkeypatch.setattr("workers.filterdb.analysis._BLOCK_WEIGHTS", 100)
    rng = np.random.default_rng(1)
    outputs = 48 if 48 in shape else shape[0]
    name = "up.deconv" if shape[1] == 48 else "c.0"
    norm = "up.bn" if shape[1] == 48 else "c.1"
    state = {
        f"{name}.weight": rng.standard_normal(shape),
        f"{norm}.weight": rng.standard_normal(outputs),
        f"{norm}.running_mean": np.zeros(outputs),
        f"{norm}.running_var": rng.uniform(0.1, 2, outputs),
    }
    save_file({key: value.astype(np.float32) for key, value in state.items()}, tmp_path / "m.safetensors")
    with open_weights(ModelRef(name="m", revision="r", files=(str(tmp_path / "m.safetensors"),))) as weights:
        ((layer, weight),) = weights.iter()
        assert layer.batch_norm is not None
        expected = weights.folded(layer, weight)
        fold_in_place(weights, layer, weight)
        assert np.array_equal(weight, expected)


def test_only_quantised_convolutions(tmp_path: Path) -> None:
    save_file({"a.conv.weight": np.ones((4, 4, 3, 3), dtype=np.int8)}, tmp_path / "m.safetensors")
    path = tmp_path / "m.safetensors"
    tensors = {header.name: (header.shape, header.dtype) for header in read_headers([path])}
    model = ModelRef(name="m", revision="r", files=(str(path),), tensors=tensors)
    assert "no convolution with floating-point weights" in (fits(model, None) or "")
    with pytest.raises(UserError, match=r"'a\.conv\.weight' was left out: its numbers are int8"):
        run(FilterdbSpec(), LocalContext(model=model))


QUALITIES = {
    "healthy": lambda rng: rng.standard_normal((400, 1)) * np.ones(9) + 0.9 * rng.standard_normal((400, 9)),
    "random": lambda rng: rng.standard_normal((400, 9)),
    "redundant": lambda rng: rng.standard_normal((400, 1)) * np.arange(1, 10),
    "not assessable": lambda rng: rng.standard_normal((4, 9)),
}


@pytest.mark.parametrize(
    ("verdicts", "sentence"),
    [
        ("healthy", "The only layer is healthy."),
        ("healthy healthy", "All 2 layers are healthy."),
        ("random random", "All 2 layers are random."),
        ("healthy random", "1 of 2 layers is random; the other one is healthy."),
        ("not_assessable", "The only layer is not assessable."),
        ("not_assessable healthy", "1 of 2 layers is not assessable; the other one is healthy."),
        (
            "random healthy healthy healthy healthy healthy",
            "1 of 6 layers is random, before depth 0.1; the other 5 are healthy.",
        ),
        (
            "healthy healthy healthy healthy random random redundant",
            "3 of 7 layers are degenerate (2 random, 1 redundant), all after depth 0.6; the other 4 are healthy.",
        ),
        (
            "random healthy healthy healthy redundant not_assessable",
            "2 of 6 layers are degenerate (1 random, 1 redundant); 1 is not assessable; the other 3 are healthy.",
        ),
    ],
)
def test_sentences(verdicts: str, sentence: str) -> None:
    rng = np.random.default_rng(0)
    names = [name.replace("_", " ") for name in verdicts.split()]
    qualities = [layer_quality(QUALITIES[name](rng).reshape(-1, 1, 3, 3)) for name in names]
    assert [quality.verdict for quality in qualities] == names
    assert findings_sentence(qualities, np.linspace(0, 1, len(names)).tolist()) == sentence


def test_the_interval_of_a_mean_is_a_jackknife_over_layers() -> None:
    values = np.random.default_rng(0).uniform(0.4, 0.6, 30)
    score = mean_score("variance_entropy", [(value, 10) for value in values])
    # With equal weights the jackknife's error is the standard error of the mean.
    half = 1.96 * values.std(ddof=1) / math.sqrt(30)
    assert (score.value, score.low, score.high) == pytest.approx(
        (values.mean(), values.mean() - half, values.mean() + half), abs=1e-12
    )
    assert "not independent" in score.interval
    assert mean_score("sparsity", [(0.0, 5), (0.5, 5)]).low == 0
    assert mean_score("sparsity", [(0.3, 5)]).note == "No interval: there is one layer only."
    assert mean_score("orthogonality", [(None, 5)]).value is None
