"""Class-incremental evaluation on frozen features: classes arrive in stages, a head never sees an old row again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from workers.fewshot.protocol_entries import IncrementalSpec
from workers.fewshot.protocols.incremental_heads import StageHead, head_named
from workers.fewshot.splits import stratified_split
from workers.kit import Context, Outcome, Score, Table, UserError
from workers.sources.features import features_of
from workers.statistics.bootstrap import bootstrap_weights
from workers.statistics.intervals import combined_interval

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
CONVENTION = {
    "stages": "B0-Inc-n: n classes a stage, the last takes what is left; the order of the classes is drawn by seed",
    "accuracy": "A_b: share right of the test rows of all classes seen after stage b, among those classes, no task id",
    "mean": "Ā = mean of A_b over the stages, of unrounded A_b (logs of the peers round each A_b to 2 decimals first)",
    "last": "A_B = accuracy after the last stage",
    "forgetting": "mean over the stages but the last of (best accuracy on that stage's classes so far − at the end)",
    "interval": "order of the classes (ddof 1) and bootstrap of the test rows, t with Satterthwaite's df",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """One head under one order of the classes.

    hits     (B, N) whether a test row is right after stage b; False where its class is not yet seen
    is_seen  (B, N) whether a test row's class is seen at stage b
    stage    (N,) stage in which a test row's class arrives
    """

    hits: NDArray[np.bool_]
    is_seen: NDArray[np.bool_]
    stage: Rows


def class_order(classes: int, seed: int) -> Rows:
    """The order in which classes arrive: numpy's legacy permutation, as PILOT's data manager draws it."""
    return np.random.RandomState(seed).permutation(classes)


def stages_of(order: Rows, increment: int) -> list[Rows]:
    """The classes of each stage, `increment` at a time."""
    return [order[start : start + increment] for start in range(0, len(order), increment)]


def staged(
    head: StageHead, x: Array, y: Rows, x_test: Array, y_test: Rows, stages: Sequence[Rows], pause: Callable[[], None]
) -> Run:
    """Feed a head stage by stage, and ask it for every test row whose class it has seen."""
    hits, seen = [], []
    stage_of = np.empty(int(max(y.max(), y_test.max())) + 1, dtype=np.int64)
    for number, classes in enumerate(stages):
        stage_of[classes] = number
        is_new = np.isin(y, classes)
        head.learn(x[is_new], y[is_new])
        known = np.concatenate(stages[: number + 1])
        is_seen = np.isin(y_test, known)
        right = np.zeros(len(y_test), dtype=np.bool_)
        right[is_seen] = head.predict(x_test[is_seen]) == y_test[is_seen]
        hits.append(right)
        seen.append(is_seen)
        pause()
    return Run(hits=np.array(hits), is_seen=np.array(seen), stage=stage_of[y_test])


def stage_accuracies(run: Run, weights: Array) -> Array:
    """A_b by draw, (B, draws); weights (N, draws) of the test rows. NaN where a draw holds no row of a seen class."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((run.hits.astype(np.float64) @ weights) / (run.is_seen.astype(np.float64) @ weights))


def forgetting(run: Run, weights: Array) -> Array:
    """Forgetting by draw, (draws,): mean over stages but the last of (best so far − final) accuracy on their classes.

    Chaudhry et al., ECCV 2018, equation 3. NaN with one stage.
    """
    stages = len(run.hits)
    lost = []
    for number in range(stages - 1):
        is_own = run.stage == number
        total = weights[is_own].sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            course = run.hits[number:, is_own].astype(np.float64) @ weights[is_own] / total
        lost.append(course[:-1].max(axis=0) - course[-1])
    return np.mean(lost, axis=0) if lost else np.full(weights.shape[1], np.nan)


def summaries(run: Run, weights: Array) -> dict[str, Array]:
    """Ā, A_B and forgetting by draw: three vectors (draws,)."""
    accuracies = stage_accuracies(run, weights)
    return {
        "mean_accuracy": np.nanmean(accuracies, axis=0),
        "last_accuracy": accuracies[-1],
        "forgetting": forgetting(run, weights),
    }


