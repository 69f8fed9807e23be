"""What the site knows of the filter analysis without loading it."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from workers.kit import ANALYSES, DatasetRef, JobEntry, ModelRef, Spec


class FilterdbSpec(Spec):
    """Parameters of the filter analysis.

    sparsity_eps  a filter counts as sparse if all its weights lie below this share of the layer's largest weight
    """

    sparsity_eps: float = Field(0.01, gt=0, lt=1)


def is_filter_layer(shape: Sequence[int], dtype: str) -> bool:
    """True for a floating-point weight of 3 × 3 kernels, (out, in/groups, 3, 3)."""
    return len(shape) == 4 and tuple(shape[2:]) == (3, 3) and dtype.startswith(("float", "bfloat"))


def fits(model: ModelRef | None, dataset: DatasetRef | None) -> str | None:
    """None if the model has a 3 × 3 convolution, else the sentence that says what is missing."""
    if model is None:
        return "The filter analysis needs a model: choose one."
    if not model.files:
        return "This model has no weight files here, so its filters cannot be read."
    if not any(is_filter_layer(shape, dtype) for shape, dtype in model.tensors.values()):
        return "This model has no 3 × 3 convolution, so it has no filters to analyse."
    return None


ANALYSES.add(
    JobEntry(
        name="filterdb",
        title="Filter DB",
        meaning="Looks at every 3 × 3 filter of a model and says which layers are random, sparse or redundant.",
        target="workers.filterdb.analysis:run",
        params=FilterdbSpec,
        paper="Gavrikov and Keuper, CVPR 2022, arXiv 2203.15331",
        needs=("model",),
        fits=fits,
    )
)
