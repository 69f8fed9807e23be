"""The published tables that come with Hubscope, read once a process."""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path

from hubapp.results.evidence.records import METRIC_NAMES, Record, Source

DATA = Path(__file__).with_name("data")
TITLES = {
    "sfda_cnn": "11 supervised ImageNet CNNs (SFDA)",
    "sfda_ssl": "12 self-supervised ResNet-50s (SFDA)",
    "emms_vit": "13 vision transformers (EMMS)",
    "model_spider": "10 ImageNet CNNs with the scores of nine metrics (Model Spider)",
}
LICENCES = {"zhangyikaii/Model-Spider": "MIT"}


@lru_cache(maxsize=1)
def shipped_records() -> tuple[Record, ...]:
    """Every row of the shipped files, with the metrics' scores where they are published."""
    scores: dict[tuple[str, str], dict[str, float]] = {}
    with (DATA / "model_spider_scores.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            key = row.pop("Dataset"), row.pop("Model")
            scores[key] = {METRIC_NAMES[name]: float(value) for name, value in row.items()}
    records = []
    with (DATA / "finetune_accuracy.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            repository = row["source_repository"]
            is_scored = row["table"] == "model_spider"
            records.append(
                Record(
                    table=row["table"],
                    data_set=row["data_set"],
                    model=row["model"],
                    regime=row["regime"],
                    unit=row["unit"],
                    value=float(row["value"]),
                    source=Source(
                        repository=repository,
                        path=row["source_path"],
                        commit=row["source_commit"],
                        licence=LICENCES.get(repository, ""),
                    ),
                    scores=scores.get((row["data_set"], row["model"]), {}) if is_scored else {},
                )
            )
    return tuple(records)
