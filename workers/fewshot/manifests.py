"""Manifests: which rows every few-shot run of a data set sees, whatever the model. Stored, shared, compared by digest.

A manifest names rows by their row ids, so that it holds for each model's features; `Manifest.placed` translates it to
positions of a feature matrix. Free of torch and scikit-learn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from workers.fewshot.shot_protocols import ShotProtocol
from workers.fewshot.shots import ALL, Shots, checked_k, draw_shots, protocol_named
from workers.fewshot.splits import Split, split_of
from workers.kit import UserError, canonical_json

Rows = NDArray[np.int64]
NESTED_UP_TO = 128
LAYOUT = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class ManifestDraw:
    """The rows of one draw, by row id; labels are places in the sub-task's `classes`.

    flags, validation_flags  what is odd about the training and the validation rows, in words
    """

    replicate: int
    train: Rows
    validation: Rows
    train_labels: Rows
    validation_labels: Rows
    is_oversampled: bool = False
    is_short: bool = False
    flags: tuple[str, ...] = ()
    validation_flags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class ManifestTask:
    """One classification to learn.

    name     "" where the data set is one classification, else the label's name
    classes  names of the classes 0..C−1
    present  index of each class in the data set's classes; (0, 1) of a label
    column   of the targets; −1 where the data set is one classification
    draws    by k (0: all), one for each replicate
    """

    name: str
    classes: tuple[str, ...]
    present: tuple[int, ...]
    column: int
    draws: Mapping[int, tuple[ManifestDraw, ...]]

    def labels_of(self, labels: Rows, targets: NDArray[np.integer] | None) -> Rows:
        """(n,) classes 0..C−1 of this sub-task's rows, −1 for a class that it does not have."""
        if self.column >= 0:
            if targets is None:
                raise UserError("The manifest is of a multi-label data set, but there are no targets.")
            return np.asarray(np.asarray(targets)[:, self.column] != 0, dtype=np.int64)
        lookup = np.full(max([int(np.max(labels, initial=0)), *self.present]) + 1, -1, dtype=np.int64)
        lookup[list(self.present)] = np.arange(len(self.present))
        return np.asarray(lookup[labels], dtype=np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Manifest:
    """Which rows are training pool, validation and test, and which of them each draw takes.

    dataset_name, dataset_revision  what the row ids belong to
    protocol, seed, replicates      how the draws were made; seed is that of the first replicate
    max_k                           up to it the draws of EHRSHOT's protocol are nested
    train, validation, test         row ids of the parts, increasing
    conventions                     split, shots and seeds in words
    skipped                         labels that cannot be learnt: name and reason
    """

    dataset_name: str
    dataset_revision: str
    protocol: str
    seed: int
    replicates: int
    max_k: int
    train: Rows
    validation: Rows
    test: Rows
    sub_tasks: tuple[ManifestTask, ...]
    conventions: Mapping[str, str]
    skipped: tuple[tuple[str, str], ...] = ()

    @cached_property
    def digest(self) -> str:
        """64 hex digits over revision, parts, classes and all draws: equal digests, equal rows and labels."""
        head = {
            "layout": LAYOUT,
            "revision": self.dataset_revision,
            "skipped": [name for name, _ in self.skipped],
            "draws": [
                [task.name, k, draw.replicate, self.draw_digest(task.name, k, draw.replicate)]
                for task in self.sub_tasks
                for k, draws in sorted(task.draws.items())
                for draw in draws
            ],
        }
        return _digest(canonical_json(head), self.train, self.validation, self.test)

    def draw_digest(self, sub_task: str, k: int, replicate: int) -> str:
        """64 hex digits over one draw: its rows, their labels, the classes and the test rows.

        Two results with the same digest were trained, tuned and tested on the same rows, whatever else their grids
        held. Raises KeyError for a draw that is not there.
        """
        task = self.task(sub_task)
        draw = next((one for one in task.draws[k] if one.replicate == replicate), None)
        if draw is None:
            raise KeyError(f"no replicate {replicate} of {k} shots")
        return _digest(
            canonical_json([self.dataset_revision, task.name, task.classes]),
            draw.train,
            draw.train_labels,
            draw.validation,
            draw.validation_labels,
            self.test,
        )

    def task(self, sub_task: str) -> ManifestTask:
        """The sub-task of that name; KeyError if there is none."""
        for task in self.sub_tasks:
            if task.name == sub_task:
                return task
        raise KeyError(sub_task)

    def positions(self, row_ids: Rows) -> PlacedManifest:
        """The manifest as positions of a feature matrix whose rows are `row_ids`, in any order.

        Raises UserError if a row of the manifest is not among them.
        """
        order = np.argsort(row_ids, kind="stable")
        known = row_ids[order]

        def place(wanted: Rows) -> Rows:
            at = np.searchsorted(known, wanted)
            at = np.minimum(at, len(known) - 1)
            missing = known[at] != wanted
            if missing.any():
                raise UserError(
                    f"{int(missing.sum()):,} rows of the manifest are not among the features (row "
                    f"{int(wanted[missing][0])}): use the data set that the manifest was made for."
                )
            return np.asarray(order[at], dtype=np.int64)

        return PlacedManifest(
            train=place(self.train),
            validation=place(self.validation),
            test=place(self.test),
            draws={
                task.name: {
                    k: tuple(
                        PlacedDraw(
                            replicate=draw.replicate,
                            train=place(draw.train),
                            validation=place(draw.validation),
                            is_oversampled=draw.is_oversampled,
                            is_short=draw.is_short,
                            flags=draw.flags,
                            validation_flags=draw.validation_flags,
                            digest=self.draw_digest(task.name, k, draw.replicate),
                        )
                        for draw in draws
                    )
                    for k, draws in task.draws.items()
                }
                for task in self.sub_tasks
            },
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class PlacedDraw:
    """One draw as positions of a feature matrix."""

    replicate: int
    train: Rows
    validation: Rows
    is_oversampled: bool
    is_short: bool
    flags: tuple[str, ...]
    validation_flags: tuple[str, ...]
    digest: str


@dataclass(frozen=True, kw_only=True, eq=False)
class PlacedManifest:
    """A manifest as positions of a feature matrix; `draws` by sub-task and k."""

    train: Rows
    validation: Rows
    test: Rows
    draws: Mapping[str, Mapping[int, tuple[PlacedDraw, ...]]] = field(default_factory=dict)


def _digest(text: str, *arrays: Rows) -> str:
    digest = hashlib.sha256(text.encode())
    for array in arrays:
        digest.update(f"\x1f{array.shape}".encode())
        digest.update(np.ascontiguousarray(array, dtype="<i8").data)
    return digest.hexdigest()


def manifest_of(
    labels: Rows,
    row_ids: Rows,
    *,
    class_names: Sequence[str],
    dataset_revision: str,
    dataset_name: str = "",
    targets: NDArray[np.integer] | None = None,
    groups: Rows | None = None,
    splits: Sequence[str] = (),
    protocol: str = "ehrshot",
    shots: Sequence[int] = (),
    replicates: int = 0,
    seed: int = 0,
    max_k: int = 0,
) -> Manifest:
    """Split a data set and draw its shots; the same for every model and for every order of the rows.

    labels, targets, groups, splits  see `splits.split_of`; with targets every label is a sub-task of two classes
    shots                            numbers as the protocol counts them, 0 for all; empty: the protocol's own
    replicates                       0: the protocol's own number
    seed                             of the split; the draws begin with the protocol's own seed + this one, so 0 draws
                                     as published
    max_k                            0: the larger of 128 and the largest of `shots`

    Raises UserError where no split or draw can be made.
    """
    rule = protocol_named(protocol)
    wanted = tuple(shots) or rule.shots
    repeats = replicates or rule.replicates
    largest = max_k or max(NESTED_UP_TO, *wanted)
    ks = [checked_k(k, rule, max_k=largest) for k in wanted]
    if len(np.unique(row_ids)) != len(row_ids):
        raise UserError("Some row ids appear twice: every row needs its own. Compute the features again.")
    split = split_of(
        labels,
        row_ids,
        dataset_revision=dataset_revision,
        seed=seed,
        class_names=class_names,
        targets=targets,
        groups=groups,
        splits=splits,
    )
    pools = _Pools(split=split, row_ids=row_ids, groups=groups)
    tasks, skipped = _tasks(labels, targets, split, class_names)
    if not tasks:
        raise UserError(f"No label can be learnt: {skipped[0][0]}: {skipped[0][1]}.")
    drawing = _Drawing(rule=rule, ks=tuple(ks), replicates=repeats, seed=rule.seed + seed, max_k=largest)
    return Manifest(
        dataset_name=dataset_name,
        dataset_revision=dataset_revision,
        protocol=protocol,
        seed=rule.seed + seed,
        replicates=repeats,
        max_k=largest,
        train=row_ids[split.train],
        validation=row_ids[split.validation],
        test=row_ids[split.test],
        sub_tasks=tuple(_drawn_task(task, labels, targets, pools, drawing) for task in tasks),
        conventions={
            "split": split.convention,
            "shots": f"{rule.title}: {rule.rule}",
            "shots_source": rule.source,
            "shots_seeds": f"{repeats} draws, first seed {rule.seed + seed} (published: {rule.seed_words()})",
        },
        skipped=tuple(skipped),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pools:
    split: Split
    row_ids: Rows
    groups: Rows | None


@dataclass(frozen=True, kw_only=True)
class _Drawing:
    rule: ShotProtocol
    ks: tuple[int, ...]
    replicates: int
    seed: int
    max_k: int


def _tasks(
    labels: Rows, targets: NDArray[np.integer] | None, split: Split, class_names: Sequence[str]
) -> tuple[list[ManifestTask], list[tuple[str, str]]]:
    """The sub-tasks, still without draws, and the labels that a part lacks."""
    if targets is None:
        present = np.unique(labels[np.concatenate([split.train, split.validation, split.test])]).tolist()
        names = tuple(class_names[value] for value in present)
        return [ManifestTask(name="", classes=names, present=tuple(present), column=-1, draws={})], []
    tasks, skipped = [], []
    for column, name in enumerate(class_names):
        reason = ""
        for words, rows in (("training", split.train), ("validation", split.validation), ("test", split.test)):
            given = np.asarray(targets)[rows, column] != 0
            if given.all() or not given.any():
                reason = reason or f"{'every' if given.all() else 'no'} {words} row has it"
        if reason:
            skipped.append((name, reason))
        else:
            classes = (f"not {name}", name)
            tasks.append(ManifestTask(name=name, classes=classes, present=(0, 1), column=column, draws={}))
    return tasks, skipped


def _drawn_task(
    task: ManifestTask, labels: Rows, targets: NDArray[np.integer] | None, pools: _Pools, drawing: _Drawing
) -> ManifestTask:
    classes = task.labels_of(labels, targets)
    split, rule = pools.split, drawing.rule
    draws: dict[int, tuple[ManifestDraw, ...]] = {}
    for k in drawing.ks:
        shots = draw_shots(
            classes[split.train],
            classes[split.validation],
            k=k,
            # The rows are the same in each: one draw says what five would.
            replicates=1 if k == ALL else drawing.replicates,
            seed=drawing.seed,
            protocol=rule,
            names=task.classes,
            groups=None if pools.groups is None else pools.groups[split.train],
            max_k=drawing.max_k,
        )
        draws[k] = tuple(_named(one, classes, pools) for one in shots)
    return ManifestTask(name=task.name, classes=task.classes, present=task.present, column=task.column, draws=draws)


def _named(shots: Shots, classes: Rows, pools: _Pools) -> ManifestDraw:
    train = pools.split.train[shots.train]
    validation = (pools.split.train if shots.validation_is_from_train else pools.split.validation)[shots.validation]
    return ManifestDraw(
        replicate=shots.replicate,
        train=pools.row_ids[train],
        validation=pools.row_ids[validation],
        train_labels=classes[train],
        validation_labels=classes[validation],
        is_oversampled=shots.is_oversampled,
        is_short=shots.is_short,
        flags=shots.flags,
        validation_flags=shots.validation_flags,
    )
