"""What a grid will run, made and checked before anything runs: test rows, sub-tasks, and the draws of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.fewshot.manifests import Manifest, PlacedDraw, manifest_of
from workers.kit import DatasetRef, UserError
from workers.sources.store import Features

Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class SubTask:
    """One classification to learn.

    name     "" where there is one only, else the label's name
    labels   (n,) int64 in 0..C−1 over all rows of the feature matrix
    classes  their names in that order
    present  index of each class in the data set's classes, (C,)
    draws    by labels a class, in the order asked for; 0 is all
    """

    name: str
    labels: Rows
    classes: tuple[str, ...]
    present: Rows
    draws: Mapping[int, Sequence[PlacedDraw]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """Everything that the grid will run.

    train, validation, test  the parts of the split, rows of the feature matrix
    test_groups              group of each test row, (N,); None where each row is its own
    manifest                 the same by row id, for every model; what was skipped and how rows were drawn, in words
    """

    train: Rows
    validation: Rows
    test: Rows
    sub_tasks: tuple[SubTask, ...]
    test_groups: Rows | None
    manifest: Manifest

    @property
    def shots(self) -> list[int]:
        """The numbers of labels a class, as asked for."""
        return list(self.sub_tasks[0].draws)


def checked_features(features: Features, *, needs_tokens: bool = False) -> None:
    """Raise UserError for features that no head can read."""
    shape, rows = features.x.shape, len(features.labels)
    if features.x.ndim != (3 if needs_tokens else 2) or shape[0] != rows or len(features.row_ids) != rows:
        wanted = "one vector a token" if needs_tokens else "one vector a row"
        raise UserError(
            f"The features have the shape {shape} for {rows} labels and {len(features.row_ids)} row ids: few-shot "
            f"evaluation needs {wanted}. Compute the features again."
        )
    for start in range(0, rows, 4096):  # tokens may be larger than the memory
        if not np.isfinite(features.x[start : start + 4096]).all():
            raise UserError("Some features are not finite: this model gives NaN or infinity on this data set.")


def plan_of(
    features: Features,
    dataset: DatasetRef | None,
    *,
    protocol: str,
    shots: Sequence[int],
    replicates: int,
    seed: int,
) -> Plan:
    """Split and draw by the data set's revision, the protocol and `seed` alone, so that all models see the same rows.

    Raises UserError where no split or draw can be made, or a draw holds one class only.
    """
    manifest = manifest_of(
        features.labels,
        features.row_ids,
        class_names=features.classes,
        dataset_revision="" if dataset is None else dataset.revision,
        dataset_name="" if dataset is None else dataset.name,
        targets=features.targets if features.task == "multi-label" else None,
        groups=features.groups,
        splits=features.splits,
        protocol=protocol,
        shots=shots,
        replicates=replicates,
        seed=seed,
    )
    placed = manifest.positions(features.row_ids)
    tasks = []
    for task in manifest.sub_tasks:
        labels = task.labels_of(features.labels, features.targets)
        draws = placed.draws[task.name]
        _refuse_one_class(task.name, labels, draws)
        present = np.array(task.present, dtype=np.int64)
        tasks.append(SubTask(name=task.name, labels=labels, classes=task.classes, present=present, draws=draws))
    return Plan(
        train=placed.train,
        validation=placed.validation,
        test=placed.test,
        sub_tasks=tuple(tasks),
        test_groups=None if features.groups is None else features.groups[placed.test],
        manifest=manifest,
    )


def _refuse_one_class(name: str, labels: Rows, draws: Mapping[int, Sequence[PlacedDraw]]) -> None:
    for k, drawn in draws.items():
        for draw in drawn:
            if len(np.unique(labels[draw.train])) < 2:
                where = f" of {name!r}" if name else ""
                raise UserError(
                    f"Draw {draw.replicate + 1}{where} with k = {k} holds rows of one class only: ask for more labels.",
                    field="shots",
                )
