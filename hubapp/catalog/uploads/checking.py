"""The site job "dataset_check": copies what lies on the server, then guesses, reads and checks it in the worker."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.utils import timezone

from hubapp.catalog.entries import DatasetCheckSpec
from hubapp.catalog.models import Upload
from hubapp.catalog.uploads.services import ROWS_ROOM, place_of
from hubapp.catalog.uploads.storing import Incoming, copied
from workers.kit import Context, Outcome, UserError
from workers.sources.dataset_job_entries import CHECK_UPLOAD


def dataset_check_run(spec: DatasetCheckSpec, context: Context) -> Outcome:
    """Check an upload and keep the report with it; a report of an earlier round never replaces that of a later one."""
    upload = Upload.objects.filter(pk=spec.upload).first()
    if upload is None:
        raise UserError("There is no such upload any more: it was discarded.")
    if upload.status == Upload.Status.ACCEPTED or upload.round != spec.round:
        raise UserError("This check is out of date: the upload was accepted, or is to be read in another way.")
    if not upload.folder:
        _copy(upload, context)
    place, _ = place_of(upload)
    report = CHECK_UPLOAD.load()(place, name=upload.title, given=upload.given, progress=context.checkpoint)
    kept = {
        "verdict": report.verdict,
        "sentence": report.sentence,
        "guess": storable(report.guess),
        "profile": storable(report.profile),
        "field": report.field,
        "round": spec.round,
    }
    ids = _ids_keep(upload, report.content_ids) if report.content_ids is not None else ""
    is_wanted = (
        Upload.objects.filter(pk=upload.pk, round=spec.round)
        .exclude(status=Upload.Status.ACCEPTED)
        .update(report=kept, status=Upload.Status.CHECKED, checked_at=timezone.now(), ids_location=ids)
    )
    for outdated in {upload.ids_location} - {ids, ""} if is_wanted else {ids} - {""}:
        (Path(settings.FILES_DIR) / outdated).unlink(missing_ok=True)
    return Outcome(
        summary={
            "verdict": report.verdict,
            "sentence": report.sentence,
            "source": report.guess.get("source", ""),
            "rows": report.profile.get("rows", 0),
        }
    )


def _copy(upload: Upload, context: Context) -> None:
    with Incoming() as incoming:
        copied(
            incoming,
            Path(upload.origin_path),
            progress=lambda size, path: context.checkpoint(size, 0, f"copying {path[-80:]}"),
        )
        folder = incoming.keep()
    upload.folder = folder
    upload.files = [[file.path, file.sha256, file.size] for file in incoming.files]
    upload.size_bytes = incoming.size
    upload.save(update_fields=["folder", "files", "size_bytes"])


def _ids_keep(upload: Upload, ids: Any) -> str:
    location = f"{ROWS_ROOM}/{upload.pk}-{upload.round}.npy"
    path = Path(settings.FILES_DIR) / location
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.stem}.draft.npy")
    np.save(draft, ids, allow_pickle=False)
    draft.replace(path)
    return location


def storable(value: Any) -> Any:
    """The value as JSONB can hold it: plain types, no NUL, no half characters, no infinities."""
    if isinstance(value, dict):
        return {str(storable(str(key))): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [storable(item) for item in value]
    if isinstance(value, str):
        return value.replace("\x00", "").encode("utf-8", "replace").decode()
    if value is None or isinstance(value, bool | int):
        return value
    if hasattr(value, "tolist"):
        return storable(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)
