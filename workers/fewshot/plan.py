"""What a grid will run, made and checked before anything runs: test rows, sub-tasks, and the draws of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from workers.fewshot.shots import ALL, sample_shots
from workers.fewshot.splits import stratified_split
from workers.kit import UserError
from workers.sources.store import Features

Rows = NDArray[np.int64]
NESTED_UP_TO = 128


@dataclass(frozen=True, kw_only=True, eq=False)
class Draw:
    """One draw of labels, as rows of the feature matrix.

    flags  what is odd about it, in words
    """

    replicate: int
    train: Rows
    validation: Rows
    is_oversampled: bool = False
    flags: tuple[str, ...] = ()

    @classmethod
    def of_nothing(cls) -> Draw:
        """The draw of a head that reads no labels."""
        empty = np.empty(0, dtype=np.int64)
        return cls(replicate=0, train=empty, validation=empty)


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
    draws: Mapping[int, Sequence[Draw]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """Everything that the grid will run.

    train, validation, test  the parts of the split, rows of the feature matrix
    test_groups              group of each test row, (N,); None where each row is its own
    skipped                  sub-tasks that cannot be run: name and reason
    conventions              how split and shots were made, in words
    """

    train: Rows
    validation: Rows
    test: Rows
    sub_tasks: tuple[SubTask, ...]
    test_groups: Rows | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    conventions: Mapping[str, str] = field(default_factory=dict)


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


def _filled(k: int, rows: int) -> str:
    return f"a class has fewer than {k} training rows; it was filled with replacement ({rows} distinct rows)"


def plan_of(features: Features, *, revision: str, shots: Sequence[int], replicates: int, seed: int) -> Plan:
    """Split and draw by the data set's revision and `seed` alone, so that all models see the same rows."""
    split = stratified_split(
        features.labels, features.row_ids, dataset_revision=revision, seed=seed, class_names=features.classes
    )
    present, targets = np.unique(features.labels, return_inverse=True)
    draws: dict[int, list[Draw]] = {}
    for k in shots:
        drawn = sample_shots(
            targets[split.train],
            k=k,
            # Rows are the same and heads have no randomness of their own: one fit says what five would.
            replicates=1 if k == ALL else replicates,
            seed=seed,
            validation_labels=targets[split.validation],
            max_k=max(NESTED_UP_TO, *shots),
        )
        draws[k] = [
            Draw(
                replicate=one.replicate,
                train=split.train[one.train],
                validation=split.validation[one.validation],
                is_oversampled=one.is_oversampled,
                flags=(_filled(k, one.unique_rows),) if one.is_oversampled else (),
            )
            for one in drawn
        ]
    task = SubTask(
        name="",
        labels=targets.astype(np.int64),
        classes=tuple(features.classes[value] for value in present),
        present=present,
        draws=draws,
    )
    return Plan(
        train=split.train,
        validation=split.validation,
        test=split.test,
        sub_tasks=(task,),
        conventions={"split": split.convention},
    )
