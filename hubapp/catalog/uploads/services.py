"""Changing uploads: new ones, what a person says of them, accepting and discarding."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone

from hubapp.catalog.dataset_names import free_slug
from hubapp.catalog.importing import ImportFile, dataset_import, dataset_revision_digest
from hubapp.catalog.models import Dataset, DatasetRevision, Upload
from hubapp.catalog.services import dataset_profile_store, is_used_by_dataset
from hubapp.catalog.uploads.storing import StoredFile
from workers.kit import UserError

ROWS_ROOM = "rows"
NAMES_SHOWN = 20


def may_change(upload: Upload, user: Any) -> bool:
    """Whether this person may correct, accept or discard it: who brought it, and staff."""
    return bool(user.is_authenticated and (user.is_staff or upload.uploaded_by_id == user.pk))


def refuse_others(upload: Upload, user: Any) -> None:
    """Raise PermissionDenied unless `may_change`."""
    if not may_change(upload, user):
        raise PermissionDenied


def upload_create(
    *,
    user: User,
    title: str,
    folder: str = "",
    files: list[StoredFile] | None = None,
    origin_path: str = "",
    dataset: Dataset | None = None,
    meaning: str = "",
    licence: str = "",
    given: Mapping[str, Any] | None = None,
) -> Upload:
    """An upload whose files lie in `folder` below FILES_DIR, or that the check copies from `origin_path` first."""
    kept = files or []
    return Upload.objects.create(
        uploaded_by=user,
        title=title,
        meaning=meaning,
        licence=licence,
        dataset=dataset,
        folder=folder,
        files=[[file.path, file.sha256, file.size] for file in kept],
        size_bytes=sum(file.size for file in kept),
        origin_path=origin_path,
        given=dict(given or {}),
    )


def uploads_same(upload: Upload) -> list[Upload]:
    """Other uploads of the very same bytes: the accepted ones first, then those that wait."""
    if not upload.folder:
        return []
    found = Upload.objects.filter(folder=upload.folder).exclude(pk=upload.pk).select_related("dataset", "revision")
    return sorted(found[:50], key=lambda one: (one.status != Upload.Status.ACCEPTED, one.created_at))


def upload_correct(upload: Upload, given: Mapping[str, Any]) -> Upload:
    """Keep what a person says of how to read it; it waits for another check. Raises UserError once it is accepted."""
    _refuse_accepted(upload)
    upload.given = dict(given)
    upload.round += 1
    upload.status = Upload.Status.WAITING
    upload.save(update_fields=["given", "round", "status"])
    return upload


def _refuse_accepted(upload: Upload) -> None:
    if upload.status == Upload.Status.ACCEPTED:
        raise UserError("This upload was accepted already. Bring the file again to read it in another way.")


def place_of(upload: Upload) -> tuple[Path, str]:
    """What a source is pointed at, and its path below the folder: the one file, or "" for the folder of several."""
    folder = Path(settings.FILES_DIR) / upload.folder
    if len(upload.files) == 1 and "/" not in upload.files[0][0]:
        return folder / upload.files[0][0], str(upload.files[0][0])
    return folder, ""


def upload_accept(upload: Upload) -> Dataset:
    """Make the data set, or the new revision of one, that was checked; without copying a byte.

    Raises UserError where it was not checked, was refused, holds something else than the data set, or is there already.
    """
    with transaction.atomic():
        return _accepted(Upload.objects.select_for_update().get(pk=upload.pk))


def _accepted(upload: Upload) -> Dataset:
    """`upload_accept` of a row that is locked, so that two clicks make one data set."""
    _refuse_accepted(upload)
    report = upload.report
    if upload.status != Upload.Status.CHECKED or report.get("verdict") not in {"accepted", "warnings"}:
        raise UserError("This upload cannot be accepted: it was not checked, or the check refused it.")
    guess, profile = report["guess"], report["profile"]
    config = dict(guess["config"])
    digest = dataset_revision_digest(guess["source"], {path: sha for path, sha, _ in upload.files}, config)
    known = DatasetRevision.objects.filter(digest=digest).select_related("dataset").first()
    if known is not None:
        raise UserError(f"This is in the catalogue already, as {known.dataset.title}. Discard the upload.")
    _refuse_other_kind(upload, guess)
    _, path = place_of(upload)
    location = "/".join(part for part in (path, guess.get("location", "")) if part)
    facts: dict[str, Any] = {"modality": guess["modality"], "task": guess["task"]}
    if upload.dataset is None:
        facts |= {"meaning": upload.meaning, "licence": upload.licence, "origin": _origin(upload)}
    before = upload.dataset.current_revision if upload.dataset else None
    imported = dataset_import(
        slug=upload.dataset.slug if upload.dataset else free_slug(upload.title),
        title=upload.dataset.title if upload.dataset else upload.title,
        source=guess["source"],
        facts=facts,
        files=[
            ImportFile(path=name, location=Path(settings.FILES_DIR) / upload.folder / name, sha256=sha)
            for name, sha, _ in upload.files
        ],
        location=location,
        config=config,
        classes=profile["classes"],
        rows=profile["rows"],
    )
    revision = imported.dataset.revisions.get(digest=digest)
    dataset_profile_store(revision, profile)
    revision.ids_location = upload.ids_location
    revision.change = change_between(before, revision) if before else {}
    revision.save(update_fields=["ids_location", "change"])
    upload.status, upload.dataset, upload.revision = Upload.Status.ACCEPTED, imported.dataset, revision
    upload.save(update_fields=["status", "dataset", "revision"])
    return imported.dataset


def _origin(upload: Upload) -> str:
    if upload.origin_path:
        return f"from the server's folder {Path(upload.origin_path).name}"[:300]
    who = f" by {upload.uploaded_by.get_username()}" if upload.uploaded_by else ""
    return f"uploaded{who}: {', '.join(str(path) for path, _, _ in upload.files[:3])}"[:300]


def _refuse_other_kind(upload: Upload, guess: Mapping[str, Any]) -> None:
    dataset = upload.dataset
    if dataset is None:
        return
    for name, stated in (("modality", dataset.modality), ("task", dataset.task)):
        if stated and stated != guess[name]:
            raise UserError(
                f"{dataset.title} is of {name} {stated!r}, this upload of {guess[name]!r}: bring it as a data set of "
                "its own."
            )


def change_between(before: DatasetRevision, after: DatasetRevision) -> dict[str, Any]:
    """What changed: rows added, removed and kept by content (None where one revision has no content ids), classes."""
    old, new = ids_of(before), ids_of(after)
    classes_old, classes_new = set(before.classes), set(after.classes)
    added = [name for name in after.classes if name not in classes_old]
    removed = [name for name in before.classes if name not in classes_new]
    rows: dict[str, Any] = {"added": None, "removed": None, "kept": None}
    if old is not None and new is not None:
        rows = {
            "added": int((~np.isin(new, old)).sum()),
            "removed": int((~np.isin(old, new)).sum()),
            "kept": int(np.isin(new, old).sum()),
        }
    return {
        **rows,
        "before": before.digest,
        "classes_added": added[:NAMES_SHOWN],
        "classes_added_count": len(added),
        "classes_removed": removed[:NAMES_SHOWN],
        "classes_removed_count": len(removed),
        "config": sorted(
            key for key in {*before.config, *after.config} if before.config.get(key) != after.config.get(key)
        ),
    }


def ids_of(revision: DatasetRevision) -> Any:
    """The content ids of a revision's rows; None where none were kept."""
    if not revision.ids_location:
        return None
    path = Path(settings.FILES_DIR) / revision.ids_location
    return np.load(path, allow_pickle=False) if path.is_file() else None


