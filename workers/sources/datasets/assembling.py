"""From the rows of a source to a data set: labels first, then a sample, and only then the inputs of its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.kit import DatasetRef, UserError, generator_for
from workers.sources.datasets.sampling import config_number, stratified_rows
from workers.sources.datasets.targets import Ints, Targets
from workers.sources.protocols import Dataset, Dropped, Items

UNREADABLE_SHARE = 0.1


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The inputs of the sampled rows, as a source read them.

    items        of the rows that could be read
    kept         (rows asked for,) bool, which could be read
    dropped      the others, and why
    content_ids  of the rows that could be read, see `Dataset`
    rate         samples per second of recordings
    reading      how they were read, in words, for the provenance
    """

    items: Items
    kept: npt.NDArray[np.bool_]
    content_ids: Ints | None = None
    dropped: tuple[Dropped, ...] = ()
    rate: int = 0
    reading: dict[str, Any] = field(default_factory=dict)


def content_id(data: bytes) -> int:
    """The first 63 bits of the SHA-256 of a row's content."""
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big") >> 1


def content_ids(contents: Iterable[bytes]) -> Ints:
    """`content_id` of every row."""
    return np.fromiter((content_id(data) for data in contents), dtype=np.int64)


def array_inputs(items: npt.NDArray[Any], **reading: Any) -> Inputs:
    """Inputs that are an array already: every row is kept, and its bytes are its content."""
    return Inputs(
        items=items,
        kept=np.ones(len(items), dtype=np.bool_),
        content_ids=content_ids(np.ascontiguousarray(row).tobytes() for row in items),
        reading=reading,
    )


def group_codes(groups: Sequence[str]) -> Ints:
    """Whole numbers, equal where the texts are; a row without a text is a group of its own."""
    number: dict[str, int] = {}
    return np.array([number.setdefault(text or f"\0{row}", len(number)) for row, text in enumerate(groups)], np.int64)


def sampled_positions(ref: DatasetRef, targets: Targets) -> Ints:
    """Positions among the labelled rows that the configuration's `sample` and `seed` draw, increasing.

    Stratified by class where there are classes, else every row alike.
    """
    size, seed = config_number(ref.config, "sample", 0), config_number(ref.config, "seed", 0)
    if targets.task == "classification":
        return stratified_rows(targets.labels, size=size, seed=seed)
    if not size or size >= len(targets.rows):
        return np.arange(len(targets.rows), dtype=np.int64)
    drawn = generator_for(seed, "sample", "rows").choice(len(targets.rows), size=size, replace=False)
    return np.sort(drawn).astype(np.int64)


def _named(ref: DatasetRef, targets: Targets) -> tuple[str, ...]:
    wanted = ref.config.get("class_names")
    if wanted is None or targets.task == "regression":
        return targets.classes
    if not isinstance(wanted, (list, tuple)) or len(wanted) != len(targets.classes):
        raise UserError(
            f"The data set {ref.name!r} has {len(targets.classes)} classes, but class names for another number are "
            "given.",
            field="class_names",
        )
    return tuple(str(name) for name in wanted)


def _refuse_hopeless(ref: DatasetRef, targets: Targets) -> None:
    if not len(targets.rows):
        raise UserError(f"The data set {ref.name!r} has no labelled rows: check which column or folder says the label.")
    if targets.task == "classification" and len(targets.classes) < 2:
        raise UserError(
            f"Every row of the data set {ref.name!r} has the label {targets.classes[0]!r}. At least two classes are "
            "needed to tell models apart: check which column or folder holds the labels."
        )


def _refuse_unreadable(ref: DatasetRef, inputs: Inputs) -> None:
    asked, lost = len(inputs.kept), int((~inputs.kept).sum())
    if lost <= asked * UNREADABLE_SHARE and lost < asked:
        return
    first = inputs.dropped[0] if inputs.dropped else Dropped(reason="unreadable", rows=lost)
    example = f", the first is {first.examples[0]}" if first.examples else ""
    raise UserError(
        f"{lost} of {asked} rows of the data set {ref.name!r} cannot be read ({first.reason}{example}); more than "
        f"{UNREADABLE_SHARE:.0%} are too many. Repair or remove them and try again."
    )


def assembled(
    ref: DatasetRef,
    *,
    modality: str,
    targets: Targets,
    inputs: Callable[[Ints], Inputs],
    source_rows: int,
    names: Sequence[str] = (),
    splits: Sequence[str] = (),
    groups: Sequence[str] = (),
    dropped: Sequence[Dropped] = (),
    provenance: dict[str, Any],
) -> Dataset:
    """The data set of a source: `inputs` is asked for the sampled rows only, by their numbers in the source.

    `names`, `splits` and `groups` are by row of the source. Reads `sample`, `seed` and `class_names` of the
    configuration. Raises UserError for no rows, one class only, a sample that is too small, and where more than
    UNREADABLE_SHARE of the sampled rows cannot be read.
    """
    _refuse_hopeless(ref, targets)
    classes = _named(ref, targets)
    positions = sampled_positions(ref, targets)
    found = inputs(targets.rows[positions])
    _refuse_unreadable(ref, found)
    positions = positions[found.kept]
    rows = targets.rows[positions]
    labels = targets.labels[positions]
    if targets.task == "classification":
        present, labels = np.unique(labels, return_inverse=True)
        classes = tuple(classes[label] for label in present)
        labels = labels.astype(np.int64)
        if len(classes) < 2:
            raise UserError(f"Only rows of the class {classes[0]!r} could be read: repair the others and try again.")
    how = "stratified by class, " if targets.task == "classification" else ""
    asked = len(found.kept)
    sampling = (
        f"{asked} of {len(targets.rows)} rows, {how}without replacement, seed {config_number(ref.config, 'seed', 0)}"
        if asked < len(targets.rows)
        else f"all {asked} labelled rows"
    )
    return Dataset(
        modality=modality,
        items=found.items,
        labels=labels,
        classes=classes,
        row_ids=rows,
        task=targets.task,
        targets=None if targets.values is None else targets.values[positions],
        splits=tuple(splits[row] for row in rows) if any(splits) else (),
        source_rows=source_rows,
        row_names=tuple(names[row] for row in rows) if names else (),
        content_ids=found.content_ids,
        groups=group_codes([groups[row] for row in rows]) if groups else None,
        dropped=(*dropped, *targets.dropped, *found.dropped),
        rate=found.rate,
        provenance={**provenance, **found.reading, "source": ref.source, "task": targets.task, "sampling": sampling},
    )
