"""Which labelled rows a few-shot run may see: draws by a published protocol that every model shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workers.fewshot.shot_protocols import COOP_VALIDATION, NOTHING, PROTOCOLS, Request, ShotProtocol, vtab_train_rows
from workers.kit import UserError

Rows = NDArray[np.int64]
ALL = 0
LARGEST_SEED = 2**31
SMALLEST_VTAB = 5
PERCENT = 100


@dataclass(frozen=True, kw_only=True, eq=False)
class Shots:
    """The rows of one draw.

    train                     indices into `labels`
    validation                indices into `validation_labels` (into `labels` where `validation_is_from_train`); empty
                              if there are none
    k                         what was asked for; 0 means all rows
    replicate                 number of the draw, from 0
    is_oversampled            a class has too few train rows, so some of them appear more than once
    unique_rows               distinct train rows
    validation_unique_rows    distinct validation rows
    is_short                  a class has too few train rows, and gives fewer than asked for
    validation_is_from_train  the protocol cuts its validation rows from the shots
    flags, validation_flags   what is odd about the train and about the validation rows, in words
    """

    train: Rows
    validation: Rows
    k: int
    replicate: int
    is_oversampled: bool
    unique_rows: int
    validation_unique_rows: int
    is_short: bool = False
    validation_is_from_train: bool = False
    flags: tuple[str, ...] = ()
    validation_flags: tuple[str, ...] = ()


def protocol_named(name: str) -> ShotProtocol:
    """The protocol of that name; raises UserError that lists those known."""
    try:
        return PROTOCOLS[name]
    except KeyError:
        known = ", ".join(PROTOCOLS)
        raise UserError(f"There is no shot protocol named {name!r}. Known: {known}.", field="protocol") from None


def _checked_labels(labels: ArrayLike, *, what: str) -> NDArray[np.generic]:
    values = np.asarray(labels)
    if values.ndim != 1:
        raise UserError(f"The {what} must be one label a row; they have the shape {values.shape}.")
    if values.size == 0:
        raise UserError(f"The {what} are empty: add labelled rows.")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise UserError(f"Some {what} are missing: give every row a label or leave the row out.")
    return values


def checked_k(k: int | Literal["all"], protocol: ShotProtocol, *, max_k: int) -> int:
    """k as a whole number, 0 for all; raises UserError where the protocol cannot draw it."""
    if k == "all":
        return ALL
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 0:
        wanted = {"labels a class": "number of labels a class", "rows in all": "number of rows in all"}
        what = wanted.get(protocol.k_means, "percentage of the labels")
        raise UserError(f"k is {k!r}: it must be a {what}, 1 or more, or 0 for all rows.", field="k")
    if protocol.name == "ehrshot" and k > max_k:
        raise UserError(
            f"k = {k} is larger than max_k = {max_k}: raise max_k, which fixes the draw for every k.", field="k"
        )
    if protocol.k_means == "percent of the labels" and k > PERCENT:
        raise UserError(f"k is {k}: {protocol.title} takes 1 to {PERCENT} percent, or 0 for all rows.", field="k")
    if protocol.k_means == "rows in all" and 0 < k < SMALLEST_VTAB:
        raise UserError(f"k is {k}: {protocol.title} needs at least {SMALLEST_VTAB} rows in all.", field="k")
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
    """Draw the labelled rows of a few-shot run, once for each replicate, by a protocol of `shot_protocols.PROTOCOLS`.

    labels             (N,) class of each row of the training pool
    k                  labels a class (rows in all, percent: as the protocol says); 0 or "all" takes every row
    seed               replicate r uses seed + r; "mteb" goes on from the replicate before with the same seed
    validation_labels  (M,) classes of the validation pool
    groups             (N,) patient, speaker or document of each row. Labels are drawn, so a group may give several
                       rows; where validation rows are cut from the shots, those of a group that trains go to training
    max_k              "ehrshot" alone: the largest k that will ever be asked for; up to it each smaller draw is
                       contained in the larger

    Raises UserError for one class, wrong lengths or an impossible k.
    """
    rule = protocol_named(protocol)
    size = checked_k(k, rule, max_k=max_k)
    if replicates < 1:
        raise UserError(f"{replicates} replicates were asked for: at least one is needed.", field="replicates")
    if not 0 <= seed <= LARGEST_SEED:
        raise UserError(f"The seed is {seed}: it must lie between 0 and {LARGEST_SEED}.", field="seed")
    train_pool = _checked_labels(labels, what="labels")
    classes, codes = np.unique(train_pool, return_inverse=True)
    if len(classes) < 2:
        raise UserError(f"All labels are {classes[0]}: few-shot evaluation needs at least two classes.", field="labels")
    if groups is not None and np.shape(groups) != train_pool.shape:
        raise UserError(f"There are {train_pool.size} labels but groups of shape {np.shape(groups)}: give one a row.")
    validation_codes = None
    if validation_labels is not None:
        validation_pool = _checked_labels(validation_labels, what="validation labels")
        strange = sorted(set(np.unique(validation_pool).tolist()) - set(classes.tolist()))
        if strange:
            raise UserError(
                f"The validation labels hold {strange[0]}, which no training row has: use the same classes."
            )
        validation_codes = np.searchsorted(classes, validation_pool).astype(np.int64)
    return draw_shots(
        codes.astype(np.int64),
        validation_codes,
        k=size,
        replicates=replicates,
        seed=seed,
        protocol=rule,
        names=[str(value) for value in classes.tolist()],
        groups=None if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64),
        max_k=max_k,
    )


def draw_shots(
    train: Rows,
    validation: Rows | None,
    *,
    k: int,
    replicates: int,
    seed: int,
    protocol: ShotProtocol,
    names: Sequence[str],
    groups: Rows | None = None,
    max_k: int = 128,
) -> list[Shots]:
    """`sample_shots` of arguments that are checked: classes 0..C−1 of both pools, their names for the flags."""
    if k == ALL:
        drawn = [_everything(train, validation, protocol)] * replicates
    else:
        pool = None if protocol.validation_from == "none" else validation
        request = Request(train=train, validation=pool, k=k, max_k=max_k, seed=seed, replicates=replicates)
        drawn = list(protocol.draw(request))
    shots = []
    for replicate, (train_rows, validation_rows) in enumerate(drawn):
        flags: list[str] = []
        is_cut = protocol.validation_from == "train" and k != ALL
        if is_cut and groups is not None:
            train_rows, validation_rows, moved = _kept_together(train_rows, validation_rows, groups)
            if moved:
                rows = "row" if moved == 1 else "rows"
                flags.append(f"{moved} validation {rows} went to training, where the rest of the group is")
        lacking = _lacking(train_rows, train, k, protocol)
        flags += _flags(train_rows, train, lacking, k=k, protocol=protocol, names=names)
        few: list[str] = []
        if len(validation_rows) and not is_cut and validation is not None and k != ALL:
            few = _validation_flags(validation, validation_rows, k, protocol, names)
        shots.append(
            Shots(
                train=train_rows,
                validation=validation_rows,
                k=k,
                replicate=replicate,
                is_oversampled=bool(lacking.any()) and protocol.is_filled,
                unique_rows=len(np.unique(train_rows)),
                validation_unique_rows=len(np.unique(validation_rows)),
                is_short=bool(lacking.any()) and not protocol.is_filled,
                validation_is_from_train=is_cut,
                flags=tuple(flags),
                validation_flags=tuple(few),
            )
        )
    return shots


def _everything(train: Rows, validation: Rows | None, protocol: ShotProtocol) -> tuple[Rows, Rows]:
    has_validation = validation is not None and protocol.validation_from != "none"
    return np.arange(len(train)), np.arange(len(validation)) if has_validation and validation is not None else NOTHING


def _kept_together(train: Rows, validation: Rows, groups: Rows) -> tuple[Rows, Rows, int]:
    crossing = np.isin(groups[validation], groups[train])
    moved = int(crossing.sum())
    return np.concatenate([train, validation[crossing]]), validation[~crossing], moved


def _asked(k: int, protocol: ShotProtocol) -> int:
    """Rows of each class that the protocol wants; 0 where it does not say."""
    if k == ALL or protocol.k_means != "labels a class":
        return 0
    return max(k, 2) if protocol.name == "elevater" else k


def _lacking(drawn: Rows, codes: Rows, k: int, protocol: ShotProtocol) -> NDArray[np.bool_]:
    """(C,) whether a class has fewer rows than asked for; (1,) where rows are asked for, whatever their class."""
    if protocol.k_means == "rows in all" and k != ALL:
        return np.array([len(drawn) < vtab_train_rows(k)])
    return np.bincount(codes) < _asked(k, protocol)


def _flags(
    train: Rows, codes: Rows, lacking: NDArray[np.bool_], *, k: int, protocol: ShotProtocol, names: Sequence[str]
) -> list[str]:
    flags = []
    if lacking.any() and protocol.k_means == "rows in all":
        flags.append(f"there are {len(train)} training rows of the {vtab_train_rows(k)} asked for")
    elif lacking.any():
        flags.append(_few(np.bincount(codes), _asked(k, protocol), "training", protocol, names))
    if k != ALL:
        absent = np.flatnonzero(np.bincount(codes[train], minlength=len(names)) == 0)
        if len(absent):
            flags.append(f"no training row of {_listed([names[value] for value in absent.tolist()])}")
    return flags


def _validation_flags(codes: Rows, drawn: Rows, k: int, protocol: ShotProtocol, names: Sequence[str]) -> list[str]:
    if protocol.k_means == "rows in all":
        asked = k - vtab_train_rows(k)
        return [f"there are {len(drawn)} validation rows of the {asked} asked for"] if len(drawn) < asked else []
    asked = {"coop": min(k, COOP_VALIDATION), "tip_adapter": 0}.get(protocol.name, _asked(k, protocol))
    counts = np.bincount(codes, minlength=len(names))
    return [_few(counts, asked, "validation", protocol, names)] if (counts < asked).any() else []


def _few(counts: Rows, asked: int, what: str, protocol: ShotProtocol, names: Sequence[str]) -> str:
    small = np.flatnonzero(counts < asked)
    least = int(small[np.argmin(counts[small])])
    if len(small) == 1:
        start = f"{names[least]} has {counts[least]} {what} rows of the {asked} asked for"
        return f"{start}; it was filled with replacement" if protocol.is_filled else f"{start}; all of them were taken"
    start = f"{len(small)} classes have fewer than {asked} {what} rows (fewest: {names[least]}, {counts[least]})"
    return f"{start}; they were filled with replacement" if protocol.is_filled else f"{start}; all were taken"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more classes" if len(names) > 3 else "")
