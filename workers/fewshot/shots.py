"""Which labelled rows a few-shot run may see: nested, balanced draws that every model shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workers.kit import UserError

Rows = NDArray[np.int64]
ALL = 0
LARGEST_SEED = 2**31


@dataclass(frozen=True, kw_only=True, eq=False)
class Shots:
    """The rows of one draw.

    train                   indices into `labels`, class by class
    validation              indices into `validation_labels`; empty if there were none
    k                       labels a class; 0 means all rows
    replicate               number of the draw, from 0
    is_oversampled          a class has fewer than k train rows, so some of them appear more than once
    unique_rows             distinct train rows
    validation_unique_rows  distinct validation rows
    """

    train: Rows
    validation: Rows
    k: int
    replicate: int
    is_oversampled: bool
    unique_rows: int
    validation_unique_rows: int


def _draw(labels: NDArray[np.generic], k: int, *, seed: int, max_k: int) -> Rows:
    """EHRSHOT's rule for one split: a fresh generator for every class, so each smaller k is a prefix of the larger."""
    parts: list[Rows] = []
    for value in np.unique(labels):
        rows = np.flatnonzero(labels == value)
        state = np.random.RandomState(seed)
        drawn = state.choice(rows, min(len(rows), max_k), replace=False)
        if max_k > len(rows):
            drawn = np.concatenate([drawn, state.choice(rows, max_k - len(rows), replace=True)])
        parts.append(drawn[:k])
    return np.concatenate(parts).astype(np.int64)


def _checked_labels(labels: ArrayLike, *, what: str) -> NDArray[np.generic]:
    values = np.asarray(labels)
    if values.ndim != 1:
        raise UserError(f"The {what} must be one label a row; they have the shape {values.shape}.")
    if values.size == 0:
        raise UserError(f"The {what} are empty: add labelled rows.")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise UserError(f"Some {what} are missing: give every row a label or leave the row out.")
    return values


def _checked_k(k: int | Literal["all"], max_k: int) -> int:
    if k == "all":
        return ALL
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 0:
        raise UserError(f"k is {k!r}: it must be a number of labels a class, 1 or more, or 0 for all rows.", field="k")
    if k > max_k:
        raise UserError(
            f"k = {k} is larger than max_k = {max_k}: raise max_k, which fixes the draw for every k.", field="k"
        )
    return int(k)


def sample_shots(
    labels: ArrayLike,
    *,
    k: int | Literal["all"],
    replicates: int = 5,
    seed: int = 0,
    protocol: str = "ehrshot",
    validation_labels: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    max_k: int = 128,
) -> list[Shots]:
    """Draw k labelled rows a class, once for each replicate, by EHRSHOT's rule (Wornow et al., NeurIPS 2023).

    labels             (N,) class of each row of the training pool
    k                  labels a class; 0 or "all" takes every row, the same in each replicate
    seed               replicate r uses seed + r
    validation_labels  (M,) classes of the validation pool, drawn by the same rule
    groups             (N,) patient, speaker or document of each row. EHRSHOT draws labels, so a group may give several
                       rows; keeping groups from straddling splits is the business of the split before
    max_k              the largest k that will ever be asked for: up to it each smaller draw is contained in the larger

    Rule: for each class in sorted order, with a generator seeded anew, draw min(n, max_k) rows without replacement,
    fill up to max_k with replacement, keep the first k. Raises UserError for one class, wrong lengths or an impossible
    k.
    """
    if protocol != "ehrshot":
        raise UserError(f"There is no shot protocol named {protocol!r}. Known: ehrshot.", field="protocol")
    size = _checked_k(k, max_k)
    if replicates < 1:
        raise UserError(f"{replicates} replicates were asked for: at least one is needed.", field="replicates")
    if not 0 <= seed <= LARGEST_SEED:
        raise UserError(f"The seed is {seed}: it must lie between 0 and {LARGEST_SEED}.", field="seed")
    train_pool = _checked_labels(labels, what="labels")
    classes, counts = np.unique(train_pool, return_counts=True)
    if len(classes) < 2:
        raise UserError(f"All labels are {classes[0]}: few-shot evaluation needs at least two classes.", field="labels")
    if groups is not None and np.shape(groups) != train_pool.shape:
        raise UserError(f"There are {train_pool.size} labels but groups of shape {np.shape(groups)}: give one a row.")
    validation_pool = None
    if validation_labels is not None:
        validation_pool = _checked_labels(validation_labels, what="validation labels")
        known = set(classes.tolist())
        strange = sorted(set(np.unique(validation_pool).tolist()) - known)
        if strange:
            raise UserError(
                f"The validation labels hold {strange[0]}, which no training row has: use the same classes."
            )
    shots: list[Shots] = []
    for replicate in range(replicates):
        if size == ALL:
            train = np.arange(train_pool.size)
            validation = np.arange(0 if validation_pool is None else validation_pool.size)
        else:
            train = _draw(train_pool, size, seed=seed + replicate, max_k=max_k)
            validation = np.empty(0, dtype=np.int64)
            if validation_pool is not None:
                validation = _draw(validation_pool, size, seed=seed + replicate, max_k=max_k)
        shots.append(
            Shots(
                train=train,
                validation=validation,
                k=size,
                replicate=replicate,
                is_oversampled=bool(size > counts.min()),
                unique_rows=len(np.unique(train)),
                validation_unique_rows=len(np.unique(validation)),
            )
        )
    return shots
