"""What this room adds to the registry of analyses. Free of torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from workers.kit import (
    ANALYSES,
    DATASET_SOURCES,
    LOADERS,
    DatasetRef,
    JobEntry,
    ModelRef,
    NoParams,
    Spec,
)
from workers.sources.protocols import Reading

MODALITY_PLURALS = {
    "image": "images",
    "text": "texts",
    "series": "series",
    "audio": "recordings",
    "table": "rows of a table",
}


class FeaturesSpec(Spec):
    """Parameters of the analysis "features": how the model is read, see `workers.sources.protocols.Reading`.

    layer       "penultimate": what the last classifying layer reads; or a name that the model's encoder offers
    pooling     "default", "mean", "cls", "max", or "tokens": one vector for each patch, frame or token
    precision   "auto": half precision on a GPU, float32 on a CPU
    batch_size  rows per forward pass, 0: found by itself; it changes speed and memory, not which features are stored
    """

    layer: str = Field(default="penultimate", min_length=1, max_length=200, title="Layer")
    pooling: Literal["default", "mean", "cls", "max", "tokens"] = Field(default="default", title="Pooling")
    precision: Literal["auto", "float32", "float16", "bfloat16"] = Field(default="auto", title="Precision")
    batch_size: int = Field(default=0, ge=0, le=4096, title="Rows per batch (0 = by itself)")

    @property
    def reading(self) -> Reading:
        """How the encoder is to be opened."""
        return Reading(layer=self.layer, pooling=self.pooling, precision=self.precision)


def _plural(modality: str) -> str:
    return MODALITY_PLURALS.get(modality, f"{modality} data" if modality else "something of unknown kind")


def encoding_fit(model: ModelRef | None, dataset: DatasetRef | None) -> str | None:
    """Why features of this model on this data set cannot be computed, in one sentence; None if they can."""
    if model is not None:
        if not model.loader:
            return "No loader can run this model (weights only), so it has no features."
        if model.loader not in LOADERS:
            return (
                f"This model asks for the loader {model.loader!r}, which is not installed here, so it has no features."
            )
        if not model.files and LOADERS.get(model.loader).needs_weights:
            return "This model has no weight files, so it cannot be run."
    if dataset is not None and dataset.source not in DATASET_SOURCES:
        return f"The data set's source {dataset.source!r} is not installed here, so it cannot be read."
    if model is None or dataset is None:
        return None
    reads = LOADERS.get(model.loader).modality or model.modality
    holds = DATASET_SOURCES.get(dataset.source).modality or dataset.modality
    if reads != holds:
        return f"This model reads {_plural(reads)}, the data set holds {_plural(holds)}."
    return None


FEATURES = ANALYSES.add(
    JobEntry(
        name="features",
        title="Features",
        meaning="Runs every row of a data set through a frozen model and keeps the vectors its last layer would read.",
        target="workers.sources.features:run",
        params=FeaturesSpec,
        version="3",
        queue="gpu",
        needs=("model", "dataset"),
        fits=encoding_fit,
    )
)
ANALYSES.add(
    JobEntry(
        name="dataset_profile",
        title="Data set profile",
        meaning="Reads a data set once and reports its rows, classes, duplicates and imbalance.",
        target="workers.sources.datasets.profile:run",
        params=NoParams,
        queue="housekeeping",
        needs=("dataset",),
        time_limit_seconds=900,
    )
)
