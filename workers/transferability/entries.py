"""What the site knows of the transferability analysis and its metrics without loading them."""

from __future__ import annotations

from pydantic import Field, field_validator

from workers.kit import ANALYSES, METRICS, DatasetRef, JobEntry, ModelRef, Spec, UserError
from workers.sources.entries import features_fit
from workers.transferability import metric_entries


class TransferabilitySpec(Spec):
    """Parameters of the transferability analysis.

    metrics       names in METRICS, each with its default parameters
    half_samples  stratified half-samples behind each interval (delete-half jackknife)
    """

    metrics: tuple[str, ...] = ("logme", "regularised_h_score", "knn")
    half_samples: int = Field(40, ge=2, le=1000)

    @field_validator("metrics")
    @classmethod
    def _known_once(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        if not metrics:
            raise ValueError("choose at least one metric")
        if len(set(metrics)) < len(metrics):
            raise ValueError("name each metric once")
        for name in metrics:
            try:
                METRICS.get(name)
            except UserError as error:
                raise ValueError(error.message) from None
        return metrics


def fits(model: ModelRef | None, dataset: DatasetRef | None) -> str | None:
    """None if features of the data set under the model can be scored, else the sentence that says why not."""
    if model is None or dataset is None:
        return "Transferability needs a model and a data set: choose both."
    if len(dataset.classes) == 1:
        return (
            "This data set has one class only, so there is nothing to tell apart: choose one with two classes or more."
        )
    return features_fit(model, dataset)


for _entry in metric_entries.ENTRIES:
    METRICS.add(_entry)
ANALYSES.add(
    JobEntry(
        name="transferability",
        title="Transferability",
        meaning="Scores how well a model's frozen features separate the classes of a data set, with intervals.",
        target="workers.transferability.analysis:run",
        params=TransferabilitySpec,
        paper="LogME, regularised H-score and leave-one-out kNN: see each metric",
        needs=("model", "dataset"),
        waits_for="features",
        waits_for_params=lambda spec: {},
        fits=fits,
    )
)
