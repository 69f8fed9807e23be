"""Storing what an analysis returned: rows, scores and files by digest. Outcomes never change afterwards."""

from __future__ import annotations

import math
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

from hubapp.catalog.services import dataset_profile_store, model_mark_analysed
from hubapp.jobs.models import Job
from hubapp.results import models
from workers.kit import Artifact, JobEntry, Outcome, UserError, file_digest

ARTIFACTS = "artifacts"


def outcome_store(
    *, job: Job, entry: JobEntry, outcome: Outcome, provenance: Mapping[str, Any], workdir: Path
) -> models.Outcome:
    """Store an outcome with its scores, tables and files, within the caller's transaction.

    Files are linked from `workdir` into FILES_DIR by digest, so that a second try after a rollback finds them again.
    Raises UserError when the outcome names a file that the analysis did not write.
    """
    row = models.Outcome.objects.create(
        job=job,
        kind=job.kind,
        analysis_version=entry.version,
        params=job.params,
        revision=job.revision,
        dataset_revision=job.dataset_revision,
        summary=json_plain(outcome.summary),
        tables={
            name: {"columns": list(table.columns), "rows": json_plain(list(table.rows))}
            for name, table in outcome.tables.items()
        },
        provenance=json_plain({**provenance, **outcome.provenance}),
    )
    models.Score.objects.bulk_create(
        models.Score(
            outcome=row,
            metric=score.metric,
            head=score.head,
            shots=score.shots,
            value=_finite(score.value),
            low=_finite(score.low),
            high=_finite(score.high),
            interval=score.interval[:300],
            replicates=json_plain(list(score.replicates)),
            note=score.note[:500],
        )
        for score in outcome.scores
    )
    models.Sums.objects.bulk_create(
        models.Sums(outcome=row, kind=sums.kind, labels=json_plain(dict(sums.labels)), payload=sums.payload)
        for sums in outcome.sums
    )
    models.Artifact.objects.bulk_create(_artifact(row, artifact, workdir=workdir) for artifact in outcome.artifacts)
    if job.revision is not None:
        model_mark_analysed(job.revision.model)
    if job.kind == "dataset_profile" and job.dataset_revision is not None:
        dataset_profile_store(job.dataset_revision, row.summary)  # the catalogue shows it, and may not look up here
    return row


def _artifact(row: models.Outcome, artifact: Artifact, *, workdir: Path) -> models.Artifact:
    source = (workdir / artifact.path).resolve()
    if not source.is_relative_to(workdir.resolve()) or not source.is_file():
        raise UserError(f"The analysis names the file {artifact.path!r}, which it did not write.")
    digest = file_digest(source)
    location = artifact_location(digest)
    file_keep(source, settings.FILES_DIR / location)
    return models.Artifact(
        outcome=row,
        name=artifact.name,
        digest=digest,
        size_bytes=source.stat().st_size,
        media_type=artifact.media_type,
        location=location,
    )


def artifact_location(digest: str) -> str:
    """Where a file of that digest lies, relative to FILES_DIR."""
    return f"{ARTIFACTS}/{digest[:2]}/{digest}"


def file_keep(source: Path, target: Path) -> None:
    """Make `target` hold what `source` holds, at once or not at all; `source` stays."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.draft")
    try:
        os.link(source, draft)
    except OSError:
        shutil.copyfile(source, draft)
    draft.touch()  # retention goes by the age of a file
    draft.replace(target)
    draft.unlink(missing_ok=True)  # rename does nothing where both are the same file already


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def json_plain(value: Any) -> Any:
    """The value in JSON's own types, numpy's included; not-a-number and infinities become null, as JSONB has none."""
    if isinstance(value, Mapping):
        return {str(key): json_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return json_plain(value.tolist())
    if isinstance(value, float):
        return _finite(value)
    if isinstance(value, str):
        return value.replace("\x00", "")
    if value is None or isinstance(value, bool | int):
        return value
    return str(value)
