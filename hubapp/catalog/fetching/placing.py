"""Fetched files in FILES_DIR: to their place by content in one step, noted as a revision's, and away again."""

from __future__ import annotations

import datetime as dt
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from hubapp.catalog.fetching.planning import flagged_sentence, record_now
from hubapp.catalog.importing import TENSOR_BATCH, ImportFile, ReadFiles, files_read, parameter_count, revision_digest
from hubapp.catalog.loaders import describe_revision
from hubapp.catalog.models import File, Model, Revision, Tensor, WeightsCopy
from hubapp.catalog.refreshing.reading import issues_of
from hubapp.catalog.refreshing.storing import model_describe
from hubapp.catalog.services import is_used_by_model
from workers.kit import UserError
from workers.sources.fetching import Choice, Staging, discard, sweep
from workers.sources.headers import parameters_by_dtype
from workers.sources.safety import file_safety, folder_safety, record_safety

ROOM, FETCHING = "models", "fetching"
LEFT_AFTER_DAYS = 7
_SOUND = "a.safetensors"


@dataclass(frozen=True, kw_only=True)
class CameFile:
    """A file that came whole: its digest, and what was found in it (weights only)."""

    path: str
    sha256: str
    size_bytes: int
    is_weights: bool
    safety: str = ""
    safety_note: str = ""


@dataclass(frozen=True, kw_only=True)
class Came:
    """All files of a fetch, judged and read where they lie, before anything else may use them."""

    files: Sequence[CameFile]
    read: ReadFiles

    @property
    def folder(self) -> str:
        """Their place below FILES_DIR, by content."""
        return f"{ROOM}/{revision_digest({file.path: file.sha256 for file in self.files})}"


def came_judge(model: Model, folder: Path, chosen: Choice, digests: Mapping[str, str]) -> Came:
    """Judge and read the files of a folder. Raises UserError for weights that are flagged or that cannot be read."""
    issues = issues_of(record_now(model).get("securityRepoStatus"))
    companions = [folder / path for path in digests]
    files = []
    for path, digest in digests.items():
        place, is_weights = folder / path, path in chosen.weights
        level = note = ""
        if is_weights:
            found = file_safety(place, companions=companions)
            level, note = found.level, found.sentence
        if is_weights and (word := issues.get(path)):
            stated = record_safety([_SOUND], word)
            if stated != "safe-format":
                level, note = folder_safety([level, stated]), f"The hub's own scanners call it {word}. {note}"
        if level == "flagged":
            raise UserError(flagged_sentence(path, note))
        files.append(
            CameFile(
                path=path,
                sha256=digest,
                size_bytes=place.stat().st_size,
                is_weights=is_weights,
                safety=level,
                safety_note=note[:1000],
            )
        )
    read = files_read(
        [
            ImportFile(path=file.path, location=folder / file.path, sha256=file.sha256, is_weights=file.is_weights)
            for file in files
        ]
    )
    if read.error_message:
        raise UserError(f"The weights came whole, but they cannot be read: {read.error_message}"[:1000])
    return Came(files=files, read=read)


def came_place(revision: Revision, came: Came, staging: Staging) -> None:
    """Move the files to their place and make them the revision's, so that analyses can read them."""
    target = came.folder
    staging.note_placed(target)
    with transaction.atomic():
        _folder_lock(target)
        place = Path(settings.FILES_DIR) / target
        if not place.is_dir():
            place.parent.mkdir(parents=True, exist_ok=True)
            staging.whole.rename(place)
        model = Model.objects.select_for_update().get(pk=revision.model_id)
        _rows_store(revision, came, target)
        WeightsCopy.objects.filter(revision=revision).update(
            folder=target,
            files=len(came.files),
            size_bytes=sum(file.size_bytes for file in came.files),
            done_bytes=sum(file.size_bytes for file in came.files),
            fetched_at=timezone.now(),
            error_message="",
        )
        revision.refresh_from_db()
        if model.current_revision_id == revision.pk:
            status = record_now(model).get("securityRepoStatus")
            model_describe(model, revision, hub_status=status, now=model.refreshed_at or timezone.now())
        describe_revision(revision)
    staging.discard()


