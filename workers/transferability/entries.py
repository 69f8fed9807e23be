"""What the site knows of the transferability analysis and its metrics without loading them."""

from __future__ import annotations

import json
from typing import Any

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from workers.kit import ANALYSES, METRICS, DatasetRef, JobEntry, ModelRef, Spec, UserError
from workers.sources.entries import encoding_fit
from workers.transferability import metric_entries


class TransferabilitySpec(Spec):
    """Parameters of the transferability analysis.

    metrics       names in METRICS
    half_samples  half-samples behind each interval (delete-half jackknife), stratified by class
    params        by metric, parameters that are not its defaults, e.g. {"knn": {"k": 1}}
    """

    metrics: tuple[str, ...] = ("logme", "regularised_h_score", "h_score", "nce", "knn")
    half_samples: int = Field(40, ge=2, le=1000)
    params: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        title="Parameters of metrics",
        description='JSON by metric, for what is not to be the default: {"knn": {"k": 1}}.',
        exclude_if=lambda given: not given,
    )

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

    @field_validator("params", mode="before")
    @classmethod
    def _read(cls, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        try:
            return json.loads(given or "{}")
        except json.JSONDecodeError as error:
            raise ValueError(f"this is not JSON ({error.msg})") from None

    @field_validator("params")
    @classmethod
    def _changed(cls, given: dict[str, dict[str, Any]], info: ValidationInfo) -> dict[str, dict[str, Any]]:
        changed = {}
        for name, values in given.items():
            if name not in info.data.get("metrics", ()):
                raise ValueError(f"parameters are given for {name!r}, which is not among the metrics")
            entry = METRICS.get(name)
            try:
                full = entry.params(**values).model_dump(mode="json")
            except ValidationError as error:
                problem = error.errors(include_url=False)[0]
                where = ".".join(str(part) for part in problem["loc"]) or "parameters"
                known = ", ".join(entry.params.model_fields) or "none"
                raise ValueError(f"{entry.title}, {where}: {problem['msg']} (it takes: {known})") from None
            usual = entry.params().model_dump(mode="json")
            if kept := {key: value for key, value in full.items() if value != usual[key]}:
                changed[name] = kept
        return changed

    def params_of(self, name: str) -> dict[str, Any]:
        """All parameters of one of the metrics, defaults included."""
        found: dict[str, Any] = METRICS.get(name).params(**self.params.get(name, {})).model_dump()
        return found


TASK_WORDS = {"classification": "classes", "multi-label": "several labels a row", "regression": "numbers"}


def fits(model: ModelRef | None, dataset: DatasetRef | None) -> str | None:
    """None if features of the data set under the model can be scored, else the sentence that says why not."""
    if model is None or dataset is None:
        return "Transferability needs a model and a data set: choose both."
    if len(dataset.classes) == 1 and dataset.config.get("task", "classification") == "classification":
        return (
            "This data set has one class only, so there is nothing to tell apart: choose one with two classes or more."
        )
    return encoding_fit(model, dataset)


for _entry in metric_entries.ENTRIES:
    METRICS.add(_entry)
ANALYSES.add(
    JobEntry(
        name="transferability",
        title="Transferability",
        meaning="Scores how well a model's frozen features fit the labels of a data set, with intervals.",
        target="workers.transferability.analysis:run",
        version="3",
        params=TransferabilitySpec,
        paper="LogME, regularised H-score and leave-one-out kNN: see each metric",
        needs=("model", "dataset"),
        waits_for="features",
        waits_for_params=lambda spec: {},
        fits=fits,
    )
)
