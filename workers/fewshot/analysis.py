"""The analysis "fewshot": how good simple heads on frozen features get with a few labels a class."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from workers.fewshot.cells import HeadMaker, maker_of
from workers.fewshot.curves import HeldOut, Point, Weights, mean_points, points_of, sentence_of
from workers.fewshot.entries import FEWSHOT, SHOTS, FewshotSpec
from workers.fewshot.grid import Grid, run_grid, size_of
from workers.fewshot.plan import Plan, SubTask, plan_of
from workers.fewshot.reading import read_for_heads
from workers.fewshot.refusing import size_words
from workers.fewshot.report import facts_of, note_of, predictions_of, tables_of
from workers.fewshot.shots import ALL, protocol_named
from workers.kit import HEADS, Artifact, Context, Outcome, Score
from workers.sources.cell_store import write_npz
from workers.sources.manifest_store import manifest_keep, manifest_read
from workers.sources.store import Features
from workers.statistics.bootstrap import draws_without_a_class
from workers.statistics.metric_names import METRIC_TITLES, METRIC_WORDS
from workers.statistics.replicates import counted_weights

PREDICTIONS = "predictions.npz"
MANIFEST = "manifest.json"
OWN_DRAWS = "one fit: the head's own draws are not in the interval"
FINAL_FITS = {
    "train": "the training shots, as published",
    "train and validation": "training and validation shots together, with what was chosen by the latter, as published",
}
CONVENTIONS = {
    "validation": "chooses settings; see final_fit for what heads are fitted on",
    "value": "mean over replicates",
    "interval": (
        "variance = s² / R of the replicates (ddof 1) + bootstrap variance of their mean over the test rows (ddof 1), "
        "t with Satterthwaite's degrees of freedom (units of the test − 1 for its part), clipped to the metric's range"
    ),
    "predictions": "<head>.k<k>.logits (R, N, C) float32, centred by row, from which the scores are computed",
}


def run(spec: FewshotSpec, context: Context) -> Outcome:
    """Fit every head on every draw of labels and score it on the fixed test rows.

    The split and the draws depend on the data set's revision and `spec.seed` only, so all models see the same rows and
    can be compared pair by pair. Cells that an earlier run finished are read from the store. Raises UserError before
    anything is fitted where the data set cannot be split or a head cannot read what this model gives.
    """
    started = time.monotonic()
    read = read_for_heads(spec.heads, context, templates=spec.templates)
    features = read.features
    plan = plan_of(
        features,
        context.dataset,
        protocol=spec.protocol,
        shots=spec.chosen_shots,
        replicates=spec.replicates,
        seed=spec.seed,
        given=manifest_read(context.store_dir, spec.manifest) if spec.manifest else None,
        drops_large=spec.shots == SHOTS,
    )
    if left_out := [k for k in spec.shots if not spec.manifest and k not in plan.shots]:
        context.log(f"No class has rows for {size_words(left_out)}: left out.")
    texts = read.texts_of(plan.sub_tasks[0].present)
    makers = [maker_of(name, spec, texts=texts) for name in spec.heads]
    context.log(
        f"{len(plan.train):,} rows to draw from, {len(plan.validation):,} for validation, {len(plan.test):,} for test; "
        f"{len(plan.sub_tasks[0].classes)} classes, {features.x.shape[-1]:,} dimensions."
    )
    cells, curve_points = size_of(plan, makers)
    total = cells + curve_points + 1
    context.checkpoint(0, total, "fitting")
    grid = run_grid(plan, makers, read.inputs, context, seed=spec.seed, version=FEWSHOT.version, total=total)
    begun = time.monotonic()
    points = _points(spec, plan, makers, grid, context, done=cells, total=total)
    grid.seconds["intervals"] = time.monotonic() - begun
    write_npz(Path(context.workdir) / PREDICTIONS, predictions_of(plan, grid, features))
    text = plan.manifest.to_json()
    (Path(context.workdir) / MANIFEST).write_text(text, encoding="utf-8")
    manifest_keep(context.store_dir, plan.manifest.digest, text)
    grid.seconds["total"] = time.monotonic() - started
    context.checkpoint(total, total, "done")
    return _outcome(spec, plan, grid, features, points)


def _held_out(task: SubTask, plan: Plan, weights: Weights) -> HeldOut:
    labels = task.labels[plan.test]
    return HeldOut(
        labels=labels,
        weights=weights,
        classes=len(task.classes),
        units=len(labels) if plan.test_groups is None else len(np.unique(plan.test_groups)),
        is_grouped=plan.test_groups is not None,
        lacking=draws_without_a_class(labels, weights, classes=len(task.classes)),
    )


def _points(
    spec: FewshotSpec, plan: Plan, makers: Sequence[HeadMaker], grid: Grid, context: Context, *, done: int, total: int
) -> list[Point]:
    weights = counted_weights(len(plan.test), draws=spec.draws, seed=spec.seed, groups=plan.test_groups)
    tests = {task.name: _held_out(task, plan, weights) for task in plan.sub_tasks}
    seeded = {maker.entry.name for maker in makers if maker.takes_seed}
    points: list[Point] = []
    with threadpool_limits(1):
        for place, ((name, head, k), cells) in enumerate(grid.cells.items()):
            context.checkpoint(done + place, total, f"intervals: {HEADS.get(head).title}")
            note = note_of(plan, name, k) or (OWN_DRAWS if head in seeded and not k else "")
            points += points_of(cells, tests[name], metrics=spec.metrics, sub_task=name, head=head, k=k, note=note)
    return _in_order(spec, plan, points)


def _in_order(spec: FewshotSpec, plan: Plan, points: Sequence[Point]) -> list[Point]:
    """By sub-task, head, number of labels as they were asked for, metric."""
    tasks = [task.name for task in plan.sub_tasks]
    shots: list[int | None] = [None, *plan.shots]

    def place(point: Point) -> tuple[int, int, int, int]:
        return (
            tasks.index(point.sub_task),
            spec.heads.index(point.head),
            shots.index(point.k),
            spec.metrics.index(point.metric),
        )

    return sorted(points, key=place)


def _outcome(spec: FewshotSpec, plan: Plan, grid: Grid, features: Features, points: Sequence[Point]) -> Outcome:
    means = mean_points(points)
    scores = tuple(point.score() for point in means)
    headline = "accuracy" if "accuracy" in spec.metrics else spec.metrics[0]
    shown = {(score.head, score.shots): score for score in scores if score.metric == headline}
    last = ALL if ALL in plan.shots else max(plan.shots)
    best = max(spec.heads, key=lambda head: _value(shown, head, last))
    return Outcome(
        summary={
            **facts_of(plan, grid, features),
            "best_head": best,
            "sentence": sentence_of(
                shown,
                metric=METRIC_TITLES[headline],
                head=best,
                title=HEADS.get(best).title,
                shots=[None, *plan.shots],
            ),
        },
        scores=scores,
        tables=tables_of(plan, grid, points, means),
        artifacts=(
            Artifact(name=PREDICTIONS, path=PREDICTIONS, media_type="application/x-npz"),
            Artifact(name=MANIFEST, path=MANIFEST, media_type="application/json"),
        ),
        provenance={
            **plan.manifest.conventions,
            "protocol": plan.manifest.protocol,
            "manifest_given": bool(spec.manifest),
            "final_fit": FINAL_FITS[protocol_named(plan.manifest.protocol).final_fit],
            "seed": spec.seed,
            "bootstrap_draws": spec.draws,
            "seconds": {name: round(value, 3) for name, value in grid.seconds.items()},
            "cells_computed": grid.computed,
            "features": dict(features.provenance),
            **{name: METRIC_WORDS[name] for name in spec.metrics},
            **CONVENTIONS,
        },
    )


def _value(shown: dict[tuple[str, int | None], Score], head: str, k: int) -> float:
    score = shown.get((head, k)) or shown.get((head, None))
    return score.value if score is not None and score.value is not None else 0.0
