"""Probabilities of source classes or mixture components: their check, and what LEEP and N-LEEP make of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from workers.kit import UserError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# float16 sums of a thousand probabilities are off by about this much.
_SUM_TOLERANCE = 0.02


def checked_probabilities(values: npt.ArrayLike, rows: int) -> Floats:
    """(N, S) probabilities as float64 whose rows sum to 1 exactly.

    Raises UserError for another shape, values below 0 or not finite, and rows that do not sum to about 1 (logits).
    """
    given: npt.NDArray[Any] = np.asarray(values)
    if given.ndim != 2 or given.shape[0] != rows or given.shape[1] < 1 or given.dtype.kind not in "biuf":
        raise UserError(
            f"Source probabilities must be a table of numbers with {rows} rows, not {given.dtype} {given.shape}.",
            field="source_probabilities",
        )
    table = given.astype(np.float64)
    if not np.isfinite(table).all() or (table < 0).any():
        raise UserError(
            "Source probabilities hold values that are negative or not finite: apply the softmax to the logits first.",
            field="source_probabilities",
        )
    sums = table.sum(axis=1)
    if np.abs(sums - 1).max() > _SUM_TOLERANCE:
        raise UserError(
            "The source probabilities of a row do not sum to 1: apply the softmax to the logits first.",
            field="source_probabilities",
        )
    return np.asarray(table / sums[:, None])


def source_probabilities(logits: npt.NDArray[Any]) -> Floats:
    """(N, S) softmax of the source classifier's logits, in float64."""
    values = np.asarray(logits, dtype=np.float64)
    values = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(values / values.sum(axis=1, keepdims=True))


def expected_log_likelihoods(probabilities: Floats, codes: Ints, classes: int) -> Floats:
    """(N,) log Σ_z P(y_n | z) θ(x_n)_z with P(y | z) estimated on the same rows: LEEP's terms, 2 N S operations.

    A component without any mass adds nothing (the limit of 0/0 here), where the published code gives NaN. Source:
    Nguyen et al. 2020, equations 1 and 2.
    """
    rows = len(codes)
    joint = np.zeros((classes, probabilities.shape[1]))
    np.add.at(joint, codes, probabilities)
    marginal = joint.sum(axis=0)
    conditional = np.divide(joint, marginal, out=np.zeros_like(joint), where=marginal > 0)
    terms = np.empty(rows)
    for code in range(classes):
        members = codes == code
        terms[members] = probabilities[members] @ conditional[code]
    return np.asarray(np.log(terms))
