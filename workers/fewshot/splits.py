"""The fixed split of a data set into a training pool, validation rows and test rows.

Parts are the source's where it fixes them, else drawn class by class; whole groups (patients, speakers, documents)
where rows have them. A split depends on row ids, labels, groups, revision and seed, never on the model or the order of
the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.fewshot.whole_groups import parts_of_groups, rows_by_pattern
from workers.kit import UserError, generator_for

Rows = NDArray[np.int64]
TEST_SHARE = 0.25
VALIDATION_SHARE = 0.10
SMALLEST_CLASS = 3
NAMES = ("train", "validation", "test")
WORDS = {"train": "training", "validation": "validation", "test": "test"}
SHOWN = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Positions of the rows of each part, in the order of their row ids, and how the split was made, in words."""

    train: Rows
    validation: Rows
    test: Rows
    convention: str


def split_of(
    labels: Rows,
    row_ids: Rows,
    *,
    dataset_revision: str,
    seed: int,
    class_names: Sequence[str],
    targets: NDArray[np.integer] | None = None,
    groups: Rows | None = None,
    splits: Sequence[str] = (),
) -> Split:
    """The split of a data set: the source's parts where it has them, whole groups where rows have them.

    labels   (n,) index into `class_names`; not read where there are targets
    targets  (n, L) 0/1 by label of a multi-label data set; `class_names` are then the labels' names
    groups   (n,) whole numbers; None where each row is its own
    splits   "train", "validation" or "test" by row, "" for a row that has none; empty if the source fixes nothing

    Raises UserError where a class cannot have a row in each part, or where the source puts one group into several.
    """
    _checked_lengths(labels, row_ids, targets, groups, splits)
    marks = _marks(labels, targets, class_names)
    if any(splits):
        fixed = _fixed(splits, row_ids, marks, groups, dataset_revision=dataset_revision, seed=seed)
        if fixed is not None:
            return fixed
    if groups is None and targets is None:
        return stratified_split(labels, row_ids, dataset_revision=dataset_revision, seed=seed, class_names=class_names)
    shares = (1 - TEST_SHARE - VALIDATION_SHARE, VALIDATION_SHARE, TEST_SHARE)
    everything = np.arange(len(row_ids))
    parts = _drawn(everything, row_ids, marks, groups, shares, dataset_revision=dataset_revision, seed=seed)
    whole = "by whole groups, " if groups is not None else ""
    what = "labels" if targets is not None else "classes"
    return Split(
        train=parts[0],
        validation=parts[1],
        test=parts[2],
        convention=(
            f"{whole}shares of {what} kept as near as they can be, drawn by the data set's revision and seed {seed}: "
            "65% training pool, 10% validation, 25% test of the rows, at least one row of each "
            f"{'class' if targets is None else 'label that has enough'} in each part"
        ),
    )


