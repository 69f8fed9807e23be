"""The transferability analysis: every metric's score on the stored features, each with the interval of its kind."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from threadpoolctl import threadpool_limits

from workers.kit import METRICS, Context, MetricEntry, Outcome, Score, UserError, seed_for
from workers.sources.features import features_of
from workers.transferability.entries import TransferabilitySpec
from workers.transferability.feature_pass import FeaturePass
from workers.transferability.feature_sums import pass_over
from workers.transferability.halves import half_samples
from workers.transferability.intervals import IN_WORDS, bootstrap_means, half_width_of, score_with_interval
from workers.transferability.pass_metric import PassMetric


def run(spec: TransferabilitySpec, context: Context) -> Outcome:
    """Score the features of `context.dataset` under `context.model` with every metric of the spec.

    The interval of a score is score ± 1.96 × SD (ddof 1) of its values on stratified half-samples, or, for a mean over
    rows, of bootstrap means of the rows' terms. A metric without meaning on these features, or that needs what the
    features do not hold, has a score without a value that says why. Raises UserError for a data set of one class, and
    where no metric of the spec can be computed from features.
    """
    if context.model is None or context.dataset is None:
        raise UserError("Transferability needs a model and a data set: choose both.")
    entries = [METRICS.get(name) for name in spec.metrics]
    unmet = {entry.name: _unmet(entry) for entry in entries if set(entry.needs) - {"features"}}
    if len(unmet) == len(entries):
        raise UserError(unmet[entries[0].name], field="metrics")
    computed = [entry for entry in entries if entry.name not in unmet]
    found = features_of(context)
    started = time.perf_counter()
    with threadpool_limits(limits=max(1, context.threads)):
        whole = pass_over(found.x, found.labels, row_ids=found.row_ids)
        by_rows = [entry for entry in computed if _has_terms(entry)]
        halved = [entry for entry in computed if not _has_terms(entry)]
        halves = half_samples(
            whole.codes,
            count=spec.half_samples if halved else 0,
            revision=context.dataset.revision,
            seed=context.seed,
            row_ids=whole.row_ids,
        )
        total = len(halves) + 1
        context.checkpoint(0, total, "all rows")
        seed = seed_for(context.seed, context.dataset.revision, "metrics")

        def pause() -> None:
            context.checkpoint(0, total, "all rows")

        values = _scores(halved, whole, seed=seed, pause=pause)
        replicates: dict[str, list[float | str]] = {entry.name: [] for entry in entries}
        for entry in by_rows:
            values[entry.name], replicates[entry.name] = _score_of_terms(entry, whole, seed=seed)
            pause()
        context.checkpoint(1, total, "all rows")
        for number, rows in enumerate(halves, start=1):
            part = whole.select(rows)
            for name, value in _scores(halved, part, seed=seed).items():
                replicates[name].append(value)
            context.checkpoint(number + 1, total, f"half-sample {number} of {len(halves)}")
    values |= unmet
    scores = tuple(score_with_interval(entry, values[entry.name], replicates[entry.name]) for entry in entries)
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
                entry.name: {
                    "version": entry.version,
                    "params": entry.params().model_dump(),
                    "interval": IN_WORDS[entry.interval],
                }
                for entry in entries
            },
            "features": found.provenance,
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


def _unmet(entry: MetricEntry) -> str:
    return (
        f"{entry.title} needs the source classifier's probabilities, which the stored features do not hold: call "
        "workers.transferability.score with source_probabilities."
        if "source_probabilities" in entry.needs
        else f"{entry.title} needs {' and '.join(entry.needs)}, which this analysis does not have."
    )


def _has_terms(entry: MetricEntry) -> bool:
    metric = entry.load()
    return entry.interval == "rows" and isinstance(metric, PassMetric) and metric.terms is not None


def _score_of_terms(entry: MetricEntry, shared: FeaturePass, *, seed: int) -> tuple[float | str, list[float | str]]:
    """The value of a metric that is a mean over rows, and bootstrap means of its terms."""
    terms = entry.load().terms
    try:
        found = terms(shared, seed=seed, **entry.params().model_dump())
    except UserError as error:
        return error.message, []
    return float(np.nanmean(found)), list(bootstrap_means(found, shared.row_ids, seed=seed))


def _sentence(shared: FeaturePass, entries: list[MetricEntry], scores: tuple[Score, ...]) -> str:
    parts = [
        f"{entry.title} {score.value:.3f}" + (f" ± {half_width_of(score):.3f}" if score.replicates else "")
        for entry, score in zip(entries, scores, strict=True)
        if score.value is not None
    ]
    about = f"{shared.rows} rows, {shared.dimensions} dimensions, {shared.classes} classes"
    return f"{', '.join(parts)} on {about}." if parts else f"No metric has a value on {about}."
