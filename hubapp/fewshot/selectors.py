"""What few-shot evaluations of a data set have left: outcomes, predictions, names."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from django.conf import settings
from django.shortcuts import get_object_or_404

from hubapp.catalog.models import Dataset, DatasetRevision
from hubapp.jobs.visibility import Person
from hubapp.results.models import Outcome
from hubapp.results.selectors import outcomes_measured
from workers.kit import HEADS

KIND = "fewshot"
PREDICTIONS = "predictions.npz"
SMALL_BYTES = 4_000_000  # larger files are read anew, so that the web process stays small


def dataset_of(slug: str) -> Dataset:
    """The data set of a page; 404 if there is none."""
    dataset: Dataset = get_object_or_404(Dataset.objects.select_related("current_revision"), slug=slug)
    return dataset


def outcomes_by_model(dataset_revision: DatasetRevision | None, *, user: Person) -> dict[str, list[Outcome]]:
    """By the model's slug, its few-shot outcomes on this revision that `user` may know of, newest first.

    Only the models' current revisions, and only models that are not archived; the newest of each set of parameters.
    """
    if dataset_revision is None:
        return {}
    measured = outcomes_measured(KIND, user=user, dataset_revisions=[dataset_revision])
    found: dict[str, list[Outcome]] = {}
    for outcomes in measured.get(dataset_revision.pk, {}).values():
        revision = outcomes[0].revision
        if revision is None or revision.model.archived_at is not None:
            continue
        if revision.model.current_revision_id == revision.pk:
            found[revision.model.slug] = outcomes
    return dict(sorted(found.items()))


def head_title(name: str) -> str:
    """A head's title; its name where it is not installed any more."""
    return HEADS.get(name).title if name in HEADS else name


def shots_title(shots: int | None) -> str:
    """A number of labels in words: 0 is all, None is none at all."""
    if shots is None:
        return "no labels"
    return "all" if shots == 0 else f"{shots:,}"


def predictions_path(outcome: Outcome) -> Path | None:
    """Where the predictions of an outcome lie; None where they were not kept, or are gone."""
    artifact = next((kept for kept in outcome.artifacts.all() if kept.name == PREDICTIONS), None)
    path = Path(settings.FILES_DIR) / artifact.location if artifact else None
    return path if path is not None and path.is_file() else None


def arrays_of(outcome: Outcome, names: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    """Those of the named arrays of `predictions.npz` that are there (docs/fewshot.md lists them), read-only."""
    path = predictions_path(outcome)
    if path is None:
        return {}
    read = _remembered if path.stat().st_size <= SMALL_BYTES else _read
    return dict(read(str(path), names))


def _read(path: str, names: tuple[str, ...]) -> tuple[tuple[str, npt.NDArray[Any]], ...]:
    with np.load(path, allow_pickle=False) as archive:
        found = tuple((name, archive[name]) for name in names if name in archive)
    for _, array in found:
        array.flags.writeable = False
    return found


def array_names(outcome: Outcome) -> frozenset[str]:
    """Names of the arrays of `predictions.npz`; none where it was not kept, or is gone."""
    path = predictions_path(outcome)
    return frozenset() if path is None else _names(str(path))


@lru_cache(maxsize=256)
def _names(path: str) -> frozenset[str]:
    with np.load(path, allow_pickle=False) as archive:
        return frozenset(archive.files)


# A file's name is the digest of its content, so what was read once stays true.
_remembered = lru_cache(maxsize=32)(_read)
