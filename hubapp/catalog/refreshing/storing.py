"""Keeping what was read of a hub's model: its record by the sync's own path, its commit as a revision."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, OperationalError, connection, transaction

from hubapp.catalog.describing import card_store
from hubapp.catalog.facts import text_of
from hubapp.catalog.importing import parameter_count
from hubapp.catalog.judging import CARD_NAME, card_missing, formats_of_files
from hubapp.catalog.models import Card, File, Model, Record, Revision, Sighting, Source, SyncRun, Tensor
from hubapp.catalog.refreshing.marks import is_stub
from hubapp.catalog.refreshing.reading import RESULTS_FOLDER, CommitContent
from hubapp.catalog.sync.batches import BatchMaker
from hubapp.catalog.sync.upsert import batch_upsert, stage_create
from workers.sources.headers import parameters_by_dtype
from workers.sources.safety import folder_safety, record_safety

TRIES = 3
MOST_TENSORS = 100_000
TENSOR_BATCH = 2000
RESULTS = "evalResultsFiles"
# What a record says of its commit: nothing of the next one.
ABOUT_COMMIT = frozenset({
    RESULTS, "cardData", "config", "evalResults", "gguf", "model-index", "safetensors", "siblings", "transformersInfo",
    "widgetData", "securityRepoStatus", "usedStorage",
})  # fmt: skip


def record_take(record: Mapping[str, Any], *, source: Source, now: dt.datetime) -> tuple[Model | None, str]:
    """Bring one record in as a sync does; the model that it is about, and why it was refused, or ""."""
    name, hub_id = str(record["id"]), text_of(record.get("_id"), 24)
    stage_create()
    for attempt in range(TRIES):
        try:
            with transaction.atomic():
                return _taken(record, name=name, hub_id=hub_id, source=source, now=now)
        except (IntegrityError, OperationalError):
            # A sync brought the same model at the same moment; nothing was kept.
            if attempt == TRIES - 1 or not connection.is_usable():
                raise
            time.sleep(0.1 * (attempt + 1))
    raise AssertionError("not reached")


def _taken(
    record: Mapping[str, Any], *, name: str, hub_id: str, source: Source, now: dt.datetime
) -> tuple[Model | None, str]:
    model = _known(name, hub_id)
    _stub_remove(name, model)
    before = Record.objects.filter(model=model).first() if model else None
    earlier = before.record if before and isinstance(before.record, dict) else {}
    is_same = earlier.get("sha") == record.get("sha")
    kept = earlier if is_same else {key: value for key, value in earlier.items() if key not in ABOUT_COMMIT}
    maker = BatchMaker(source)
    maker.add({**kept, **record}, position=1, is_checked=True)
    batch = maker.batch(cursor={}, done=1, total=1)
    # A sync that runs just now must not take a model that came after its list was made for gone.
    run = source.runs.filter(status=SyncRun.Status.RUNNING).first() or SyncRun(pk=0)
    result = batch_upsert(batch, run=run, source=source, now=now)
    Sighting.objects.filter(run_id=0).delete()
    refused = [*batch.refused, *result.refused]
    if refused:
        return model, refused[0].reason
    model = _known(name, hub_id)
    if model and before and is_same:
        # The list of models states other properties than the single record: the next sync compares with its own.
        Record.objects.filter(model=model).update(digest=before.digest)
    return model, ""


def _known(name: str, hub_id: str) -> Model | None:
    by_id = Model.objects.filter(hub_id=hub_id).first() if hub_id else None
    return by_id or Model.objects.filter(slug=name).select_related("source").first()


def _stub_remove(name: str, model: Model | None) -> None:
    """A stub that only holds the name makes room for the model that was renamed to it."""
    stub = Model.objects.filter(slug=name).select_related("source").first()
    if stub and model and stub.pk != model.pk and is_stub(stub):
        stub.delete()


def revision_known(model: Model, commit: str) -> Revision | None:
    """The revision of a commit, where all of it was read or its files lie here; None if it is to be read (again)."""
    revision = Revision.objects.filter(model=model, digest=commit).first()
    if revision is None or model.refreshed_at is None or (revision.error_message and not revision.is_local):
        return None
    kept = Record.objects.filter(model=model).values_list("record", flat=True).first()
    record: Mapping[str, Any] = kept if isinstance(kept, dict) else {}
    siblings = record.get("siblings")
    listed = [one.get("rfilename") for one in siblings or () if isinstance(one, dict)]
    has_card = CARD_NAME not in listed or Card.objects.filter(revision=revision).exists()
    # A sync that brought the record anew left them out.
    has_results = RESULTS in record or not any(str(path).startswith(RESULTS_FOLDER) for path in listed)
    return revision if has_card and has_results else None


def revision_store(model: Model, content: CommitContent, *, commit: str) -> tuple[Revision, bool]:
    """Keep a commit as a revision and whether it is new. One whose files lie here is kept as it is."""
    counts = [parameter_count(header.name, header.shape, header.dtype) for header in content.headers]
    error = content.error_message
    if len(counts) > MOST_TENSORS:
        error = f"It has {len(counts):,} tensors, of which the first {MOST_TENSORS:,} are listed."
    facts = {
        "commit": commit,
        "parameters": sum(counts),
        "parameters_by_dtype": parameters_by_dtype(content.headers),
        "size_bytes": sum(file.size_bytes or 0 for file in content.files if file.is_weights),
        "error_message": error[:1000],
    }
    revision, is_new = Revision.objects.get_or_create(model=model, digest=commit, defaults={**facts, "is_local": False})
    if revision.is_local:
        return revision, False
    if not is_new:
        Revision.objects.filter(pk=revision.pk).update(**facts)
        revision.refresh_from_db()
        revision.files.all().delete()
        revision.tensors.all().delete()
    File.objects.bulk_create(
        (
            File(
                revision=revision,
                path=file.path,
                size_bytes=file.size_bytes,
                sha256=file.sha256,
                format=file.format[:40],
                is_weights=file.is_weights,
                safety=file.safety,
                safety_note=file.safety_note,
            )
            for file in content.files
        ),
        batch_size=TENSOR_BATCH,
    )
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
            for position, (header, count) in enumerate(
                zip(content.headers[:MOST_TENSORS], counts[:MOST_TENSORS], strict=True)
            )
        ),
        batch_size=TENSOR_BATCH,
    )
    return revision, is_new


def content_store(model: Model, content: CommitContent, *, commit: str) -> tuple[Revision, bool]:
    """Keep all that was read of the newest commit, in one transaction."""
    with transaction.atomic():
        model = Model.objects.select_for_update().get(pk=model.pk)
        revision, is_new = revision_store(model, content, commit=commit)
        Model.objects.filter(pk=model.pk).update(current_revision=revision)
        if content.card is not None:
            card_store(revision, content.card)
        elif not content.has_card:
            card_missing(model)
        if content.gguf and content.gguf.architecture and not model.architecture:
            Model.objects.filter(pk=model.pk).update(architecture=content.gguf.architecture[:100])
        if content.results:
            _results_store(model, content.results)
    return revision, is_new


def _results_store(model: Model, results: list[dict[str, Any]]) -> None:
    kept = Record.objects.select_for_update().filter(model=model).first()
    if kept and isinstance(kept.record, dict):
        Record.objects.filter(model=model).update(record={**kept.record, RESULTS: results})


def model_describe(model: Model, revision: Revision, *, hub_status: Any, now: dt.datetime) -> None:
    """Bring the model's columns in line with its current revision: size, formats, safety."""
    files = list(revision.files.all())
    names = [file.path for file in files]
    levels = [file.safety for file in files if file.safety]
    # What the hub says of the whole repository counts beside what was found in each file.
    stated = record_safety(["a.safetensors"], hub_status)
    found: dict[str, Any] = {
        "current_revision": revision,
        "formats": formats_of_files(files),
        "safety": folder_safety([*levels, stated]) if levels else record_safety(names, hub_status),
        "refreshed_at": now,
    }
    if revision.parameters:
        found["parameters"] = revision.parameters
    if revision.size_bytes:
        found["size_bytes"] = revision.size_bytes
    Model.objects.filter(pk=model.pk).update(**found)
