"""One measured accuracy, wherever it comes from, and the tables that records make."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from workers.statistics.evidence import EvidenceTable

REGIMES = {
    "full": "all weights fine-tuned",
    "frozen": "head alone trained, features frozen",
    "as_is": "evaluated as it is",
}
UNITS = {
    "accuracy_percent": "accuracy in %",
    "accuracy": "accuracy",
    "negative_error": "error, negated",
    "mean_iou": "mean IoU",
    "caption_score": "caption score",
    "oracle": "accuracy or AP in %",
}
# What published tables call the metrics that are registered here. Other definitions under the same name stay apart:
# "LEEP" without its logarithm is not ours, PACTran with a Dirichlet prior is not PACTran-Gauss.
METRIC_NAMES = {
    "H-Score": "h_score",
    "LEEP": "leep",
    "LogME": "logme",
    "NCE": "nce",
    "NLEEP": "nleep",
    "OTCE": "otce",
    "PACTranDirichlet": "pactran_dirichlet",
    "GBC": "gbc",
    "LFC": "lfc",
    "leep": "leep",
    "nleep": "nleep",
    "logme": "logme",
    "gbc": "gbc",
    "nce": "nce",
    "lfc": "lfc",
    "h_score": "h_score",
    "hscore_score": "h_score",
    "reg_hscore_score": "regularised_h_score",
    "nce_score": "nce",
    "leep_score": "leep",
    "nleep_score": "nleep",
    "parc_score": "parc",
    "sfda_score": "sfda",
    "logme_score": "logme",
    "gbc_score": "gbc",
    "pactran_score": "pactran_dirichlet",
    "etran_energy_score": "etran_published",
    "ncti_score": "ncti_published",
    "tmi_score": "tmi",
    "imagenet": "imagenet_top1",
}
TITLES = {
    "otce": "OTCE",
    "pactran_dirichlet": "PACTran, Dirichlet prior",
    "etran_published": "ETran, combined over its hub",
    "ncti_published": "NCTI, combined over its hub",
    "tmi": "TMI",
    "imagenet_top1": "ImageNet top-1 accuracy",
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a table was read from."""

    repository: str
    path: str
    commit: str = ""
    licence: str = ""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One model on one data set.

    regime  a key of REGIMES
    unit    a key of UNITS; higher is better in all of them
    scores  of metrics, by name, as published: higher predicts better
    repeats "table / data set" of the same numbers under another name, where that is so; left out of every reckoning
    """

    table: str
    data_set: str
    model: str
    regime: str
    unit: str
    value: float
    source: Source
    scores: Mapping[str, float] = field(default_factory=dict)
    repeats: str = ""


def tables_of(records: Iterable[Record]) -> list[EvidenceTable]:
    """The records as matrices, one for each table, regime and unit; repeated ones are left out."""
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        if not record.repeats and math.isfinite(record.value):
            groups.setdefault((record.table, record.regime, record.unit), []).append(record)
    several: dict[str, int] = {}
    for name, _, _ in groups:
        several[name] = several.get(name, 0) + 1
    return [
        _table(name if several[name] == 1 else f"{name} ({regime}, {UNITS.get(unit, unit)})", rows)
        for (name, regime, unit), rows in groups.items()
    ]


def _table(name: str, rows: list[Record]) -> EvidenceTable:
    models = tuple(dict.fromkeys(row.model for row in rows))
    data_sets = tuple(dict.fromkeys(row.data_set for row in rows))
    place = {model: i for i, model in enumerate(models)}
    column = {data_set: k for k, data_set in enumerate(data_sets)}
    accuracy = np.full((len(models), len(data_sets)), np.nan)
    scores: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = {}
    for row in rows:
        at = place[row.model], column[row.data_set]
        accuracy[at] = row.value
        for metric, value in row.scores.items():
            scores.setdefault(metric, np.full_like(accuracy, np.nan))[at] = value
    return EvidenceTable(name=name, models=models, data_sets=data_sets, accuracy=accuracy, scores=scores)