def run(spec: IncrementalSpec, context: Context) -> Outcome:
    """Ā, A_B and forgetting of every head over the orders of the classes, and A_b of every stage.

    Raises UserError where the classes make one stage only, or a class has too few rows to be split.
    """
    started = time.monotonic()
    features = features_of(context)
    if features.task != "classification":
        raise UserError("Class-incremental evaluation needs one class a row; this data set has other targets.")
    revision = context.dataset.revision if context.dataset is not None else ""
    split = stratified_split(
        features.labels, features.row_ids, dataset_revision=revision, seed=spec.seed, class_names=features.classes
    )
    present, targets = np.unique(features.labels, return_inverse=True)
    increment = spec.increment or max(1, len(present) // 10)
    if increment >= len(present):
        raise UserError(
            f"{increment} classes a stage put all {len(present)} classes into one stage: ask for fewer.",
            field="increment",
        )
    pool = np.concatenate([split.train, split.validation])
    x = np.asarray(features.x, dtype=np.float64)
    x_train, y_train, x_test, y_test = x[pool], targets[pool], x[split.test], targets[split.test]
    weights = bootstrap_weights(
        len(y_test),
        draws=spec.draws,
        seed=spec.seed,
        groups=None if features.groups is None else features.groups[split.test],
    ).astype(np.float64)
    ones = np.ones((len(y_test), 1))
    total = len(spec.heads) * len(spec.orders) * -(-len(present) // increment)
    done = 0

    def pause() -> None:
        nonlocal done
        done += 1
        context.checkpoint(done, total, "stages")

    runs: dict[str, list[Run]] = {}
    with threadpool_limits(max(1, context.threads)):
        for name in spec.heads:
            for seed in spec.orders:
                head = head_named(name, seed=seed, projection=spec.projection)
                stages = stages_of(class_order(len(present), seed), increment)
                runs.setdefault(name, []).append(staged(head, x_train, y_train, x_test, y_test, stages, pause))
    names = [features.classes[c] for c in present]
    scores = [score for name, found in runs.items() for score in _scores(name, found, ones, weights)]
    return Outcome(
        summary={
            "rows": len(features.labels),
            "test_rows": len(y_test),
            "classes": len(present),
            "increment": increment,
            "stages": -(-len(present) // increment),
            "sentence": _sentence(scores, spec.heads, len(present), increment),
        },
        scores=tuple(scores),
        tables={
            "stages": _stage_table(runs, spec.orders, increment, ones, weights, names),
        },
        provenance={
            **CONVENTION,
            "split": split.convention,
            "orders": list(spec.orders),
            "seed": spec.seed,
            "features": dict(features.provenance),
            "seconds": round(time.monotonic() - started, 3),
        },
    )


def _scores(name: str, found: Sequence[Run], ones: Array, weights: Array) -> list[Score]:
    points = [summaries(one, ones) for one in found]
    draws = [summaries(one, weights) for one in found]
    scores = []
    for metric in ("mean_accuracy", "last_accuracy", "forgetting"):
        values = [float(one[metric][0]) for one in points]
        if not np.isfinite(values).all():
            scores.append(Score(metric=metric, value=None, head=name, note="one stage only: nothing to forget"))
            continue
        mean_draws = np.mean([one[metric] for one in draws], axis=0)
        # Every head here ends the same whatever the order, so A_B knows no draw of orders.
        interval = combined_interval(
            values if np.ptp(values) > 0 else values[:1],
            float(np.nanvar(mean_draws, ddof=1)),
            bounds=(-1.0, 1.0) if metric == "forgetting" else (0.0, 1.0),
        )
        scores.append(
            Score(
                metric=metric,
                value=float(np.mean(values)),
                low=interval.low,
                high=interval.high,
                interval=interval.kind.replace("draw of labels", "order of the classes").replace(
                    "replicates", "orders"
                ),
                head=name,
                replicates=tuple(values),
            )
        )
    return scores


def _stage_table(
    runs: dict[str, list[Run]],
    orders: Sequence[int],
    increment: int,
    ones: Array,
    weights: Array,
    classes: Sequence[str],
) -> Table:
    rows: list[list[object]] = []
    for name, found in runs.items():
        for seed, one in zip(orders, found, strict=True):
            values = stage_accuracies(one, ones)[:, 0]
            low, high = np.nanquantile(stage_accuracies(one, weights), (0.025, 0.975), axis=1)
            for number, new in enumerate(stages_of(class_order(len(classes), seed), increment)):
                seen = min((number + 1) * increment, len(classes))
                numbers = (float(values[number]), float(low[number]), float(high[number]))
                rows.append([name, seed, number + 1, seen, *numbers, ", ".join(classes[c] for c in new[:8])])
    return Table(
        columns=("head", "order", "stage", "classes_seen", "accuracy", "low", "high", "new_classes"), rows=rows
    )


def _sentence(scores: Sequence[Score], heads: Sequence[str], classes: int, increment: int) -> str:
    means = {score.head: score for score in scores if score.metric == "mean_accuracy"}
    last = {score.head: score for score in scores if score.metric == "last_accuracy"}
    best = max(heads, key=lambda name: means[name].value or 0.0)
    return (
        f"{classes} classes, {increment} a stage: mean accuracy {means[best].value:.3f} and {last[best].value:.3f} "
        f"after the last stage by {best.replace('_', ' ')}."
    )
