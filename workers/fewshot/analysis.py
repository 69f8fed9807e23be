"""The analysis "fewshot": how good simple heads on frozen features get with a few labels a class."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from workers.fewshot.curves import Cells, score_cells, sentence_of
from workers.fewshot.entries import FewshotSpec
from workers.fewshot.heads.protocol import Head, softmax
from workers.fewshot.shots import ALL, Shots, sample_shots
from workers.fewshot.splits import Split, stratified_split
from workers.kit import HEADS, Artifact, Context, Outcome, Score, Table, UserError
from workers.sources.features import features_of
from workers.sources.store import Features
from workers.statistics.bootstrap import bootstrap_weights

DRAWS = 1000
NESTED_UP_TO = 128
PREDICTIONS = "predictions.npz"
SHOT_COLUMNS = ("k", "replicate", "train_rows", "unique_rows", "validation_unique_rows", "is_oversampled")
CONVENTIONS = {
    "shots": "EHRSHOT: the same k for every class, nested in k, without replacement; small classes filled and flagged",
    "validation": "chooses settings only; heads are fitted on the training shots alone",
    "accuracy": "share of test rows whose most probable class is theirs",
    "auroc": "two classes: ROC area of the second; more: macro one-vs-rest, plain mean over classes; ties one half",
    "value": "mean over replicates",
    "interval": (
        "variance = s² / R of the replicates (ddof 1) + bootstrap variance of their mean over the test rows (ddof 1), "
        "t with Satterthwaite's degrees of freedom, clipped to [0, 1]"
    ),
    "predictions": (
        "<head>.k<k>.logits (R, N, C) float32, centred by row, from which the scores are computed; .probabilities is "
        "their softmax, where near ties may round together"
    ),
}


def _heads(spec: FewshotSpec, name: str) -> Head:
    entry = HEADS.get(name)
    own = set(entry.params.model_fields) & set(FewshotSpec.model_fields)
    head: Head = entry.load()(**{field: getattr(spec, field) for field in sorted(own)})
    return head


def _checked(features: Features) -> None:
    if features.x.ndim != 2 or features.x.shape[0] != len(features.labels):
        raise UserError(
            f"The features have the shape {features.x.shape} for {len(features.labels)} labels: few-shot evaluation "
            "needs one vector a row. Compute the features again."
        )
    if not np.isfinite(features.x).all():
        raise UserError("Some features are not finite: this model gives NaN or infinity on this data set.")


def _note(shots: list[Shots], k: int) -> str:
    if k == ALL or not shots[0].is_oversampled:
        return ""
    rows = shots[0].unique_rows
    return f"a class has fewer than {k} training rows; it was filled with replacement ({rows} distinct rows)"


def _arrays(
    features: Features, split: Split, shots: dict[int, list[Shots]], cells: dict[tuple[str, int], Cells]
) -> dict[str, NDArray[Any]]:
    """What predictions.npz holds: row ids and labels of the test rows, the shots' row ids, logits and probabilities."""
    pool, held_out = features.row_ids[split.train], features.row_ids[split.validation]
    arrays: dict[str, NDArray[Any]] = {
        "test_row_ids": features.row_ids[split.test],
        "labels": features.labels[split.test],
        "classes": np.array(features.classes, dtype=np.str_),
        "present_classes": np.unique(features.labels),
        "train_pool_row_ids": pool,
        "validation_pool_row_ids": held_out,
    }
    for k, drawn in shots.items():
        arrays[f"k{k}.train_row_ids"] = np.stack([pool[one.train] for one in drawn])
        arrays[f"k{k}.validation_row_ids"] = np.stack([held_out[one.validation] for one in drawn])
    for (head, k), cell in cells.items():
        logits = np.stack(cell.logits)
        arrays[f"{head}.k{k}.logits"] = logits
        arrays[f"{head}.k{k}.probabilities"] = np.stack([softmax(one.astype(np.float64)) for one in logits]).astype(
            np.float32
        )
    return arrays


