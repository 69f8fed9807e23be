"""What the site knows of the transferability analysis and its metrics without loading them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from workers.kit import ANALYSES, METRICS, DatasetRef, JobEntry, MetricEntry, ModelRef, Spec, UserError
from workers.sources.entries import features_fit


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


class LogmeParams(Spec):
    """Parameters of LogME.

    variant  "converged": the maximum of the evidence, exact for every N and D;
             "eleven_steps": the published fixed-point iteration with its stopping rule and constants, unscaled features
    """

    variant: Literal["converged", "eleven_steps"] = "converged"


class KnnParams(Spec):
    """Parameters of the leave-one-out nearest-neighbour accuracy: `k` neighbours vote."""

    k: int = Field(5, ge=1)


def fits(model: ModelRef | None, dataset: DatasetRef | None) -> str | None:
    """None if features of the data set under the model can be scored, else the sentence that says why not."""
    if model is None or dataset is None:
        return "Transferability needs a model and a data set: choose both."
    if len(dataset.classes) == 1:
        return (
            "This data set has one class only, so there is nothing to tell apart: choose one with two classes or more."
        )
    return features_fit(model, dataset)


METRICS.add(
    MetricEntry(
        name="logme",
        title="LogME",
        meaning="Log evidence per sample that a linear model on the features explains the labels, mean over classes.",
        target="workers.transferability.logme:METRIC",
        params=LogmeParams,
        paper="You et al., ICML 2021, arXiv 2102.11005; JMLR 2022, arXiv 2110.10545",
    )
)
METRICS.add(
    MetricEntry(
        name="regularised_h_score",
        title="Regularised H-score",
        meaning="How far the class means lie apart, against the spread of the features (Ledoit-Wolf covariance).",
        target="workers.transferability.h_score:METRIC",
        paper="Ibrahim et al., 2021, arXiv 2110.06893; Bao et al., ICIP 2019",
        range="[0, inf)",
    )
)
METRICS.add(
    MetricEntry(
        name="knn",
        title="Leave-one-out kNN",
        meaning="Share of the samples whose nearest neighbours among all other samples vote for the right class.",
        target="workers.transferability.neighbours:METRIC",
        params=KnnParams,
        paper="Leave-one-out accuracy as a transferability score: arXiv 2503.18528",
        range="[0, 1]",
        cost="medium",
    )
)
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
