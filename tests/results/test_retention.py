"""The site job "retention": what nothing needs goes, and nothing else."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from hubapp.jobs.models import Job, LogLine
from hubapp.jobs.services import job_submit, log_add
from hubapp.results import retention
from hubapp.results.models import Artifact, Outcome
from hubapp.results.services import file_keep
from workers.kit import LocalContext, digest_of
from workers.sources.layer_store import LayerStore

DAY = 86_400


def make_file(path: Path, *, days: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    when = time.time() - days * DAY
    os.utime(path, (when, when))
    return path


@pytest.mark.django_db
def test_old_log_lines_orphan_files_and_stale_folders_go(tmp_path: Path, settings: Any) -> None:
    settings.DATA_DIR, settings.FILES_DIR = tmp_path, tmp_path / "files"
    now = timezone.now()
    ended = Job.objects.create(kind="x", digest="1", status="succeeded", finished_at=now - timedelta(days=100))
    running = Job.objects.create(kind="x", digest="2", status="running")
    for job, level in ((ended, "info"), (ended, "error"), (running, "info")):
        log_add(job.pk, "line", level=level)
    named, orphan, fresh = (digest_of(name) for name in ("named", "orphan", "fresh"))
    outcome = Outcome.objects.create(job=ended, kind="x", analysis_version="1")
    Artifact.objects.create(outcome=outcome, name="a", digest=named, size_bytes=1, media_type="x", location="x")
    files = {
        name: make_file(tmp_path / "files/artifacts" / name[:2] / name, days=days)
        for name, days in ((named, 9), (orphan, 9), (fresh, 0.5))
    }
    stale, in_use = (tmp_path / "work" / f"{job.pk}-1" for job in (ended, running))
    for folder in (stale, in_use):
        make_file(folder / "part", days=9)
        os.utime(folder, (time.time() - 9 * DAY,) * 2)

    found = retention.run(retention.RetentionSpec(), LocalContext())
    assert found.summary["sentence"] == "1 log lines, 1 files and 1 folders deleted."
    assert set(LogLine.objects.values_list("job", "level")) == {(ended.pk, "error"), (running.pk, "info")}
    assert {name for name, path in files.items() if path.exists()} == {named, fresh}
    assert (stale.exists(), in_use.exists()) == (False, True)


@pytest.mark.django_db
def test_results_of_layers_that_nobody_asked_for_go(tmp_path: Path, settings: Any) -> None:
    settings.DATA_DIR, settings.FILES_DIR, settings.FEATURES_DIR = tmp_path, tmp_path / "files", tmp_path / "features"
    store = LayerStore(settings.FEATURES_DIR, namespace="filterdb", revision="r", spec_digest="s", version="2")
    for name in ("old", "fresh"):
        store.put(name, b"x")
    files = {path: path.read_bytes() for path in (tmp_path / "features").rglob("*") if path.is_file()}
    old = next(iter(files))
    os.utime(old, (time.time() - 9 * DAY,) * 2)
    assert retention.run(retention.RetentionSpec(), LocalContext()).summary["files"] == 1
    assert {path for path in files if path.exists()} == set(files) - {old}


@pytest.mark.django_db(transaction=True)
def test_it_is_a_job_of_the_site_and_only_an_active_twin_counts(services: Path) -> None:
    first = job_submit(kind="retention")
    assert (first.job.queue, first.job.revision, first.is_new) == ("housekeeping", None, True)
    assert job_submit(kind="retention").twin_kind == "active"


def test_a_file_is_kept_once_however_often_it_comes(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "ab" / "abcd"
    source.write_text("content")
    for _ in range(2):
        file_keep(source, target)
    assert target.read_text() == "content"
    assert list(target.parent.iterdir()) == [target]
