"""What can be run on a model, and on which data sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hubapp.catalog.models import Dataset
from hubapp.catalog.selectors import Fit
from workers.kit import JobEntry


@dataclass(frozen=True, kw_only=True)
class AnalysisRow:
    """A data set with what can run on the model's features of it; `reason` where one sentence speaks for the row."""

    dataset: Dataset
    fits: Sequence[Fit]
    reason: str


@dataclass(frozen=True, kw_only=True)
class AnalysisMatrix:
    """Everything that can or cannot be run on a model; `reason` where one sentence speaks for every data set."""

    of_model: Sequence[Fit]
    entries: Sequence[JobEntry]
    rows: Sequence[AnalysisRow]
    reason: str


def analysis_matrix(fits: Sequence[Fit], datasets: Sequence[Dataset]) -> AnalysisMatrix:
    """The fits of one model by data set: those that fit come first, the rest with their reasons."""
    of_model = [fit for fit in fits if fit.dataset is None]
    by_dataset: dict[str, list[Fit]] = {}
    for fit in fits:
        if fit.dataset is not None and fit.model is not None:
            by_dataset.setdefault(fit.dataset.name, []).append(fit)
    rows = []
    for dataset in datasets:
        own = by_dataset.get(dataset.slug, [])
        reasons = {fit.reason for fit in own}
        shared = next(iter(reasons)) if len(reasons) == 1 else None
        rows.append(AnalysisRow(dataset=dataset, fits=own, reason=shared or ""))
    rows.sort(key=lambda row: bool(row.reason))
    entries = [fit.entry for fit in rows[0].fits] if rows else []
    shared_reasons = {row.reason for row in rows}
    return AnalysisMatrix(
        of_model=of_model,
        entries=entries,
        rows=rows,
        reason=next(iter(shared_reasons)) if len(shared_reasons) == 1 else "",
    )


def fit_json(fit: Fit) -> dict[str, Any]:
    """One fit for a twin."""
    return {
        "analysis": fit.entry.name,
        "model": fit.model.name if fit.model else None,
        "dataset": fit.dataset.name if fit.dataset else None,
        "fits": fit.is_fit,
        "reason": fit.reason,
    }
