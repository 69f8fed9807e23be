"""What the site knows of the filter analysis, and of the export of filters, without loading them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from workers.kit import ANALYSES, DatasetRef, JobEntry, ModelRef, Spec
from workers.sources.layer_kinds import CONVOLUTIONS, kind_of

VERSION = "2"
NO_FILTERS = (
    "This model has no convolution with floating-point weights, so it has no filters to analyse. Its weight report "
    "looks at matrices of every kind: run that one."
)


class FilterdbSpec(Spec):
    """Parameters of the filter analysis.

    sparsity_eps  a filter counts as sparse if all its weights lie below this share of the layer's largest weight
    """

    sparsity_eps: float = Field(0.01, gt=0, lt=1)


class FilterExportSpec(Spec):
    """Parameters of the export of filters.

    view     weights as stored, or with the batch norms folded in
    kernels  which kernels ("3x3", "7"); all of more than one weight if empty
    """

    view: Literal["stored", "folded"] = "stored"
    kernels: tuple[str, ...] = ()


def fits(model: ModelRef | None, dataset: DatasetRef | None) -> str | None:
    """None if the model has a convolution with floating-point weights, else the sentence that says what is missing."""
    if model is None:
        return "The filter analysis needs a model: choose one."
    if not model.files and model.hub is None:
        return "This model has no weight files here, so its filters cannot be read."
    kinds = (kind_of(name, shape, dtype)[0] for name, (shape, dtype) in model.tensors.items())
    if not any(kind in CONVOLUTIONS.values() for kind in kinds):
        return NO_FILTERS
    return None


ANALYSES.add(
    JobEntry(
        name="filterdb",
        title="Filter DB",
        meaning="Looks at every convolution filter of a model and says which layers are random, sparse or redundant.",
        target="workers.filterdb.analysis:run",
        version=VERSION,
        params=FilterdbSpec,
        paper="Gavrikov and Keuper, CVPR 2022, arXiv 2203.15331",
        needs=("model",),
        reads_by_range=True,
        fits=fits,
    )
)
ANALYSES.add(
    JobEntry(
        name="filters_export",
        title="Filters as Parquet",
        meaning="Writes every convolution filter of a model to Parquet files, one for each kernel size.",
        target="workers.filterdb.export:run",
        params=FilterExportSpec,
        needs=("model",),
        reads_by_range=True,
        fits=fits,
    )
)
