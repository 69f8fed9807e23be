"""The analysis "probe_vectors": linear probes of a data set's classes, by which source tasks are weighed later."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from workers.kit import Artifact, Context, Outcome, Table, UserError
from workers.pairs.entries import ProbeSpec
from workers.pairs.rows import FEWEST, halves_of
from workers.sources.cell_store import write_npz
from workers.sources.features import features_of
from workers.sources.store import Features

__all__ = ["probe_vectors", "run"]

Floats = npt.NDArray[np.float64]
PROBES = "probes.npz"
MOST_TASKS = 1_000


def probe_vectors(features: npt.NDArray[np.floating], targets: Floats, *, ridge: float) -> Floats:
    """(T, D) the ridge solutions of the columns of `targets` (N, T) on the features (N, D), both centred.

    argmin_w ‖Xw − y‖² / N + λ ‖w‖², λ = `ridge` × the features' mean variance, so that neither the scale of the
    features nor N changes how strong it is. Zeros where the features do not vary.
    """
    x = np.array(features, dtype=np.float64)
    x -= x.mean(axis=0)
    y = targets - targets.mean(axis=0)
    rows, width = x.shape
    penalty = ridge * float(np.sum(x * x)) / width
    if penalty == 0.0:
        return np.zeros((targets.shape[1], width))
    if rows < width:
        inner = x @ x.T
        inner[np.diag_indices(rows)] += penalty
        return np.asarray((x.T @ np.linalg.solve(inner, y)).T)
    gram = x.T @ x
    gram[np.diag_indices(width)] += penalty
    return np.asarray(np.linalg.solve(gram, x.T @ y).T)


def _targets(features: Features) -> tuple[Floats, list[str]]:
    """(N, T) what each task says of each row, and the tasks' names."""
    if features.task == "classification":
        present = np.unique(features.labels)
        names = [features.classes[label] if label < len(features.classes) else str(label) for label in present]
        return (features.labels[:, None] == present).astype(np.float64), names
    if features.targets is None:
        raise UserError(f"The stored features hold no targets for {features.task}: compute them again.")
    targets = np.asarray(features.targets, dtype=np.float64).reshape(len(features.labels), -1)
    if features.task == "regression":
        spread = targets.std(axis=0)
        targets = (targets - targets.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        return targets, [f"target {place + 1}" for place in range(targets.shape[1])]
    names = list(features.classes) or [f"label {place}" for place in range(targets.shape[1])]
    return targets, names


def run(spec: ProbeSpec, context: Context) -> Outcome:
    """Fit a linear probe for each class (label, target) of the context's data set and keep them all.

    Artifact probes.npz: vectors (1 + H, T, D) float32 (of all rows, then of each half), tasks (T,). Raises UserError
    for too few rows and too many tasks.
    """
    started = time.perf_counter()
    features = features_of(context)
    if features.x.ndim != 2:
        raise UserError("Probes read one vector a row: this model gave several.")
    targets, tasks = _targets(features)
    if len(targets) < FEWEST or len(tasks) > MOST_TASKS:
        raise UserError(
            f"Probe vectors need {FEWEST} rows or more and at most {MOST_TASKS:,} classes; this data set has "
            f"{len(targets):,} rows and {len(tasks):,} classes."
        )
    halves = halves_of(features.labels, count=spec.half_samples, seed=context.seed)
    sets = [np.ones(len(targets), dtype=np.bool_), *halves.T]
    vectors = np.empty((len(sets), len(tasks), features.x.shape[1]), dtype=np.float32)
    with threadpool_limits(limits=max(1, context.threads)):
        for number, members in enumerate(sets):
            context.checkpoint(number, len(sets), "all rows" if not number else f"half {number}")
            vectors[number] = probe_vectors(features.x[members], targets[members], ridge=spec.ridge)
    write_npz(Path(context.workdir) / PROBES, {"vectors": vectors, "tasks": np.array(tasks, dtype=np.str_)})
    sentence = (
        f"Linear probes of {len(tasks):,} {'task' if len(tasks) == 1 else 'tasks'} over {features.x.shape[1]:,} "
        f"features, from {len(targets):,} rows."
    )
    context.log(sentence)
    return Outcome(
        summary={
            "tasks": len(tasks),
            "rows": len(targets),
            "dimensions": int(features.x.shape[1]),
            "sentence": sentence,
        },
        tables={
            "probes": Table(
                columns=("task", "norm"),
                rows=[[task, float(np.linalg.norm(vectors[0, place]))] for place, task in enumerate(tasks)],
            )
        },
        artifacts=(Artifact(name=PROBES, path=PROBES, media_type="application/x-npz"),),
        provenance={
            "probe": f"ridge regression of each class against the rest on centred features, penalty {spec.ridge:g} of "
            "their mean variance; all rows, then halves stratified by class",
            "half_samples": spec.half_samples,
            "features": dict(features.provenance),
            "analysis_seconds": time.perf_counter() - started,
        },
    )
