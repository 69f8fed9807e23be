"""The transferability analysis: every metric's score on the stored features, with delete-half jackknife intervals."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from threadpoolctl import threadpool_limits

from workers.kit import METRICS, Context, MetricEntry, Outcome, Score, UserError, seed_for
from workers.sources.features import features_of
from workers.transferability.entries import TransferabilitySpec
from workers.transferability.feature_pass import FeaturePass
from workers.transferability.halves import half_samples
from workers.transferability.pass_metric import PassMetric

_NORMAL_QUANTILE = 1.96


def run(spec: TransferabilitySpec, context: Context) -> Outcome:
    """Score the features of `context.dataset` under `context.model` with every metric of the spec.

    The interval of a score is score ± 1.96 × SD (ddof 1) of its values on stratified half-samples. A metric without
    meaning on these features has a score without a value that says why. Raises UserError for a data set of one class.
    """
    if context.model is None or context.dataset is None:
        raise UserError("Transferability needs a model and a data set: choose both.")
    entries = [METRICS.get(name) for name in spec.metrics]
    unmet = [entry.title for entry in entries if set(entry.needs) - {"features"}]
    if unmet:
        raise UserError(f"{unmet[0]} needs more than features, which this analysis does not have.", field="metrics")
    found = features_of(context)
    started = time.perf_counter()
    with threadpool_limits(limits=max(1, context.threads)):
        whole = FeaturePass(found.x, found.labels)
        halves = half_samples(
            whole.codes,
            count=spec.half_samples,
            revision=context.dataset.revision,
            seed=context.seed,
            row_ids=np.asarray(found.row_ids),
        )
        total = len(halves) + 1
        context.checkpoint(0, total, "all rows")
        seed = seed_for(context.seed, context.dataset.revision, "metrics")
        values = _scores(entries, whole, seed=seed, pause=lambda: context.checkpoint(0, total, "all rows"))
        context.checkpoint(1, total, "all rows")
        replicates: dict[str, list[float | str]] = {entry.name: [] for entry in entries}
        for number, rows in enumerate(halves, start=1):
            part = whole.select(rows)
            for name, value in _scores(entries, part, seed=seed).items():
                replicates[name].append(value)
            context.checkpoint(number + 1, total, f"half-sample {number} of {len(halves)}")
    scores = tuple(_score(entry, values[entry.name], replicates[entry.name]) for entry in entries)
    sentence = _sentence(whole, entries, scores)
    context.log(sentence)
    return Outcome(
        summary={
            "rows": whole.rows,
            "dimensions": whole.dimensions,
            "classes": whole.classes,
            "sentence": sentence,
        },
        scores=scores,
        provenance={
            "metrics": {
                entry.name: {"version": entry.version, "params": entry.params().model_dump()} for entry in entries
            },
            "features": found.provenance,
            "interval": "score ± 1.96 × SD (ddof 1) over stratified half-samples drawn without replacement",
            "half_samples": spec.half_samples,
            "half_samples_seed": context.seed,
            "half_samples_from": "data set revision, seed and row ids, the same for every model on the data set",
            "scaling": "float64 features divided by their root mean square; labels re-indexed, absent classes left out",
            "score_seconds": time.perf_counter() - started,
        },
    )


def _scores(
    entries: list[MetricEntry], shared: FeaturePass, *, seed: int, pause: Callable[[], None] | None = None
) -> dict[str, float | str]:
    """The value of every metric, or the sentence that says why there is none."""
    values: dict[str, float | str] = {}
    for entry in entries:
        metric = entry.load()
        params = entry.params().model_dump()
        try:
            if isinstance(metric, PassMetric):
                value = metric.compute(shared, seed=seed, **params)
            else:
                value = float(metric(shared.features * shared.scale, shared.codes, seed=seed, **params))
            values[entry.name] = (
                value if np.isfinite(value) else f"{entry.title} has no finite value on these features."
            )
        except UserError as error:
            values[entry.name] = error.message
        if pause is not None:
            pause()
    return values


def _score(entry: MetricEntry, value: float | str, replicates: list[float | str]) -> Score:
    if isinstance(value, str):
        return Score(metric=entry.name, value=None, note=value)
    numbers = tuple(replicate for replicate in replicates if not isinstance(replicate, str))
    if len(numbers) < len(replicates):
        reason = next(replicate for replicate in replicates if isinstance(replicate, str))
        return Score(metric=entry.name, value=value, note=f"No interval: a half-sample has no score. {reason}")
    half_width = _NORMAL_QUANTILE * float(np.std(numbers, ddof=1))
    low, high = value - half_width, value + half_width
    metric = entry.load()
    if isinstance(metric, PassMetric):
        low, high = max(low, metric.low), min(high, metric.high)
    return Score(
        metric=entry.name,
        value=value,
        low=low,
        high=high,
        interval=f"score ± 1.96 × SD, delete-half jackknife, {len(numbers)} stratified halves",
        replicates=numbers,
    )


def _sentence(shared: FeaturePass, entries: list[MetricEntry], scores: tuple[Score, ...]) -> str:
    parts = [
        f"{entry.title} {score.value:.3f}" + (f" ± {_half_width(score):.3f}" if score.replicates else "")
        for entry, score in zip(entries, scores, strict=True)
        if score.value is not None
    ]
    about = f"{shared.rows} rows, {shared.dimensions} dimensions, {shared.classes} classes"
    return f"{', '.join(parts)} on {about}." if parts else f"No metric has a value on {about}."


def _half_width(score: Score) -> float:
    return _NORMAL_QUANTILE * float(np.std(score.replicates, ddof=1))
