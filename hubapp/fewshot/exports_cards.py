"""Few-shot scores of one model in the forms that hubs read: `model-index` of a card, and `.eval_results` files.

Made by huggingface_hub's own classes, so that it reads them back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml
from huggingface_hub import EvalResult, EvalResultEntry, ModelCardData, eval_result_entries_to_yaml

from hubapp.catalog.models import Dataset, Model
from hubapp.fewshot.exports import Measurement
from hubapp.fewshot.selectors import head_title
from workers.statistics.metric_names import METRIC_TITLES

SOURCE = "Hubscope"
TASKS = {
    "image": "image-classification",
    "text": "text-classification",
    "audio": "audio-classification",
    "series": "time-series-classification",
    "table": "tabular-classification",
}
# What the hub's list of metrics calls ours.
METRIC_TYPES = {"macro_f1": "f1", "auroc": "roc_auc", "brier": "brier_score"}
ABOUT = (
    "Scores of simple heads on frozen features of this model, measured by Hubscope. The test rows never change; "
    "intervals are 95%, of the draw of labels and of the test rows together."
)


@dataclass(frozen=True, kw_only=True)
class OfDataset:
    """The measurements of one model on one data set; `address` is where they are shown."""

    dataset: Dataset
    rows: list[Measurement]
    address: str


def labels_words(one: Measurement) -> str:
    """ "8 labels a class", "all labels", "no labels"."""
    labels = one.labels
    if isinstance(labels, int):
        return f"{labels} label{'' if labels == 1 else 's'} a class"
    return "no labels" if labels == "none" else "all labels"


def card_text(model: Model, parts: Iterable[OfDataset]) -> str:
    """A model card whose front matter holds the scores as `model-index`."""
    results = [_result(one, part) for part in parts for one in part.rows if one.score.value is not None]
    if not results:
        return f"---\n{{}}\n---\n\n{ABOUT}\n"
    data = ModelCardData(model_name=model.slug, eval_results=results)
    return f"---\n{data.to_yaml()}\n---\n\n{ABOUT}\n"


def _result(one: Measurement, part: OfDataset) -> EvalResult:
    score, dataset, outcome = one.score, part.dataset, one.outcome
    return EvalResult(
        task_type=TASKS.get(dataset.modality, "other"),
        task_name="Few-shot classification",
        dataset_type=dataset.slug,
        dataset_name=dataset.title or dataset.slug,
        # Results of other rows are another result: the parts below go by this name.
        dataset_config=f"manifest {one.manifest[:16]}",
        dataset_split="test",
        dataset_revision=outcome.dataset_revision.digest if outcome.dataset_revision else None,
        dataset_args={"manifest": one.manifest, "protocol": one.protocol},
        metric_type=METRIC_TYPES.get(score.metric, score.metric),
        metric_value=score.value,
        metric_name=f"{METRIC_TITLES.get(score.metric, score.metric)}, {head_title(score.head)}, {labels_words(one)}",
        metric_args=_facts(one),
        source_name=SOURCE,
        source_url=part.address,
    )


def _facts(one: Measurement) -> dict[str, Any]:
    score, outcome = one.score, one.outcome
    return {
        "metric": score.metric,
        "head": score.head,
        "labels_per_class": one.labels,
        "low": score.low,
        "high": score.high,
        "interval": score.interval,
        "replicates": len(score.replicates),
        "seed": outcome.provenance.get("seed"),
        "model_revision": outcome.revision.digest if outcome.revision else "",
        "code_version": one.code.get("version", ""),
        "measured_at": outcome.created_at.isoformat(),
        "note": score.note,
    }


def entries_text(part: OfDataset) -> str:
    """The file of `.eval_results` for one data set, one entry a score."""
    entries = [_entry(one, part) for one in part.rows if one.score.value is not None]
    return yaml.safe_dump(
        eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True, default_flow_style=False
    )


def _entry(one: Measurement, part: OfDataset) -> EvalResultEntry:
    score, outcome = one.score, one.outcome
    shown = {"none": "zero", "all": "all"}.get(str(one.labels), str(one.labels))
    interval = f"{score.low:.4f} to {score.high:.4f}" if score.low is not None and score.high is not None else "none"
    notes = [
        f"{METRIC_TITLES.get(score.metric, score.metric)}, {head_title(score.head)}, {labels_words(one)}",
        f"95% interval {interval} ({score.interval})",
        f"{len(score.replicates)} draws by {one.protocol}, seed {outcome.provenance.get('seed')}",
        f"manifest {one.manifest}",
        f"model revision {outcome.revision.digest if outcome.revision else ''}",
        f"{SOURCE} {one.code.get('version', '')}".strip(),
        *([score.note] if score.note else []),
    ]
    return EvalResultEntry(
        dataset_id=part.dataset.slug,
        task_id=f"{shown}-shot-{score.head}-{score.metric}",
        value=score.value,
        dataset_revision=outcome.dataset_revision.digest if outcome.dataset_revision else None,
        date=outcome.created_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        source_url=part.address,
        source_name=SOURCE,
        notes="; ".join(notes),
    )
