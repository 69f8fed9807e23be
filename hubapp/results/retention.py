"""The site job "retention": what nothing needs any more goes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from django.conf import settings

from hubapp.catalog.fetching import copies_forget
from hubapp.catalog.uploads.services import uploads_forget
from hubapp.jobs.models import Job
from hubapp.jobs.services import log_delete_old
from hubapp.results.entries import RetentionSpec
from hubapp.results.lifecycle import marks_renew
from hubapp.results.models import Artifact
from hubapp.results.services import ARTIFACTS
from hubapp.results.stored_features import GIGABYTE, features_shrink
from workers.kit import Context, Outcome
from workers.sources import layer_store
from workers.sources.cell_store import sweep_cells
from workers.sources.manifest_store import incoming_sweep
from workers.sources.store import FeatureStore

BATCH = 500
DAY_SECONDS = 86_400


def run(spec: RetentionSpec, context: Context) -> Outcome:
    """Delete old log lines, unnamed files, folders of ended runs, unfinished features and unused results of layers.

    Uploads that nobody accepted go as well; finished features only above their budget.
    """
    context.checkpoint(0, 4, "log lines")
    lines = log_delete_old(days=spec.log_days)
    context.checkpoint(1, 4, "files that no result names")
    before = time.time() - spec.file_days * DAY_SECONDS
    files = 0
    for batch in _batches(settings.FILES_DIR / ARTIFACTS, before):
        files += orphans_delete(batch)
        context.checkpoint(1, 4, f"{files} files deleted")
    uploads = uploads_forget(days=spec.upload_days)
    copies_forget()
    context.checkpoint(2, 4, "folders of ended runs")
    folders = workdirs_delete(before)
    folders += FeatureStore(settings.FEATURES_DIR).sweep(older_than_seconds=spec.file_days * DAY_SECONDS)
    files += layer_store.sweep(settings.FEATURES_DIR, older_than_seconds=spec.file_days * DAY_SECONDS)
    files += sweep_cells(settings.FEATURES_DIR, spec.file_days * DAY_SECONDS)
    files += incoming_sweep(settings.FEATURES_DIR)
    context.checkpoint(3, 4, "features above the budget")
    features = features_shrink()
    marks_renew()
    context.checkpoint(4, 4)
    sentence = f"{lines} log lines, {files} files and {folders} folders deleted."
    if uploads:
        sentence += f" {uploads} uploads that nobody accepted in {spec.upload_days} days went."
    if features:
        freed = sum(entry.size_bytes for entry in features) / GIGABYTE
        sentence += f" Above the budget, {len(features)} of the stored features went: {freed:.1f} GB."
    context.log(sentence)
    summary = {"log_lines": lines, "files": files, "folders": folders, "features": len(features), "uploads": uploads}
    return Outcome(summary={**summary, "sentence": sentence})


def _batches(folder: Path, before: float) -> Iterator[list[Path]]:
    """Files under `folder` last touched before that time, some at a time."""
    batch: list[Path] = []
    for path in folder.glob("??/*"):
        if path.stat().st_mtime < before:
            batch.append(path)
        if len(batch) == BATCH:
            yield batch
            batch = []
    yield batch


def orphans_delete(paths: Sequence[Path]) -> int:
    """Delete those of these stored files that no result names; returns how many."""
    named = set(Artifact.objects.filter(digest__in=[path.name for path in paths]).values_list("digest", flat=True))
    orphans = [path for path in paths if path.name not in named]
    for path in orphans:
        path.unlink(missing_ok=True)
    return len(orphans)


def workdirs_delete(before: float) -> int:
    """Delete the working folders, last touched before that time, of runs that are not running; returns how many."""
    root = settings.DATA_DIR / "work"
    if not root.is_dir():
        return 0
    running = {str(pk) for pk in Job.objects.filter(status=Job.Status.RUNNING).values_list("pk", flat=True)}
    stale = [
        path for path in root.iterdir() if path.stat().st_mtime < before and path.name.rpartition("-")[0] not in running
    ]
    for path in stale:
        shutil.rmtree(path, ignore_errors=True)
    return len(stale)
