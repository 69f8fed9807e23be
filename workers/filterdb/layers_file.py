"""The Parquet file of a model's convolution layers: a row for each layer and view, with its statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from workers.filterdb.entries import VERSION, FilterdbSpec
from workers.filterdb.layer_store import VIEWS, LayerResult
from workers.filterdb.tables import layer_values
from workers.kit import ModelRef
from workers.sources.layer_table import LAYER_COLUMNS, LAYER_SCHEMA_VERSION, schema_of
from workers.sources.layers import Layer
from workers.statistics.filter_sums import BASIS_VERSION, FilterStatistics

LAYERS_FILE = "layers.parquet"
PARQUET = "application/vnd.apache.parquet"
# A row of a 7 × 7 kernel takes about 60 kB before it is compressed.
_ROWS = 128


def write_layers(
    path: Path,
    *,
    model: ModelRef,
    spec: FilterdbSpec,
    layers: Sequence[Layer],
    results: Mapping[str, LayerResult],
) -> None:
    """Write the file, some layers at a time; its metadata holds the schema's version and where the rows come from."""
    facts = {
        "schema_version": LAYER_SCHEMA_VERSION,
        "model": model.name,
        "revision": model.revision,
        "analysis": "filterdb",
        "analysis_version": VERSION,
        "params": spec.model_dump(mode="json"),
    }
    schema = schema_of(LAYER_COLUMNS, facts)
    common = {
        "model": model.name,
        "revision": model.revision,
        "analysis_version": VERSION,
        "sparsity_eps": spec.sparsity_eps,
    }
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, len(layers), _ROWS):
            rows = [
                common | layer_values(layer, view, found) | _sums(found.statistics)
                for layer in layers[start : start + _ROWS]
                for view in VIEWS
                if (found := results[layer.name].views.get(view)) is not None
            ]
            writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))


def _sums(statistics: FilterStatistics | None) -> dict[str, Any]:
    if statistics is None:
        return {}
    return {
        "basis_version": BASIS_VERSION,
        "largest": statistics.largest,
        "sparse_filters": statistics.n_sparse,
        "mean": statistics.mean.ravel(),
        "second_moment": statistics.second_moment.ravel(),
        "histograms": statistics.histograms.ravel(),
        "density": statistics.density.ravel(),
    }
