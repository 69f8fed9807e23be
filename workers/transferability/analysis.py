"""The transferability analysis: every metric's score on the stored features, each with the interval of its kind."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from workers.kit import METRICS, Context, MetricEntry, Outcome, Score, UserError, seed_for
from workers.sources.features import Features, features_of
from workers.statistics.halves import half_samples
from workers.transferability.entries import TASK_WORDS, TransferabilitySpec
from workers.transferability.feature_pass import FeaturePass
from workers.transferability.feature_sums import LARGEST_HELD, pass_over
from workers.transferability.intervals import (
    IN_WORDS,
    bootstrap_means,
    half_width_of,
    means_over,
    score_with_interval,
)
from workers.transferability.pass_metric import PassMetric
from workers.transferability.probabilities import source_probabilities
from workers.transferability.target_pass import TargetPass

_TARGETS_IN_WORDS = {
    "regression": "targets with mean 0 and SD 1 (ddof 0) on the rows that are scored",
    "multi-label": "labels as 0 and 1, those that do not vary left out",
}


def run(spec: TransferabilitySpec, context: Context) -> Outcome:
    """Score the features of `context.dataset` under `context.model` with every metric of the spec.

    The interval of a score is score ± 1.96 × SD (ddof 1) of its values on half-samples (stratified by class where there
    are classes), or, for a mean over rows, of bootstrap means of the rows' terms. A metric without meaning on these
    features or this task, or that needs what the features do not hold, has a score without a value that says why.
    Raises UserError for a data set of one class, and where no metric of the spec can be computed.
    """
    if context.model is None or context.dataset is None:
        raise UserError("Transferability needs a model and a data set: choose both.")
    entries = [METRICS.get(name) for name in spec.metrics]
    found = features_of(context)
    unmet = {entry.name: reason for entry in entries if (reason := _unmet(entry, found))}
    if len(unmet) == len(entries):
        raise UserError(unmet[entries[0].name], field="metrics")
    computed = [entry for entry in entries if entry.name not in unmet]
    params = {entry.name: spec.params_of(entry.name) for entry in entries}
    started = time.perf_counter()
    with threadpool_limits(limits=max(1, context.threads)):
        whole = _pass(found, computed)
        has_classes = not isinstance(whole, TargetPass)
        by_rows = [entry for entry in computed if _has_terms(entry)]
        halved = [entry for entry in computed if not _has_terms(entry)]
        halves = half_samples(
            whole.codes if has_classes else np.zeros(whole.rows, dtype=np.int64),
            count=spec.half_samples,
            revision=context.dataset.revision,
            seed=context.seed,
            row_ids=whole.row_ids,
        )
        total = (len(halves) if halved else 0) + 1
        context.checkpoint(0, total, "all rows")
        seed = seed_for(context.seed, context.dataset.revision, "metrics")

        def pause() -> None:
            context.checkpoint(0, total, "all rows")

        values = _scores(halved, whole, params=params, seed=seed, pause=pause)
        replicates: dict[str, list[float | str]] = {entry.name: [] for entry in entries}
        draws: dict[str, tuple[float, ...]] = {}
        for entry in by_rows:
            try:
                terms = entry.load().terms(whole, seed=seed, **params[entry.name])
            except UserError as error:
                values[entry.name] = error.message
                continue
            values[entry.name] = float(np.nanmean(terms))
            replicates[entry.name] = means_over(terms, halves)
            draws[entry.name] = bootstrap_means(terms, whole.row_ids, seed=seed)
            pause()
        context.checkpoint(1, total, "all rows")
        for number, rows in enumerate(halves if halved else (), start=1):
            part = whole.select(rows)
            for name, value in _scores(halved, part, params=params, seed=seed).items():
                replicates[name].append(value)
            context.checkpoint(number + 1, total, f"half-sample {number} of {len(halves)}")
    values |= unmet
    kind = "stratified halves" if has_classes else "halves"
    scores = tuple(
        score_with_interval(
            entry, values[entry.name], replicates[entry.name], draws=draws.get(entry.name, ()), kind=kind
        )
        for entry in entries
    )
    sentence = _sentence(whole, entries, scores)
    context.log(sentence)
    return Outcome(
        summary={
            "rows": whole.rows,
            "dimensions": whole.dimensions,
            "classes": whole.classes if has_classes else 0,
            "task": found.task,
            "sentence": sentence,
        },
        scores=scores,
        provenance={
            "metrics": {
                entry.name: {
                    "version": entry.version,
                    "params": params[entry.name],
                    "interval": IN_WORDS[entry.interval],
                }
                for entry in entries
            },
            "features": found.provenance,
            "source_probabilities": _source_words(found),
            "half_samples": spec.half_samples,
            "half_samples_seed": context.seed,
            "half_samples_are": "stratified by class" if has_classes else "simple: the rows have no classes",
            "half_samples_from": "data set revision, seed and row ids, the same for every model on the data set",
            "scaling": "float64 features divided by their root mean square; "
            + ("labels re-indexed, absent classes left out" if has_classes else _TARGETS_IN_WORDS[found.task]),
            "score_seconds": time.perf_counter() - started,
        },
    )


def _pass(found: Features, entries: list[MetricEntry]) -> FeaturePass:
    """The shared pass over stored features, with what the metrics need of them."""
    if found.task == "classification":
        probabilities = None
        if found.logits is not None and any("source_probabilities" in entry.needs for entry in entries):
            probabilities = source_probabilities(found.logits)
        return pass_over(found.x, found.labels, row_ids=found.row_ids, probabilities=probabilities)
    if found.targets is None:
        raise UserError(f"The stored features hold no targets for {found.task}: compute them again.")
    if found.x.size > LARGEST_HELD:
        raise UserError(
            f"{found.x.shape[0]:,} rows of {found.x.shape[1]:,} numbers are too many to hold here, and only classes "
            "have sums over batches: draw a smaller sample of the data set."
        )
    return TargetPass(found.x, found.targets, task=found.task, row_ids=found.row_ids)


def _source_words(found: Features) -> str | None:
    if found.logits is None:
        return None
    return f"softmax of the {found.logits.shape[1]:,} logits of the model's own classifier"


def _scores(
    entries: list[MetricEntry],
    shared: FeaturePass,
    *,
    params: Mapping[str, dict[str, Any]],
    seed: int,
    pause: Callable[[], None] | None = None,
) -> dict[str, float | str]:
    """The value of every metric, or the sentence that says why there is none."""
    values: dict[str, float | str] = {}
    for entry in entries:
        metric = entry.load()
        given = params[entry.name]
        try:
            if isinstance(metric, PassMetric):
                value = metric.compute(shared, seed=seed, **given)
            else:
                value = float(metric(shared.features * shared.scale, shared.codes, seed=seed, **given))
            values[entry.name] = (
                value if np.isfinite(value) else f"{entry.title} has no finite value on these features."
            )
        except UserError as error:
            values[entry.name] = error.message
        if pause is not None:
            pause()
    return values


def _unmet(entry: MetricEntry, found: Features) -> str:
    """Why a metric cannot be computed from these features; "" if it can."""
    if found.task not in entry.tasks:
        scored = " or ".join(TASK_WORDS[task] for task in entry.tasks)
        return f"{entry.title} scores {scored}, this data set has {TASK_WORDS.get(found.task, found.task)}."
    missing = set(entry.needs) - {"features"}
    if missing == {"source_probabilities"}:
        if found.logits is not None:
            return ""
        return (
            f"{entry.title} needs the model's own classifier, and this model has none: its features alone are stored."
        )
    return f"{entry.title} needs {' and '.join(sorted(missing))}, which this analysis does not have." if missing else ""


def _has_terms(entry: MetricEntry) -> bool:
    metric = entry.load()
    return entry.interval == "rows" and isinstance(metric, PassMetric) and metric.terms is not None


def _sentence(shared: FeaturePass, entries: list[MetricEntry], scores: tuple[Score, ...]) -> str:
    parts = [
        f"{entry.title} {score.value:.3f}" + (f" ± {half_width_of(score):.3f}" if score.replicates else "")
        for entry, score in zip(entries, scores, strict=True)
        if score.value is not None
    ]
    if isinstance(shared, TargetPass):
        what = f"{shared.columns} target{'s' if shared.columns > 1 else ''}"
    else:
        what = f"{shared.classes} classes"
    about = f"{shared.rows} rows, {shared.dimensions} dimensions, {what}"
    return f"{', '.join(parts)} on {about}." if parts else f"No metric has a value on {about}."
