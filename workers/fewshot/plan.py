"""What a grid will run, made and checked before anything runs: test rows, sub-tasks, and the draws of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.fewshot.manifests import Manifest, PlacedDraw, import_manifest, manifest_of
from workers.fewshot.refusing import missing_sizes, size_words
from workers.fewshot.shot_protocols import PROTOCOLS
from workers.kit import DatasetRef, UserError
from workers.sources.store import Features

Rows = NDArray[np.int64]
MOST_REPLICATES = 100
MOST_SIZES = 64


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
    manifest                 the same by row id, for every model; what was skipped and how rows were drawn, in words.
                             One that was asked for by its digest may hold more numbers of labels than were asked for
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
    given: str | bytes | None = None,
    drops_large: bool = False,
) -> Plan:
    """Split and draw by the data set's revision, the protocol and `seed` alone, so that all models see the same rows.

    given        the text of a manifest whose split and draws are taken instead; `shots` then chooses among its numbers
                 of labels, all where it is empty, and `protocol`, `replicates` and `seed` are not read
    drops_large  leaves out the numbers of labels that no class has rows for; else they are refused

    Raises UserError where no split or draw can be made, where a given manifest does not fit these rows or lacks a
    number of labels, or where a draw holds one class only.
    """
    if given is None:
        shots = _within_classes(features, protocol, shots, drops_large=drops_large)
    manifest = _drawn(features, dataset, protocol=protocol, shots=shots, replicates=replicates, seed=seed, given=given)
    wanted = list(manifest.sub_tasks[0].draws) if given is None else _chosen(manifest, shots)
    placed = manifest.positions(features.row_ids)
    tasks = []
    for task in manifest.sub_tasks:
        labels = task.labels_of(features.labels, features.targets)
        draws = {k: placed.draws[task.name][k] for k in wanted}
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


def _within_classes(features: Features, protocol: str, shots: Sequence[int], *, drops_large: bool) -> Sequence[int]:
    """The numbers of labels that at least one class has rows for; some are lacking in single classes nevertheless."""
    if protocol not in PROTOCOLS or PROTOCOLS[protocol].k_means != "labels a class":
        return shots
    if features.task == "multi-label" and features.targets is not None:
        given = np.count_nonzero(features.targets, axis=0)
        largest = int(np.maximum(given, len(features.targets) - given).max(initial=0))
    else:
        largest = int(np.unique(features.labels, return_counts=True)[1].max(initial=0))
    kept = [k for k in shots if k <= largest]
    if len(kept) < len(shots) and not (drops_large and kept):
        raise UserError(
            f"k = {max(shots):,} is larger than any class: the largest has {largest:,} rows. Ask for at most as many "
            "labels a class, or for 0, which takes all rows.",
            field="shots",
        )
    return kept


def _drawn(
    features: Features,
    dataset: DatasetRef | None,
    *,
    protocol: str,
    shots: Sequence[int],
    replicates: int,
    seed: int,
    given: str | bytes | None,
) -> Manifest:
    revision, name = ("", "") if dataset is None else (dataset.revision, dataset.name)
    targets = features.targets if features.task == "multi-label" else None
    if given is not None:
        return import_manifest(
            given,
            features.row_ids,
            features.labels,
            class_names=features.classes,
            dataset_revision=revision,
            dataset_name=name,
            targets=targets,
            groups=features.groups,
            splits=features.splits,
        )
    return manifest_of(
        features.labels,
        features.row_ids,
        class_names=features.classes,
        dataset_revision=revision,
        dataset_name=name,
        targets=targets,
        groups=features.groups,
        splits=features.splits,
        protocol=protocol,
        shots=shots,
        replicates=replicates,
        seed=seed,
    )


def sizes_of(manifest: Manifest) -> list[int]:
    """The numbers of labels for which a manifest has the same draws of every sub-task, in its order.

    Raises UserError for a manifest that no grid can run on: an unknown protocol, draws that are not numbered from 0,
    other numbers of draws for other sub-tasks, too many draws.
    """
    if manifest.protocol not in PROTOCOLS:
        raise UserError(
            f"The manifest was drawn by the protocol {manifest.protocol[:60]!r}, which is not known here. Known: "
            f"{', '.join(PROTOCOLS)}.",
            field="manifest",
        )
    first, *others = manifest.sub_tasks
    counts = {k: len(draws) for k, draws in first.draws.items()}
    for task in manifest.sub_tasks:
        for k, draws in task.draws.items():
            if [draw.replicate for draw in draws] != list(range(len(draws))) or counts.get(k) != len(draws):
                raise UserError(
                    f"The manifest's draws of {size_words([k])} are not numbered from 0, or are not as many for every "
                    "label. Import one whose draws are complete.",
                    field="manifest",
                )
    sizes = [k for k in counts if all(k in task.draws for task in others)]
    if not sizes or len(counts) > MOST_SIZES or max(counts.values()) > MOST_REPLICATES:
        raise UserError(
            f"The manifest has no number of labels that every label has draws of, more than {MOST_SIZES} of them, or "
            f"more than {MOST_REPLICATES} draws of one. Import a smaller or complete one.",
            field="manifest",
        )
    return sizes


def _chosen(manifest: Manifest, shots: Sequence[int]) -> list[int]:
    sizes = sizes_of(manifest)
    if missing := [k for k in shots if k not in sizes]:
        raise missing_sizes(missing, sizes)
    return list(shots) or sizes


def _refuse_one_class(name: str, labels: Rows, draws: Mapping[int, Sequence[PlacedDraw]]) -> None:
    for k, drawn in draws.items():
        for draw in drawn:
            if len(np.unique(labels[draw.train])) < 2:
                where = f" of {name!r}" if name else ""
                raise UserError(
                    f"Draw {draw.replicate + 1}{where} with k = {k} holds rows of one class only: ask for more labels.",
                    field="shots",
                )
