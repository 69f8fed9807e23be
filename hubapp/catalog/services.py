"""Changing the catalogue: archive, restore and delete."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from hubapp.catalog.models import Dataset, DatasetRevision, File, Model, Upload
from workers.kit import UserError


def model_archive(model: Model) -> None:
    """Hide a model from lists, search and rankings; nothing is lost."""
    Model.objects.filter(pk=model.pk, archived_at__isnull=True).update(archived_at=timezone.now())


def model_restore(model: Model) -> None:
    """Bring an archived model back. Raises UserError while its files are gone from their folder."""
    if model.is_missing:
        raise UserError(f"The files of {model.title} have gone from its folder. Put them back, then scan the folder.")
    Model.objects.filter(pk=model.pk).update(archived_at=None)


def model_mark_analysed(model: Model, *, is_analysed: bool = True) -> None:
    """Note whether a result of this model is shown, so that the list can be narrowed to such models."""
    Model.objects.filter(pk=model.pk).exclude(is_analysed=is_analysed).update(is_analysed=is_analysed)


def model_delete(model: Model) -> None:
    """Delete a model with its revisions, jobs and results, and its stored files unless another revision has them too.

    Files of a folder source stay where they are: they belong to their owner.
    """
    with transaction.atomic():
        locations = list(File.objects.filter(revision__model=model).values_list("location", flat=True))
        model.delete()
        transaction.on_commit(
            lambda: _folders_remove({_stored_folder(place) for place in locations}, is_used=is_used_by_model)
        )


def dataset_archive(dataset: Dataset) -> None:
    """Hide a data set from lists and forms; nothing is lost."""
    Dataset.objects.filter(pk=dataset.pk, archived_at__isnull=True).update(archived_at=timezone.now())


def dataset_restore(dataset: Dataset) -> None:
    """Bring an archived data set back."""
    Dataset.objects.filter(pk=dataset.pk).update(archived_at=None)


def dataset_profile_store(revision: DatasetRevision, profile: Mapping[str, Any]) -> None:
    """Keep what the analysis "dataset_profile" found (its summary) where the data set's page reads it."""
    DatasetRevision.objects.filter(pk=revision.pk).update(profile=dict(profile))


def dataset_delete(dataset: Dataset) -> None:
    """Delete a data set with its revisions, jobs and results, and its stored files unless another one has them too."""
    with transaction.atomic():
        locations = list(dataset.revisions.exclude(location="").values_list("location", flat=True))
        locations += [f"{folder}/" for folder in dataset.uploads.exclude(folder="").values_list("folder", flat=True)]
        ids = {
            place
            for rows in (dataset.revisions, dataset.uploads)
            for place in rows.values_list("ids_location", flat=True)
        }
        dataset.delete()
        transaction.on_commit(
            lambda: _folders_remove({_stored_folder(place) for place in locations}, is_used=is_used_by_dataset)
        )
        transaction.on_commit(lambda: _files_remove(ids))


def _stored_folder(location: str) -> str:
    """ "models/<digest>" of a stored location; "" for one that lies elsewhere."""
    parts = Path(location).parts
    return "/".join(parts[:2]) if len(parts) > 1 and parts[0] in {"models", "datasets"} else ""


def is_used_by_model(folder: str) -> bool:
    """Whether a file of any model revision lies in that folder of FILES_DIR."""
    return File.objects.filter(location__startswith=f"{folder}/").exists()


def is_used_by_dataset(folder: str) -> bool:
    """Whether any data set revision, or an upload that may become one, lies in that folder of FILES_DIR."""
    of_revision = DatasetRevision.objects.filter(Q(location=folder) | Q(location__startswith=f"{folder}/"))
    return of_revision.exists() or Upload.objects.filter(folder=folder).exists()


def _files_remove(locations: set[str]) -> None:
    for location in locations - {""}:
        (Path(settings.FILES_DIR) / location).unlink(missing_ok=True)


def _folders_remove(folders: set[str], *, is_used: Callable[[str], bool]) -> None:
    for folder in sorted(folders - {""}):
        if not is_used(folder):
            shutil.rmtree(Path(settings.FILES_DIR) / folder, ignore_errors=True)
