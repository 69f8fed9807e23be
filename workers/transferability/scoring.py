"""Score features by the name of a metric."""

from __future__ import annotations

import math
from typing import Any

import numpy.typing as npt
from pydantic import ValidationError

from workers.kit import METRICS, UserError


def score(
    name: str,
    features: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    source_probabilities: npt.ArrayLike | None = None,
    seed: int = 0,
    **params: Any,
) -> float:
    """The transferability score of frozen features under the metric `name` of METRICS.

    features              (N, D), any real dtype, left unchanged
    labels                (N,) class labels; gaps and names do not matter
    source_probabilities  (N, S), for metrics that need the source classifier's probabilities
    params                as the metric's Entry declares them

    Raises UserError for an unknown metric, unknown or wrong parameters, and inputs on which the metric has no meaning.
    """
    entry = METRICS.get(name)
    try:
        checked = entry.params(**params)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"]) or None
        raise UserError(f"{entry.title}: {where or 'parameters'}: {problem['msg']}.", field=where) from None
    arguments = {parameter: getattr(checked, parameter) for parameter in type(checked).model_fields}
    if "source_probabilities" in entry.needs:
        if source_probabilities is None:
            raise UserError(f"{entry.title} needs the source classifier's probabilities.", field="source_probabilities")
        arguments["source_probabilities"] = source_probabilities
    value = float(entry.load()(features, labels, seed=seed, **arguments))
    if not math.isfinite(value):
        raise UserError(f"{entry.title} has no finite value on these features.")
    return value
