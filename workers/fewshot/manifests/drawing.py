"""Making manifests: the split of a data set and the draws of a protocol from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.fewshot.manifests.form import Manifest, ManifestDraw, ManifestTask
from workers.fewshot.shot_protocols import ShotProtocol
from workers.fewshot.shots import ALL, Shots, checked_k, draw_shots, protocol_named
from workers.fewshot.splits import Split, split_of
from workers.kit import UserError

Rows = NDArray[np.int64]
NESTED_UP_TO = 128


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
