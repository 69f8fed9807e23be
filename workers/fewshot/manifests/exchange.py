"""Reading manifests that come from elsewhere: our own JSON, and EHRSHOT's shots file. Strangers' text is checked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.fewshot.manifests.form import ABOUT, ALL_KEY, FORMAT, LAYOUT, Manifest, ManifestDraw, ManifestTask
from workers.fewshot.refusing import other_revision
from workers.fewshot.shots import ALL
from workers.fewshot.splits import split_of
from workers.kit import UserError
from workers.sources.manifest_store import LARGEST_BYTES

Rows = NDArray[np.int64]
LARGEST_ID = 2**62
LARGEST_K = 2**31
LONGEST_TEXT = 2000
CONVENTIONS = ("split", "shots", "shots_source", "shots_seeds")  # not in the digest: nothing else is taken over
ODD = "Import the file as it was exported."


def import_manifest(
    text: str | bytes,
    row_ids: Rows,
    labels: Rows,
    *,
    class_names: Sequence[str],
    dataset_revision: str,
    dataset_name: str = "",
    targets: NDArray[np.integer] | None = None,
    groups: Rows | None = None,
    splits: Sequence[str] = (),
    largest_bytes: int = LARGEST_BYTES,
) -> Manifest:
    """The manifest of a file, checked against the data set that it is to be used for.

    text      our JSON (`Manifest.to_json`), or EHRSHOT's `<strategy>_shots_data.json`, whose train_idxs and val_idxs
              are places in the source's training and validation rows in the order of their row ids
    the rest  as `manifest_of` takes them

    Raises UserError if it is too large or no manifest, was changed after it was written, names rows that are not there,
    is of another revision, or says other labels than the data set; if a group would straddle parts.
    """
    content = _parsed(text, largest_bytes=largest_bytes)
    if ABOUT in content:
        manifest = _own(content)
        if manifest.dataset_revision != dataset_revision:
            raise other_revision(manifest.dataset_name, manifest.dataset_revision, dataset_revision)
    else:
        manifest = _ehrshots(
            content,
            row_ids,
            labels,
            class_names=class_names,
            dataset_revision=dataset_revision,
            dataset_name=dataset_name,
            targets=targets,
            groups=groups,
            splits=splits,
        )
    _refuse_other_data(manifest, row_ids, labels, targets, class_names)
    _refuse_crossing(manifest, row_ids, groups)
    return manifest


def manifest_from_json(text: str | bytes, *, largest_bytes: int = LARGEST_BYTES) -> Manifest:
    """The manifest that `Manifest.to_json` wrote; UserError if the text is none or was changed since."""
    content = _parsed(text, largest_bytes=largest_bytes)
    if ABOUT not in content:
        raise UserError(f"This is not a manifest of Hubscope: it has no part {ABOUT!r}. {ODD}")
    return _own(content)


def _parsed(text: str | bytes, *, largest_bytes: int) -> dict[str, Any]:
    size = len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "surrogatepass"))
    if size > largest_bytes:
        raise UserError(
            f"The manifest has {size / 2**20:,.1f} MB: at most {largest_bytes / 2**20:,.0f} MB are read. Export one "
            "with fewer shots or replicates."
        )
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise UserError("The manifest is not JSON. " + ODD) from None
    if not isinstance(content, dict) or not content:
        raise UserError("The manifest is not a JSON object of sub-tasks. " + ODD)
    return content


def _part(of: Any, name: str, kind: type | tuple[type, ...], *, where: str = "The manifest") -> Any:
    value = of.get(name) if isinstance(of, Mapping) else None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise UserError(f"{where} has no {name!r} of the right kind. {ODD}")
    if isinstance(value, str) and not _is_text(value):
        raise UserError(f"{where} has a {name!r} that is too long or no text. {ODD}")
    return value


def _is_text(value: Any) -> bool:
    """A text of decent length that UTF-8 and PostgreSQL can hold: no half characters, no NUL."""
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        return False
    return not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in value)


def _count(of: Any, name: str) -> int:
    return int(_numbers({name: [_part(of, name, int)]}, name, below=2**33, where="The manifest")[0])


def _numbers(of: Any, name: str, *, below: int, where: str) -> Rows:
    """A list of whole numbers, 0 ≤ n < below."""
    values = _part(of, name, list, where=where)
    if not all(type(value) is int and 0 <= value < below for value in values):
        raise UserError(f"{where}: {name!r} must hold whole numbers from 0 to {below - 1:,}. {ODD}")
    return np.array(values, dtype=np.int64)


def _texts(of: Any, name: str, *, where: str) -> tuple[str, ...]:
    values = _part(of, name, list, where=where)
    if not all(_is_text(value) for value in values):
        raise UserError(f"{where}: {name!r} must hold texts. {ODD}")
    return tuple(values)


def _whole(text: str, *, below: int, where: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(below)) and int(text) < below):
        raise UserError(f"{where}: {text[:40]!r} should be a whole number. {ODD}")
    return int(text)


def _own(content: dict[str, Any]) -> Manifest:
    about = _part(content, ABOUT, dict)
    if about.get("format") != FORMAT or about.get("layout") != LAYOUT:
        raise UserError(f"The manifest's format is not {FORMAT!r}, layout {LAYOUT}: export it again with this version.")
    train, validation, test = (
        _numbers(about, name, below=LARGEST_ID, where="The manifest")
        for name in ("train_row_ids", "validation_row_ids", "test_row_ids")
    )
    together = np.concatenate([train, validation, test])
    if len(np.unique(together)) != len(together):
        raise UserError(f"The manifest's training, validation and test rows overlap. {ODD}")
    tasks = [_own_task(content, one, train, validation) for one in _part(about, "sub_tasks", list)]
    conventions = _part(about, "conventions", dict)
    skipped = [_texts({"skipped": one}, "skipped", where="The manifest") for one in _part(about, "skipped", list)]
    if not tasks or any(len(one) != 2 for one in skipped):
        raise UserError(f"The manifest has no sub-tasks, or what it skips is no pair of texts. {ODD}")
    manifest = Manifest(
        dataset_name=_part(about, "dataset", str),
        dataset_revision=_part(about, "revision", str),
        protocol=_part(about, "protocol", str),
        seed=_count(about, "seed"),
        replicates=_count(about, "replicates"),
        max_k=_count(about, "max_k"),
        train=train,
        validation=validation,
        test=test,
        sub_tasks=tuple(tasks),
        conventions={name: _part(conventions, name, str) for name in CONVENTIONS if name in conventions},
        skipped=tuple((one[0], one[1]) for one in skipped),
    )
    if manifest.digest != _part(about, "digest", str):
        raise UserError(f"The manifest's digest does not match its rows: it was changed after it was written. {ODD}")
    return manifest


def _own_task(content: dict[str, Any], about: Any, train: Rows, validation: Rows) -> ManifestTask:
    key = _part(about, "key", str)
    where = f"The sub-task {key[:60]!r}"
    classes = _texts(about, "classes", where=where)
    present = _numbers(about, "present", below=LARGEST_K, where=where).tolist()
    column = _part(about, "column", int, where=where)
    if len(classes) < 2 or len(present) != len(classes) or not -1 <= column < LARGEST_K:
        raise UserError(f"{where} has {len(classes)} classes with {len(present)} numbers. {ODD}")
    return ManifestTask(
        name=_part(about, "name", str),
        classes=classes,
        present=tuple(present),
        column=column,
        draws=_draws(_part(content, key, dict), train, validation, classes=len(classes), where=where),
    )


def _draws(
    by_k: Mapping[str, Any], train: Rows, validation: Rows, *, classes: int, where: str
) -> dict[int, tuple[ManifestDraw, ...]]:
    found: dict[int, tuple[ManifestDraw, ...]] = {}
    for key in by_k:
        k = ALL if key == ALL_KEY else _whole(key, below=LARGEST_K, where=where)
        here = f"{where} at k = {key}"
        draws = [
            _draw(_part(by_k[key], number, dict, where=here), number, train, validation, classes=classes, where=here)
            for number in _part(by_k, key, dict, where=where)
        ]
        if not draws or k in found or len({draw.replicate for draw in draws}) < len(draws):
            raise UserError(f"{here} has no draws, or has them twice. {ODD}")
        found[k] = tuple(sorted(draws, key=lambda draw: draw.replicate))
    if not found:
        raise UserError(f"{where} has no draws. {ODD}")
    return found


def _draw(of: Any, number: str, train: Rows, validation: Rows, *, classes: int, where: str) -> ManifestDraw:
    pool = train if of.get("val_idxs_of") == "train" else validation
    train_rows = _numbers(of, "train_idxs", below=len(train), where=where)
    validation_rows = _numbers(of, "val_idxs", below=len(pool), where=where)
    labels = [
        np.array([_label(value, classes, where) for value in _part(of, name, list, where=where)], dtype=np.int64)
        for name in ("label_values_train_k", "label_values_val_k")
    ]
    if not len(train_rows) or len(labels[0]) != len(train_rows) or len(labels[1]) != len(validation_rows):
        raise UserError(f"{where} has rows without a label, or no rows. {ODD}")
    drawn, held_out = train[train_rows], pool[validation_rows]
    if pool is train and np.isin(held_out, drawn).any():
        raise UserError(f"{where} trains on rows that it also validates on. {ODD}")
    return ManifestDraw(
        replicate=_whole(number, below=LARGEST_K, where=where),
        train=drawn,
        validation=held_out,
        train_labels=labels[0],
        validation_labels=labels[1],
        is_oversampled=bool(len(np.unique(drawn)) < len(drawn)),
        is_short=of.get("is_short") is True,
        flags=_texts(of, "flags", where=where) if "flags" in of else (),
        validation_flags=_texts(of, "validation_flags", where=where) if "validation_flags" in of else (),
    )


def _label(value: Any, classes: int, where: str) -> int:
    """EHRSHOT writes truth values or 0 and 1, we write places in the classes."""
    if not isinstance(value, int) or not 0 <= value < classes:
        raise UserError(f"{where}: a label is {str(value)[:40]!r}, but there are {classes} classes. {ODD}")
    return int(value)


def _ehrshots(
    content: dict[str, Any],
    row_ids: Rows,
    labels: Rows,
    *,
    class_names: Sequence[str],
    dataset_revision: str,
    dataset_name: str,
    targets: NDArray[np.integer] | None,
    groups: Rows | None,
    splits: Sequence[str],
) -> Manifest:
    if not {"train", "validation", "test"} <= set(splits):
        raise UserError(
            "This file counts rows within the source's training and validation part, but the data set does not say "
            "which rows those are. Add a split to it, or import a manifest of Hubscope."
        )
    split = split_of(
        labels,
        row_ids,
        dataset_revision=dataset_revision,
        seed=0,
        class_names=class_names,
        targets=targets,
        groups=groups,
        splits=splits,
    )
    train, validation = row_ids[split.train], row_ids[split.validation]
    tasks = []
    if targets is None:
        if len(content) != 1:
            raise UserError(f"The file has {len(content)} sub-tasks, but the data set is one classification.")
        present = tuple(np.unique(labels).tolist())
        names = {next(iter(content)): ("", tuple(class_names[value] for value in present), present, -1)}
    else:
        strange = sorted(set(content) - set(class_names))
        if strange:
            raise UserError(f"The file has a sub-task {strange[0][:60]!r}, which is no label of the data set.")
        names = {name: (name, (f"not {name}", name), (0, 1), list(class_names).index(name)) for name in content}
    for key, (name, classes, present, column) in names.items():
        where = f"The sub-task {key[:60]!r}"
        found = _draws(_part(content, key, dict, where=where), train, validation, classes=len(classes), where=where)
        tasks.append(ManifestTask(name=name, classes=classes, present=present, column=column, draws=found))
    ks = [k for task in tasks for k in task.draws if k != ALL]
    counts = [len(draws) for task in tasks for draws in task.draws.values()]
    absent = [name for name in class_names if targets is not None and name not in content]
    return Manifest(
        dataset_name=dataset_name,
        dataset_revision=dataset_revision,
        protocol="ehrshot",
        seed=0,
        replicates=max(counts),
        max_k=max(ks, default=0),
        train=train,
        validation=validation,
        test=row_ids[split.test],
        sub_tasks=tuple(tasks),
        conventions={"split": split.convention, "shots": "imported from a shots file in EHRSHOT's layout"},
        skipped=tuple((name, "the imported file has no shots of it") for name in absent),
    )


def _refuse_other_data(
    manifest: Manifest,
    row_ids: Rows,
    labels: Rows,
    targets: NDArray[np.integer] | None,
    class_names: Sequence[str],
) -> None:
    placed = manifest.positions(row_ids)
    for task in manifest.sub_tasks:
        if (task.column >= 0) != (targets is not None):
            raise UserError("The manifest is of another task than the data set: one has several labels a row.")
        if task.column >= 0:
            is_same = task.column < len(class_names) and class_names[task.column] == task.name
        else:
            here = [class_names[value] if value < len(class_names) else None for value in task.present]
            is_same = here == list(task.classes)
        if not is_same:
            raise UserError(
                f"The manifest's classes are {', '.join(task.classes[:5])}, which are not the data set's: it was made "
                "for another data set."
            )
        values = task.labels_of(labels, targets)
        if task.column < 0 and (values[placed.test] < 0).any():
            raise UserError(
                "The manifest tests on rows of a class that it does not name: it was made for another state of the "
                "data."
            )
        absent = np.setdiff1d(np.arange(len(task.classes)), values[placed.test])
        if len(absent):
            raise UserError(
                f"The manifest has no test row of {task.classes[int(absent[0])]!r}: nothing would be known."
            )
        for k, draws in task.draws.items():
            for draw, at in zip(draws, placed.draws[task.name][k], strict=True):
                for rows, stated, ids in (
                    (at.train, draw.train_labels, draw.train),
                    (at.validation, draw.validation_labels, draw.validation),
                ):
                    wrong = values[rows] != stated
                    if wrong.any():
                        raise UserError(
                            f"The manifest says other labels than the data set: row {int(ids[wrong][0])} is "
                            f"{task.classes[int(stated[wrong][0])]!r} there. It was made for another state of the data."
                        )


def _refuse_crossing(manifest: Manifest, row_ids: Rows, groups: Rows | None) -> None:
    if groups is None:
        return
    placed = manifest.positions(row_ids)
    parts = [np.unique(groups[rows]) for rows in (placed.train, placed.validation, placed.test) if len(rows)]
    values, counts = np.unique(np.concatenate(parts), return_counts=True)
    if (counts > 1).any():
        raise UserError(
            f"The manifest puts {int((counts > 1).sum()):,} groups (group {int(values[counts > 1][0])}) into several "
            "parts, so scores would be too good. Draw anew, so that whole groups are split."
        )
