"""The columns of the Parquet files of convolution layers and of their filters: names, types, meanings. Free of torch.

The workers write such files and the site hands them out, so both read the schema here; `docs/filter-db.md` shows it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow

LAYER_SCHEMA_VERSION = 1
FILTER_SCHEMA_VERSION = 1
METADATA_KEY = b"hubscope"

_TEXT, _REAL, _WHOLE, _FLAG = pyarrow.string(), pyarrow.float64(), pyarrow.int64(), pyarrow.bool_()


@dataclass(frozen=True)
class Column:
    """A column of such a file: its meaning in one sentence, and whether it may be null."""

    name: str
    type: pyarrow.DataType
    meaning: str
    is_optional: bool = False


LAYER_COLUMNS = (
    Column("model", _TEXT, "Name of the model in the catalogue."),
    Column("revision", _TEXT, "Digest of the model revision."),
    Column("analysis_version", _TEXT, "Version of the analysis that measured the layer."),
    Column("layer", _TEXT, "Name of the weight tensor in its file."),
    Column("view", _TEXT, "stored: weights as in the file; folded: multiplied by the scale of their batch norm."),
    Column("kind", _TEXT, "conv1d, conv2d or conv3d."),
    Column("kernel", pyarrow.list_(pyarrow.int32()), "Sizes of the kernel, e.g. [3, 3]."),
    Column("shape", pyarrow.list_(_WHOLE), "Shape of the weight tensor in its file."),
    Column("dtype", _TEXT, "Number type in the file."),
    Column("position", _WHOLE, "Place of the layer among all layers of the model, from 0."),
    Column("depth", _REAL, "From 0 (first convolution) to 1 (last)."),
    Column("depth_source", _TEXT, "graph where the file holds one, else module order."),
    Column("is_depthwise", _FLAG, "Whether each input channel has filters of its own."),
    Column("is_transposed", _FLAG, "Whether it is a transposed convolution."),
    Column("groups", _WHOLE, "Groups of channels; null where the file does not say.", is_optional=True),
    Column("filters", _WHOLE, "Number n of filters (kernels of one output and one input channel)."),
    Column("sparsity", _REAL, "Share of filters whose weights all lie below sparsity_eps × the layer's largest."),
    Column("variance_entropy", _REAL, "−Σ p log10 p of the variance shares of the raw filters.", is_optional=True),
    Column("randomness_threshold", _REAL, "Least variance entropy of random layers of n filters.", is_optional=True),
    Column("threshold_source", _TEXT, "Where that threshold comes from.", is_optional=True),
    Column("variance_entropy_normalised", _REAL, "variance_entropy / randomness_threshold.", is_optional=True),
    Column("clean_variance_entropy", _REAL, "The entropy without the sparse filters.", is_optional=True),
    Column("orthogonality", _REAL, "1 where all output channels are orthogonal, 0 where parallel.", is_optional=True),
    Column("norm_l1", _REAL, "Sum of the absolute weights."),
    Column("norm_l2", _REAL, "Root of the sum of the squared weights."),
    Column("verdict", _TEXT, "healthy, random, sparse, redundant or not assessable."),
    Column("rule", _TEXT, "The rule that decided the verdict, in words."),
    Column("is_degenerate", _FLAG, "The supplement's combined criterion.", is_optional=True),
    Column("sparsity_eps", _REAL, "The parameter of the sparsity."),
    Column(
        "basis_version",
        _WHOLE,
        "Version of the histograms' basis and bins; this and all columns below are null where no statistics are kept.",
        is_optional=True,
    ),
    Column("largest", _REAL, "Largest absolute weight, before scaling.", is_optional=True),
    Column("sparse_filters", _WHOLE, "Number of sparse filters.", is_optional=True),
    Column("mean", pyarrow.list_(_REAL), "Mean of the scaled filters, row-major (k values).", is_optional=True),
    Column(
        "second_moment",
        pyarrow.list_(_REAL),
        "Mean outer product of the scaled filters, row-major (k × k values).",
        is_optional=True,
    ),
    Column(
        "histograms",
        pyarrow.list_(_WHOLE),
        "Counts of the k DCT coefficients over 70 equal bins on [−√k, √k], coefficient by coefficient.",
        is_optional=True,
    ),
    Column(
        "density",
        pyarrow.list_(_WHOLE),
        "Joint counts of the first two DCT coefficients over 35 × 35 equal bins, row-major; null for one weight.",
        is_optional=True,
    ),
)

# The weights follow as a column "weights" whose type depends on the kernel.
FILTER_COLUMNS = (
    Column("layer", pyarrow.dictionary(pyarrow.int32(), _TEXT), "Name of the weight tensor in its file."),
    Column("view", pyarrow.dictionary(pyarrow.int32(), _TEXT), "stored or folded, as asked for."),
    Column("filter", _WHOLE, "Number of the filter within its layer, from 0."),
    Column("out_channel", pyarrow.int32(), "Output channel; of a transposed convolution within its group."),
    Column("in_channel", pyarrow.int32(), "Input channel within its group; of a transposed convolution among all."),
)


def filter_columns_of(kernel: tuple[int, ...]) -> tuple[Column, ...]:
    """The columns of a file of filters of one kernel."""
    taps = 1
    for size in kernel:
        taps *= size
    weights = pyarrow.list_(pyarrow.float32(), taps)
    return (*FILTER_COLUMNS, Column("weights", weights, "The weights of the filter, row-major, not scaled."))


def schema_of(columns: tuple[Column, ...], facts: Mapping[str, Any] | None = None) -> pyarrow.Schema:
    """The columns as a pyarrow schema, each with its meaning; `facts` go to the file's metadata as JSON."""
    fields = [
        pyarrow.field(column.name, column.type, nullable=column.is_optional, metadata={"meaning": column.meaning})
        for column in columns
    ]
    return pyarrow.schema(fields, metadata={METADATA_KEY: json.dumps(dict(facts or {}), ensure_ascii=False).encode()})


def schema_document(columns: tuple[Column, ...]) -> list[dict[str, Any]]:
    """The columns as plain values: name, type, whether null is allowed, meaning."""
    return [
        {
            "name": column.name,
            "type": str(column.type),
            "is_optional": column.is_optional,
            "meaning": column.meaning,
        }
        for column in columns
    ]
