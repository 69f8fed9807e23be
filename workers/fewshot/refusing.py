"""What can be said against a few-shot run before anything is queued. Free of torch and numerics."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from workers.fewshot.shot_protocols import PROTOCOLS
from workers.kit import HEADS, DatasetRef, UserError
from workers.sources.manifest_store import manifest_path, manifest_read

ALL = 0


def refuse_heads(heads: Sequence[str], dataset: DatasetRef | None) -> None:
    """Raise UserError for heads that name one class a row where rows have several labels."""
    if dataset is None or dataset.config.get("task") != "multi-label":
        return
    for name in heads:
        if "class_texts" in HEADS.get(name).needs:
            raise UserError(
                f"The head {HEADS.get(name).title!r} names one class a row, but this data set has several labels a "
                "row: choose other heads.",
                field="heads",
            )


def refuse_shots(shots: Sequence[int], protocol: str, dataset: DatasetRef | None) -> None:
    """Raise UserError for more labels a class than the data set has rows."""
    if dataset is None or not dataset.rows or PROTOCOLS[protocol].k_means != "labels a class":
        return
    largest = max(shots, default=0)
    if largest > dataset.rows:
        raise UserError(
            f"{largest:,} labels a class were asked for, but the data set has {dataset.rows:,} rows in all: ask for "
            "fewer, or for 0, which takes all rows.",
            field="shots",
        )


def refuse_manifest(digest: str, shots: Sequence[int], dataset: DatasetRef | None, store_dir: Path) -> None:
    """Raise UserError for a manifest that is not kept, is of another revision or lacks a number of labels."""
    manifest_read(store_dir, digest)
    revision, name, sizes = _about(str(manifest_path(store_dir, digest)))
    if dataset is not None and revision != dataset.revision:
        raise other_revision(name, revision, dataset.revision, field="manifest")
    if missing := [k for k in shots if k not in sizes]:
        raise missing_sizes(missing, sizes)


@lru_cache(maxsize=64)
def _about(path: str) -> tuple[str, str, tuple[int, ...]]:
    """Revision, name of the data set and numbers of labels of a kept manifest, whose name fixes them."""
    content = json.loads(Path(path).read_bytes())
    about = content["_manifest"]
    keys = [set(content[task["key"]]) for task in about["sub_tasks"]]
    order = content[about["sub_tasks"][0]["key"]]
    sizes = tuple(ALL if key == "-1" else int(key) for key in order if all(key in one for one in keys))
    return about["revision"], about["dataset"], sizes


def other_revision(name: str, theirs: str, ours: str, *, field: str | None = None) -> UserError:
    """The refusal of a manifest of another revision."""
    return UserError(
        f"The manifest was made for the revision {theirs[:12] or 'unknown'} of {name or 'its data set'}; this one is "
        f"{ours[:12] or 'unknown'}: its rows need not be the same. Use that revision, or draw anew.",
        field=field,
    )


def missing_sizes(missing: Sequence[int], sizes: Sequence[int]) -> UserError:
    """The refusal of numbers of labels that a manifest has no draws of."""
    return UserError(
        f"The manifest has no draws of {size_words(missing)}; it has {size_words(sizes)}. Ask for some of those, or "
        "for none to take them all.",
        field="shots",
    )


def size_words(sizes: Sequence[int]) -> str:
    """ "1, 8, all rows labels a class" in words that can stand alone."""
    numbers = ", ".join(f"{k:,}" for k in sizes if k != ALL)
    words = [f"{numbers} label{'' if numbers == '1' else 's'} a class"] if numbers else []
    return " and ".join([*words, *(["all rows"] if ALL in sizes else [])])