def upload_discard(upload: Upload) -> None:
    """Forget an upload, and its files unless a data set or another upload has them too.

    Raises UserError if it was accepted.
    """
    with transaction.atomic():
        locked = Upload.objects.select_for_update().get(pk=upload.pk)
        _refuse_accepted(locked)
        folder, ids = locked.folder, locked.ids_location
        locked.delete()
        transaction.on_commit(lambda: _files_remove(folder, ids))


def uploads_forget(*, days: int) -> int:
    """Discard the uploads that nobody accepted, begun and last checked more than `days` ago; returns how many."""
    before = timezone.now() - timedelta(days=days)
    waiting = Upload.objects.filter(created_at__lt=before).exclude(status=Upload.Status.ACCEPTED)
    count = 0
    for upload in waiting.exclude(checked_at__gte=before):
        with contextlib.suppress(UserError, Upload.DoesNotExist):  # accepted or discarded by somebody meanwhile
            upload_discard(upload)
            count += 1
    return count


def _files_remove(folder: str, ids: str) -> None:
    if folder and not is_used_by_dataset(folder):
        shutil.rmtree(Path(settings.FILES_DIR) / folder, ignore_errors=True)
    if ids:
        (Path(settings.FILES_DIR) / ids).unlink(missing_ok=True)
