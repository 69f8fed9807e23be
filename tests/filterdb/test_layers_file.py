"""Layers and filters as Parquet: columns mean what the schema says, and sums in them are those of the filters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from pyarrow import parquet
from safetensors.numpy import load_file, save_file

from tests.filterdb.checkpoints import context_for, packaged
from workers.filterdb import FilterStatistics, layer_quality
from workers.filterdb.analysis import run
from workers.filterdb.entries import FilterdbSpec, FilterExportSpec
from workers.filterdb.export import run as export
from workers.kit import LocalContext, UserError
from workers.sources.layer_table import FILTER_COLUMNS, LAYER_COLUMNS, METADATA_KEY, filter_columns_of

ROOT = Path(__file__).resolve().parents[2]


def layers_of(context: LocalContext) -> Any:
    (artifact,) = run(FilterdbSpec(), context).artifacts
    assert artifact.name == "layers.parquet"
    return parquet.ParquetFile(context.workdir / artifact.path)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    rng = np.random.default_rng(11)
    path = tmp_path / "m.safetensors"
    state = {
        "a.0.weight": rng.standard_normal((8, 3, 3, 3)),
        "a.1.weight": -np.ones(8),
        "a.1.running_mean": np.zeros(8),
        "a.1.running_var": np.ones(8),
        "b.conv.weight": rng.standard_normal((4, 8, 5, 5)),
        "c.conv.weight": rng.standard_normal((4, 4, 1, 1)),
        "d.deconv.weight": rng.standard_normal((6, 4, 3, 3)),
    }
    save_file({name: values.astype(np.float32) for name, values in state.items()}, path)
    return path


def test_rows_hold_quality_and_statistics(checkpoint: Path) -> None:
    file = layers_of(context_for(checkpoint))
    rows = file.read().to_pylist()
    assert [(row["layer"], row["view"]) for row in rows] == [
        ("a.0.weight", "stored"),
        ("a.0.weight", "folded"),
        ("b.conv.weight", "stored"),
        ("c.conv.weight", "stored"),
        ("d.deconv.weight", "stored"),
    ]
    state = load_file(checkpoint)
    for row in rows:
        weight = state[row["layer"]] * (-1 / np.sqrt(1 + 1e-5) if row["view"] == "folded" else 1)
        assert row["shape"] == list(weight.shape)
        assert row["kernel"] == list(weight.shape[2:])
        assert row["norm_l2"] == pytest.approx(np.linalg.norm(weight), rel=1e-6)
        if row["layer"].startswith("c"):
            assert {row[name] for name in ("basis_version", "mean", "histograms", "density")} == {None}
            continue
        if not row["is_transposed"]:
            quality = layer_quality(weight)
            assert (row["verdict"], row["rule"]) == (quality.verdict, quality.rule)
        # The definition itself, beside the streaming sums.
        filters = weight.reshape(weight.shape[0] * weight.shape[1], -1).astype(np.float64)
        scaled = filters / np.abs(filters).max(axis=1, keepdims=True)
        taps = filters.shape[1]
        assert row["filters"] == len(filters)
        assert row["mean"] == pytest.approx(scaled.mean(axis=0), abs=1e-6)
        assert np.reshape(row["second_moment"], (taps, taps)) == pytest.approx(
            scaled.T @ scaled / len(scaled), abs=1e-6
        )
        assert row["largest"] == pytest.approx(np.abs(filters).max(), rel=1e-6)
        statistics = FilterStatistics.of_layer(weight)
        assert np.array_equal(np.reshape(row["histograms"], (taps, 70)), statistics.histograms)
        assert np.array_equal(np.reshape(row["density"], (35, 35)), statistics.density)


def test_the_file_says_what_it_is(checkpoint: Path) -> None:
    schema = layers_of(context_for(checkpoint)).schema_arrow
    facts = json.loads(schema.metadata[METADATA_KEY])
    assert (facts["schema_version"], facts["model"], facts["revision"], facts["analysis"]) == (1, "m", "r", "filterdb")
    assert facts["params"] == {"sparsity_eps": 0.01}
    assert [field.name for field in schema] == [column.name for column in LAYER_COLUMNS]
    assert [field.metadata[b"meaning"].decode() for field in schema] == [column.meaning for column in LAYER_COLUMNS]


def test_every_column_is_in_the_schema_document() -> None:
    text = (ROOT / "docs/filter-db.md").read_text()
    for column in (*LAYER_COLUMNS, *FILTER_COLUMNS, *filter_columns_of((3, 3))):
        line = next(
            line for line in text.splitlines() if line.startswith(f"| `{column.name}` |") and column.meaning in line
        )
        assert line.split("|")[3].strip() == ("yes" if column.is_optional else "no")


def test_the_documented_way_to_a_basis_gives_that_of_the_analysis() -> None:
    context = context_for(packaged("facenet_pytorch", "data/onet.pt"))
    outcome = run(FilterdbSpec(), context)
    layers = pandas.read_parquet(context.workdir / "layers.parquet")
    text = (ROOT / "docs/filter-db.md").read_text()
    code = next(part.split("```")[0] for part in text.split("```python\n")[1:] if "linalg.eigh" in part.split("```")[0])
    names: dict[str, Any] = {"layers": layers}
    exec(code, names)
    shares = names["variances"][::-1] / names["variances"].sum()
    expected = [row[1] for row in outcome.tables["pca"].rows]
    assert shares == pytest.approx(expected, abs=1e-12)


def test_filters_come_back_as_they_were(checkpoint: Path) -> None:
    context = context_for(checkpoint)
    outcome = export(FilterExportSpec(), context)
    assert [artifact.name for artifact in outcome.artifacts] == ["filters-3x3.parquet", "filters-5x5.parquet"]
    assert outcome.summary["sentence"] == "80 filters of 3 layers were written (3 × 3, 5 × 5)."
    state = load_file(checkpoint)
    for artifact in outcome.artifacts:
        file = parquet.ParquetFile(context.workdir / artifact.path)
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group).to_pandas()
            (layer,) = set(rows["layer"])
            weight = state[layer]
            found = np.stack(list(rows["weights"])).reshape(weight.shape)
            assert np.array_equal(found, weight)
            assert list(rows["filter"]) == list(range(len(rows)))
            channels = ("in_channel", "out_channel") if layer.startswith("d") else ("out_channel", "in_channel")
            first, second = np.divmod(np.arange(len(rows)), weight.shape[1])
            assert np.array_equal(rows[list(channels)], np.stack([first, second], axis=1))


def test_an_export_can_be_folded_and_of_one_kernel(checkpoint: Path) -> None:
    context = context_for(checkpoint)
    outcome = export(FilterExportSpec(view="folded", kernels=("3 × 3",)), context)
    (artifact,) = outcome.artifacts
    rows = parquet.ParquetFile(context.workdir / artifact.path).read().to_pandas()
    assert dict(rows.groupby("view", observed=True).layer.first()) == {
        "folded": "a.0.weight",
        "stored": "d.deconv.weight",
    }
    folded = np.stack(list(rows[rows.view == "folded"].weights))
    state = load_file(checkpoint)
    assert folded == pytest.approx(-state["a.0.weight"].reshape(-1, 9) / np.sqrt(1 + 1e-5), rel=1e-6)
    with pytest.raises(UserError, match=r"No layer has '9x9' kernels\. This model has: 1x1, 3x3, 5x5\."):
        export(FilterExportSpec(kernels=("9x9",)), context_for(checkpoint))


def test_row_groups_of_large_layers_stay_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.filterdb.export._BLOCK_WEIGHTS", 9 * 100)
    save_file({"a.conv.weight": np.ones((16, 16, 3, 3), dtype=np.float32)}, tmp_path / "m.safetensors")
    context = context_for(tmp_path / "m.safetensors")
    export(FilterExportSpec(), context)
    file = parquet.ParquetFile(context.workdir / "filters-3x3.parquet")
    assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [100, 100, 56]