def _rows_store(revision: Revision, came: Came, target: str) -> None:
    """The revision's files, and its tensors where the weights are others than those that were read at the hub."""
    rows = {file.path: file for file in revision.files.all()}
    weights = {file.path for file in came.files if file.is_weights}
    is_same = {path for path, row in rows.items() if row.is_weights} == weights and revision.tensors.exists()
    for file in came.files:
        row = rows.setdefault(file.path, File(revision=revision, path=file.path))
        row.location, row.sha256, row.size_bytes = f"{target}/{file.path}", file.sha256, file.size_bytes
        row.format = came.read.formats[file.path][:40]
        row.safety, row.safety_note = file.safety or row.safety, file.safety_note or row.safety_note
    for row in rows.values():
        row.is_weights = row.path in weights
    File.objects.bulk_update(
        [row for row in rows.values() if row.pk],
        ["location", "sha256", "size_bytes", "format", "safety", "safety_note", "is_weights"],
        batch_size=TENSOR_BATCH,
    )
    File.objects.bulk_create(row for row in rows.values() if not row.pk)
    found: dict[str, object] = {
        "is_local": True,
        "error_message": "",
        "size_bytes": sum(file.size_bytes for file in came.files if file.is_weights),
    }
    if not is_same or revision.error_message:
        headers = came.read.headers
        counts = [parameter_count(header.name, header.shape, header.dtype) for header in headers]
        found |= {"parameters": sum(counts), "parameters_by_dtype": parameters_by_dtype(headers)}
        revision.tensors.all().delete()
        Tensor.objects.bulk_create(
            (
                Tensor(
                    revision=revision,
                    position=position,
                    name=header.name[:500],
                    shape=list(header.shape),
                    dtype=header.dtype[:20],
                    parameters=count,
                )
                for position, (header, count) in enumerate(zip(headers, counts, strict=True))
            ),
            batch_size=TENSOR_BATCH,
        )
    Revision.objects.filter(pk=revision.pk).update(**found)


def weights_remove(revision: Revision) -> int:
    """Delete the fetched files of a revision, or what came of them so far; returns how many bytes.

    What is known of the model stays, with its results; the weights lie at its hub again. Raises UserError where no
    copy was fetched: files of a folder belong to their owner.
    """
    with transaction.atomic():
        copy = WeightsCopy.objects.select_for_update().filter(revision=revision).first()
        if copy is None:
            raise UserError("No weights of this model were fetched from a hub, so there is nothing to remove.")
        if copy.is_at_work:
            raise UserError("The weights are being fetched at this moment. Cancel the job first.")
        if copy.fetched_at is None:
            if copy.folder and not discard(Path(settings.FILES_DIR) / copy.folder):
                raise UserError("The weights are being fetched at this moment. Cancel the job first.")
        else:
            revision.files.filter(location__startswith=f"{copy.folder}/").update(location="")
            is_here = revision.files.filter(is_weights=True).exclude(location="").exists()
            Revision.objects.filter(pk=revision.pk).update(is_local=is_here)
            transaction.on_commit(partial(_folder_remove, copy.folder))
        copy.delete()
    return copy.done_bytes


def copies_forget(*, days: int = LEFT_AFTER_DAYS) -> int:
    """Delete what came of fetches that nobody went on with for so many days; returns how many."""
    forgotten = 0
    before = timezone.now() - dt.timedelta(days=days)
    for copy in WeightsCopy.objects.filter(fetched_at=None, touched_at__lt=before).select_related("revision"):
        try:
            weights_remove(copy.revision)
        except UserError:
            continue  # somebody went on with it just now
        forgotten += 1
    return forgotten + sweep(Path(settings.FILES_DIR) / FETCHING, older_than_seconds=days * 86_400)


def _folder_lock(folder: str) -> None:
    """One at a time may fill or empty a place that several models share by content; until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [folder])


def _folder_remove(folder: str) -> None:
    place = Path(settings.FILES_DIR) / folder
    trash = Path(settings.FILES_DIR) / FETCHING / f"removed.{uuid.uuid4().hex}"
    with transaction.atomic():
        _folder_lock(folder)
        if is_used_by_model(folder) or not place.is_dir():
            return
        trash.parent.mkdir(parents=True, exist_ok=True)
        place.rename(trash)
    shutil.rmtree(trash, ignore_errors=True)
