"""What the site knows of the weight reports without loading them."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from workers.kit import ANALYSES, DatasetRef, JobEntry, ModelRef, Spec
from workers.sources.layer_kinds import kind_of

NO_MATRICES = "This model has no weight matrix of floating-point numbers, so there is nothing to report on."


class WeightsSpec(Spec):
    """Parameters of the weight report.

    sparsity_eps  a weight counts as near zero below this share of its tensor's largest absolute weight
    """

    sparsity_eps: float = Field(0.01, gt=0, lt=1)


class WeightDifferenceSpec(Spec):
    """Parameters of the difference of weights.

    base  the model that this one was made from, or an earlier revision of it ("name", "name@revision")
    """

    base: str = ""
    model_fields_of: ClassVar[tuple[str, ...]] = ("base",)


def fits(model: ModelRef | None, dataset: DatasetRef | None) -> str | None:
    """None if the model has a matrix of floating-point weights beyond norms, else the sentence that says why not."""
    if model is None:
        return "A weight report needs a model: choose one."
    if not model.files and model.hub is None:
        return "This model has no weight files here, so its weights cannot be read."
    if not any(kind_of(name, tuple(shape), dtype)[0] for name, (shape, dtype) in model.tensors.items()):
        return NO_MATRICES
    return None


WEIGHTS = ANALYSES.add(
    JobEntry(
        name="weights",
        title="Weight report",
        meaning=(
            "Reads every weight matrix of a model, without any data: its spectrum, what low rank would save, which "
            "blocks are alike, how its experts differ."
        ),
        target="workers.weights.analysis:run",
        params=WeightsSpec,
        paper="Martin, Peng and Mahoney, Nature Communications 2021, arXiv 2002.06716",
        needs=("model",),
        reads_by_range=True,
        time_limit_seconds=6 * 3600,
        fits=fits,
    )
)
WEIGHT_DIFFERENCE = ANALYSES.add(
    JobEntry(
        name="weight_difference",
        title="Difference of weights",
        meaning=(
            "Compares a model with its base, or with an earlier revision, layer by layer: how much changed, in which "
            "direction, and at which rank."
        ),
        target="workers.weights.difference_analysis:run",
        params=WeightDifferenceSpec,
        needs=("model",),
        reads_by_range=True,
        time_limit_seconds=6 * 3600,
        fits=fits,
    )
)
