"""The fixed split of a data set into a training pool, validation rows and test rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.kit import UserError, generator_for

Rows = NDArray[np.int64]
TEST_SHARE = 0.25
VALIDATION_SHARE = 0.10
SMALLEST_CLASS = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Positions of the rows of each part, in the order of their row ids, and how the split was made, in words."""

    train: Rows
    validation: Rows
    test: Rows
    convention: str


def stratified_split(
    labels: Rows, row_ids: Rows, *, dataset_revision: str, seed: int, class_names: Sequence[str]
) -> Split:
    """65 % training pool, 10 % validation, 25 % test, class by class; the same rows for every model.

    The draw depends on the data set's revision, the seed, the row ids and their labels, not on the order of the rows.
    Raises UserError if fewer than two classes have rows or a class has too few for all three parts.
    """
    if len(labels) != len(row_ids):
        raise UserError(f"There are {len(row_ids)} rows but {len(labels)} labels: every row needs one label.")
    values, counts = np.unique(labels, return_counts=True)
    if len(values) < 2:
        raise UserError("The data set has rows of fewer than two classes: few-shot evaluation needs at least two.")
    for value, count in zip(values, counts, strict=True):
        if count < SMALLEST_CLASS:
            raise UserError(
                f"The class {class_names[value]!r} has {count} {'row' if count == 1 else 'rows'}: it needs at least "
                f"{SMALLEST_CLASS}, one each for training, validation and test. Add rows or leave the class out."
            )
    by_id = np.argsort(row_ids, kind="stable")
    generator = generator_for(seed, "fewshot split", dataset_revision)
    test: list[Rows] = []
    validation: list[Rows] = []
    train: list[Rows] = []
    for value, count in zip(values, counts, strict=True):
        rows = generator.permutation(by_id[labels[by_id] == value])
        tests = max(1, round(TEST_SHARE * int(count)))
        validations = max(1, round(VALIDATION_SHARE * int(count)))
        test.append(rows[:tests])
        validation.append(rows[tests : tests + validations])
        train.append(rows[tests + validations :])

    def ordered(parts: list[Rows]) -> Rows:
        rows = np.concatenate(parts)
        return rows[np.argsort(row_ids[rows], kind="stable")]

    return Split(
        train=ordered(train),
        validation=ordered(validation),
        test=ordered(test),
        convention=(
            f"stratified by class, drawn by the data set's revision and seed {seed}: 65% training pool, "
            "10% validation, 25% test, rounded class by class, at least one row each"
        ),
    )