def stratified_split(
    labels: Rows, row_ids: Rows, *, dataset_revision: str, seed: int, class_names: Sequence[str]
) -> Split:
    """65 % training pool, 10 % validation, 25 % test, class by class; the same rows for every model.

    The draw depends on the data set's revision, the seed, the row ids and their labels, not on the order of the rows.
    Raises UserError if fewer than two classes have rows or a class has too few for all three parts.
    """
    _checked_lengths(labels, row_ids, None, None, ())
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
    return Split(
        train=_by_id(np.concatenate(train), row_ids),
        validation=_by_id(np.concatenate(validation), row_ids),
        test=_by_id(np.concatenate(test), row_ids),
        convention=(
            f"stratified by class, drawn by the data set's revision and seed {seed}: 65% training pool, "
            "10% validation, 25% test, rounded class by class, at least one row each"
        ),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Marks:
    """What must be in each part: (n, M) 0/1, the name of each column, and whether its absence is an error."""

    of: NDArray[np.uint8]
    names: tuple[str, ...]
    is_required: bool


def _marks(labels: Rows, targets: NDArray[np.integer] | None, class_names: Sequence[str]) -> _Marks:
    if targets is not None:
        with_label = np.asarray(targets) != 0
        marks = np.hstack([with_label, ~with_label]).astype(np.uint8)
        return _Marks(of=marks, names=(*class_names, *(f"not {name}" for name in class_names)), is_required=False)
    present = np.unique(labels)
    if len(present) < 2:
        raise UserError("The data set has rows of fewer than two classes: few-shot evaluation needs at least two.")
    marks = (labels[:, None] == present[None, :]).astype(np.uint8)
    return _Marks(of=marks, names=tuple(class_names[value] for value in present.tolist()), is_required=True)


def _checked_lengths(
    labels: Rows,
    row_ids: Rows,
    targets: NDArray[np.integer] | None,
    groups: Rows | None,
    splits: Sequence[str],
) -> None:
    if len(labels) != len(row_ids):
        raise UserError(f"There are {len(row_ids)} rows but {len(labels)} labels: every row needs one label.")
    if targets is not None and (targets.ndim != 2 or len(targets) != len(row_ids)):
        raise UserError(
            f"There are {len(row_ids)} rows but targets of shape {targets.shape}: every row needs one line."
        )
    if groups is not None and np.shape(groups) != np.shape(row_ids):
        raise UserError(f"There are {len(row_ids)} rows but groups of shape {np.shape(groups)}: every row needs one.")
    if len(splits) and len(splits) != len(row_ids):
        raise UserError(
            f"There are {len(row_ids)} rows but {len(splits)} splits: every row needs one, or none has any."
        )
    strange = sorted(set(splits) - {*NAMES, ""})
    if strange:
        raise UserError(f"A row's split is {strange[0]!r}: it must be train, validation or test, or empty.")


def _by_id(rows: Rows, row_ids: Rows) -> Rows:
    return rows[np.argsort(row_ids[rows], kind="stable")].astype(np.int64)


def _drawn(
    rows: Rows,
    row_ids: Rows,
    marks: _Marks,
    groups: Rows | None,
    shares: tuple[float, ...],
    *,
    dataset_revision: str,
    seed: int,
) -> list[Rows]:
    """`rows` dealt into parts of these shares, whole groups together."""
    ordered = _by_id(rows, row_ids)
    generator = generator_for(seed, "fewshot split", dataset_revision)
    if groups is None:
        place = rows_by_pattern(marks.of[ordered], shares, generator)
    else:
        first = {group: number for number, group in reversed(list(enumerate(groups[ordered].tolist())))}
        by_first = np.array([first[group] for group in groups[ordered].tolist()], dtype=np.int64)
        place = parts_of_groups(
            marks.of[ordered], by_first, shares, generator, names=marks.names if marks.is_required else ()
        )
    return [ordered[place == part] for part in range(len(shares))]


def _fixed(
    splits: Sequence[str],
    row_ids: Rows,
    marks: _Marks,
    groups: Rows | None,
    *,
    dataset_revision: str,
    seed: int,
) -> Split | None:
    """The source's parts; what it lacks is drawn from its training rows. None if it has training rows only."""
    given = np.array(splits)
    parts = {name: _by_id(np.flatnonzero(given == name), row_ids) for name in NAMES}
    if not len(parts["test"]) and not len(parts["validation"]):
        return None
    if not len(parts["train"]):
        raise UserError("The source's splits have no training rows, so there are no labels to draw. Name some train.")
    words = ["fixed by the source"]
    if not len(parts["test"]):
        parts["test"], parts["validation"] = parts["validation"], parts["test"]
        words.append("its validation rows are the test rows, as it has none of the latter")
    _refuse_crossing(parts, groups)
    if not len(parts["validation"]):
        share = VALIDATION_SHARE / (1 - TEST_SHARE)
        parts["train"], parts["validation"] = _drawn(
            parts["train"], row_ids, marks, groups, (1 - share, share), dataset_revision=dataset_revision, seed=seed
        )
        how = "by whole groups, " if groups is not None else ""
        words.append(f"{share:.0%} of its training rows are for validation, {how}drawn by the revision and seed {seed}")
    if without := int((given == "").sum()):
        words.append(f"{without:,} rows without a split are left out")
    if marks.is_required:
        _refuse_absent(parts, marks)
    return Split(**parts, convention="; ".join(words))


def _refuse_crossing(parts: dict[str, Rows], groups: Rows | None) -> None:
    if groups is None:
        return
    seen = [np.unique(groups[rows]) for rows in parts.values() if len(rows)]
    values, counts = np.unique(np.concatenate(seen), return_counts=True)
    crossing = values[counts > 1]
    if len(crossing):
        which = ", ".join(str(value) for value in crossing[:SHOWN].tolist())
        raise UserError(
            f"{len(crossing):,} of {len(values):,} groups lie in several of the source's splits (group {which}"
            f"{' …' if len(crossing) > SHOWN else ''}): scores would be too good. Choose another column for the "
            "groups, or leave the splits out, so that whole groups are split."
        )


def _refuse_absent(parts: dict[str, Rows], marks: _Marks) -> None:
    for name, rows in parts.items():
        absent = np.flatnonzero(marks.of[rows].sum(axis=0) == 0)
        if len(absent):
            which = ", ".join(repr(marks.names[value]) for value in absent[:SHOWN].tolist())
            raise UserError(
                f"The source's splits leave no {WORDS[name]} row of the class {which}"
                f"{' …' if len(absent) > SHOWN else ''}. Add rows, leave the class out, or leave the splits out, so "
                "that rows are drawn for each part."
            )
