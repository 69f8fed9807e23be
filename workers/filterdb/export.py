"""The filters of a model as Parquet files, one for each kernel, written layer by layer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow
from pyarrow import parquet

from workers.filterdb.analysis import convolutions, fold_in_place
from workers.filterdb.entries import FilterExportSpec
from workers.filterdb.layers_file import PARQUET
from workers.filterdb.tables import kernel_words
from workers.kit import Artifact, Context, ModelRef, Outcome, UserError
from workers.sources.layer_table import FILTER_SCHEMA_VERSION, filter_columns_of, schema_of
from workers.sources.layers import Layer, Weights, open_weights

# Filters a row group: what is held besides the layer stays below 16 MiB.
_BLOCK_WEIGHTS = 2**20


def run(spec: FilterExportSpec, context: Context) -> Outcome:
    """Write every filter of `context.model` to `filters-<kernel>.parquet`; row groups hold filters of one layer.

    One layer is in memory at a time. Raises UserError where no layer has one of the kernels, and as the filter analysis
    does for files that cannot be read.
    """
    model = context.model
    if model is None:
        raise UserError("The export of filters needs a model: choose one.")
    with open_weights(model) as weights:
        return _export(weights, model, spec=spec, context=context)


def _export(weights: Weights, model: ModelRef, *, spec: FilterExportSpec, context: Context) -> Outcome:
    layers = _chosen(convolutions(weights), spec.kernels)
    by_name = {layer.name: layer for layer in layers}
    filters = 0
    files: dict[tuple[int, ...], Path] = {}
    with ExitStack() as stack:
        writers: dict[tuple[int, ...], Any] = {}
        done = 0
        context.checkpoint(done, len(by_name))
        for layer, weight in weights.iter(list(by_name)):
            if layer.kernel not in writers:
                path = Path(context.workdir) / f"filters-{kernel_words(layer.kernel, 'x')}.parquet"
                schema = schema_of(filter_columns_of(layer.kernel), _facts(model, spec, layer.kernel))
                files[layer.kernel] = path
                writers[layer.kernel] = stack.enter_context(_writer(path, schema))
            is_folded = spec.view == "folded" and layer.batch_norm is not None
            if is_folded:
                fold_in_place(weights, layer, weight)
            filters += _write(writers[layer.kernel], layer, weight, view="folded" if is_folded else "stored")
            del weight  # before the next one is read
            done += 1
            context.checkpoint(done, len(by_name), layer.name)
    kernels = sorted(files)
    words = ", ".join(f"{kernel_words(kernel, ' × ')}" for kernel in kernels)
    sentence = f"{filters} filters of {len(layers)} layers were written ({words})."
    context.log(sentence)
    return Outcome(
        summary={"filters": filters, "layers": len(layers), "sentence": sentence},
        artifacts=tuple(
            Artifact(name=files[kernel].name, path=files[kernel].name, media_type=PARQUET) for kernel in kernels
        ),
        provenance={"view": spec.view, "weights": "as in the file, upcast to float32, not scaled"},
    )


def _writer(path: Path, schema: pyarrow.Schema) -> Any:
    # Weights hardly ever repeat: a dictionary of them, and their least and largest, would only cost memory.
    return parquet.ParquetWriter(
        path, schema, compression="zstd", use_dictionary=["layer", "view"], write_statistics=["layer", "view", "filter"]
    )


def _write(writer: Any, layer: Layer, weight: npt.NDArray[Any], *, view: str) -> int:
    for batch in filter_batches(layer, weight, view=view):
        writer.write_batch(batch, row_group_size=len(batch))
    outputs, inputs = weight.shape[:2]
    return int(outputs * inputs)


def _chosen(layers: Sequence[Layer], kernels: Sequence[str]) -> list[Layer]:
    known = {kernel_words(layer.kernel, "x") for layer in layers}
    wanted = {kernel.replace("×", "x").replace(" ", "") for kernel in kernels}
    if unknown := sorted(wanted - known):
        raise UserError(
            f"No layer has {unknown[0][:40]!r} kernels. This model has: {', '.join(sorted(known))}.", field="kernels"
        )
    found = [
        layer
        for layer in layers
        if (kernel_words(layer.kernel, "x") in wanted if wanted else math.prod(layer.kernel) > 1)
    ]
    if not found:
        raise UserError(
            "All convolutions of this model are 1 × 1, so it has no filters to export. Ask for the kernel 1x1 to have "
            "their weights.",
            field="kernels",
        )
    return found


def _facts(model: ModelRef, spec: FilterExportSpec, kernel: tuple[int, ...]) -> dict[str, Any]:
    return {
        "schema_version": FILTER_SCHEMA_VERSION,
        "model": model.name,
        "revision": model.revision,
        "kernel": list(kernel),
        "params": spec.model_dump(mode="json"),
    }


def filter_batches(layer: Layer, weight: npt.NDArray[Any], *, view: str) -> Iterator[pyarrow.RecordBatch]:
    """The filters of a (out, in, …) weight in the order of the file, some at a time."""
    taps = math.prod(layer.kernel)
    inputs = weight.shape[1]
    filters = weight.reshape(-1, taps)
    schema = schema_of(filter_columns_of(layer.kernel))
    step = max(1, _BLOCK_WEIGHTS // taps)
    for start in range(0, len(filters), step):
        block = np.ascontiguousarray(filters[start : start + step], dtype=np.float32)
        numbers = np.arange(start, start + len(block))
        outer, inner = (numbers // inputs).astype(np.int32), (numbers % inputs).astype(np.int32)
        channels = (inner, outer) if layer.is_transposed else (outer, inner)
        arrays = [
            _repeated(layer.name, len(block)),
            _repeated(view, len(block)),
            pyarrow.array(numbers),
            *(pyarrow.array(channel) for channel in channels),
            pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(block.ravel()), taps),
        ]
        yield pyarrow.RecordBatch.from_arrays(arrays, schema=schema)


def _repeated(text: str, times: int) -> pyarrow.DictionaryArray:
    return pyarrow.DictionaryArray.from_arrays(pyarrow.array(np.zeros(times, dtype=np.int32)), pyarrow.array([text]))
