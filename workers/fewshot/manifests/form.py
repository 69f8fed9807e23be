"""The form of a manifest: which rows every few-shot run of a data set sees, whatever the model.

A manifest names rows by their row ids, so that it holds for each model's features; `Manifest.placed` translates it to
positions of a feature matrix. Free of torch and scikit-learn.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.fewshot.shots import ALL
from workers.kit import UserError, canonical_json

Rows = NDArray[np.int64]
LAYOUT = 1
FORMAT = "hubscope manifest"
ABOUT = "_manifest"
ALL_KEY = "-1"


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

    def to_json(self) -> str:
        """The manifest as JSON in EHRSHOT's layout, and beside it, under "_manifest", what that leaves out.

        sub-task -> k ("-1": all) -> replicate -> train_idxs and val_idxs (places in the training and validation part),
        label_values_train_k and label_values_val_k, and what is odd about the draw. EHRSHOT's evaluation reads it.
        """
        places = {"train": _places(self.train), "validation": _places(self.validation)}
        keys = _keys(self.sub_tasks, self.dataset_name)
        about = {
            "format": FORMAT,
            "layout": LAYOUT,
            "digest": self.digest,
            "dataset": self.dataset_name,
            "revision": self.dataset_revision,
            "protocol": self.protocol,
            "seed": self.seed,
            "replicates": self.replicates,
            "max_k": self.max_k,
            "train_row_ids": self.train.tolist(),
            "validation_row_ids": self.validation.tolist(),
            "test_row_ids": self.test.tolist(),
            "conventions": dict(self.conventions),
            "skipped": [list(one) for one in self.skipped],
            "sub_tasks": [
                {
                    "key": key,
                    "name": task.name,
                    "classes": list(task.classes),
                    "present": list(task.present),
                    "column": task.column,
                }
                for key, task in zip(keys, self.sub_tasks, strict=True)
            ],
        }
        tasks = {
            key: {
                ALL_KEY if k == ALL else str(k): {str(draw.replicate): _draw_json(draw, places) for draw in draws}
                for k, draws in task.draws.items()
            }
            for key, task in zip(keys, self.sub_tasks, strict=True)
        }
        return json.dumps({ABOUT: about, **tasks}, ensure_ascii=False, separators=(",", ":"), allow_nan=False)

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


def _places(rows: Rows) -> dict[int, int]:
    return {row: place for place, row in enumerate(rows.tolist())}


def _keys(tasks: tuple[ManifestTask, ...], dataset_name: str) -> list[str]:
    """A key for each sub-task: its name, or the data set's where there is one only."""
    keys = [task.name if task.column >= 0 else (dataset_name or "classification") for task in tasks]
    return [f"{key} (label)" if key == ABOUT else key for key in keys]


def _draw_json(draw: ManifestDraw, places: Mapping[str, dict[int, int]]) -> dict[str, Any]:
    # ELEVATER cuts its validation rows from the training part.
    pool = "validation" if all(row in places["validation"] for row in draw.validation.tolist()) else "train"
    return {
        "train_idxs": [places["train"][row] for row in draw.train.tolist()],
        "val_idxs": [places[pool][row] for row in draw.validation.tolist()],
        "label_values_train_k": draw.train_labels.tolist(),
        "label_values_val_k": draw.validation_labels.tolist(),
        "val_idxs_of": pool,
        "is_oversampled": draw.is_oversampled,
        "is_short": draw.is_short,
        "flags": list(draw.flags),
        "validation_flags": list(draw.validation_flags),
    }