def run(spec: FewshotSpec, context: Context) -> Outcome:
    """Fit every head on every draw of labels and score it on the fixed test rows.

    The split and the draws depend on the data set's revision and `spec.seed` only, so all models see the same rows and
    can be compared pair by pair. Raises UserError where the data set cannot be split or the features cannot be used.
    """
    started = time.monotonic()
    features = features_of(context)
    _checked(features)
    revision = context.dataset.revision if context.dataset is not None else ""
    split = stratified_split(
        features.labels, features.row_ids, dataset_revision=revision, seed=spec.seed, class_names=features.classes
    )
    present, targets = np.unique(features.labels, return_inverse=True)
    x_train, y_train = np.asarray(features.x[split.train]), targets[split.train]
    x_validation, y_validation = np.asarray(features.x[split.validation]), targets[split.validation]
    x_test, y_test = np.asarray(features.x[split.test]), targets[split.test]
    context.log(
        f"{len(split.train):,} rows to draw from, {len(split.validation):,} for validation, {len(split.test):,} for "
        f"test; {len(present)} classes, {features.x.shape[1]:,} dimensions."
    )
    shots = {
        k: sample_shots(
            y_train,
            k=k,
            # Rows are the same and heads have no randomness of their own: one fit says what five would.
            replicates=1 if k == ALL else spec.replicates,
            seed=spec.seed,
            validation_labels=y_validation,
            max_k=max(NESTED_UP_TO, *spec.shots),
        )
        for k in spec.shots
    }
    total = sum(len(drawn) for drawn in shots.values()) * len(spec.heads) + 1
    done = 0
    context.checkpoint(0, total, "fitting")
    cells = {(head, k): Cells() for head in spec.heads for k in spec.shots}
    seconds = dict.fromkeys(spec.heads, 0.0)
    with threadpool_limits(1):
        for k, drawn in shots.items():
            for one in drawn:
                for name in spec.heads:
                    begun = time.monotonic()
                    head = _heads(spec, name).fit(
                        x_train[one.train],
                        y_train[one.train],
                        validation=(x_validation[one.validation], y_validation[one.validation]),
                    )
                    cell = cells[name, k]
                    cell.logits.append(head.decision(x_test).astype(np.float32))
                    cell.unconverged += not head.converged
                    cell.choices.append(head.choice)
                    seconds[name] += time.monotonic() - begun
                    done += 1
                    words = "all rows" if k == ALL else f"{k} labels a class, draw {one.replicate + 1}"
                    context.checkpoint(done, total, f"{HEADS.get(name).title}: {words}")
        weights = bootstrap_weights(len(y_test), draws=DRAWS, seed=spec.seed)
        scores: list[Score] = []
        for name in spec.heads:
            for k in spec.shots:
                note = _note(shots[k], k)
                scores += score_cells(cells[name, k], y_test, weights, head=name, k=k, note=note)
    arrays = _arrays(features, split, shots, cells)
    np.savez_compressed(Path(context.workdir) / PREDICTIONS, **arrays)  # type: ignore[arg-type]
    context.checkpoint(total, total, "done")
    return _outcome(spec, features, split, shots, cells, scores, seconds | {"total": time.monotonic() - started})


def _outcome(
    spec: FewshotSpec,
    features: Features,
    split: Split,
    shots: dict[int, list[Shots]],
    cells: dict[tuple[str, int], Cells],
    scores: list[Score],
    seconds: dict[str, float],
) -> Outcome:
    accuracy = {(s.head, s.shots): s for s in scores if s.metric == "accuracy" and s.shots is not None}
    last = ALL if ALL in spec.shots else max(spec.shots)
    best = max(spec.heads, key=lambda head: (accuracy[head, last].value or 0.0, -spec.heads.index(head)))
    sentence = sentence_of(accuracy, head=best, title=HEADS.get(best).title, shots=spec.shots)
    shot_rows = [
        [k, one.replicate, len(one.train), one.unique_rows, one.validation_unique_rows, one.is_oversampled]
        for k, drawn in shots.items()
        for one in drawn
    ]
    fit_rows = [
        [head, k, replicate, choice]
        for (head, k), cell in cells.items()
        for replicate, choice in enumerate(cell.choices)
    ]
    return Outcome(
        summary={
            "rows": len(features.labels),
            "train_rows": len(split.train),
            "validation_rows": len(split.validation),
            "test_rows": len(split.test),
            "dimensions": int(features.x.shape[1]),
            "classes": len(np.unique(features.labels)),
            "best_head": best,
            "unconverged_fits": sum(cell.unconverged for cell in cells.values()),
            "oversampled_shots": sum(one.is_oversampled for drawn in shots.values() for one in drawn),
            "sentence": sentence,
        },
        scores=tuple(scores),
        tables={
            "shots": Table(columns=SHOT_COLUMNS, rows=shot_rows),
            "fits": Table(columns=("head", "k", "replicate", "choice"), rows=fit_rows),
        },
        artifacts=(Artifact(name=PREDICTIONS, path=PREDICTIONS, media_type="application/x-npz"),),
        provenance={
            "split": split.convention,
            "seed": spec.seed,
            "bootstrap_draws": DRAWS,
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
            "features": dict(features.provenance),
            **CONVENTIONS,
        },
    )
