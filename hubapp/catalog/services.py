"""Changing the catalogue: sources and their scans, archive, restore and delete."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from hubapp.catalog.entries import SourceScanSpec
from hubapp.catalog.importing import Imported, ImportFile, model_import
from hubapp.catalog.models import Dataset, DatasetRevision, File, Model, Source
from hubapp.catalog.scanning import Candidate, card_facts, folder_search, shards_missing
from workers.kit import Context, Outcome, Table, UserError


def source_add(folder: str, *, title: str = "") -> Source:
    """The source for a folder of checkpoints, an existing one where it was added before.

    Raises UserError if there is no such folder, if it cannot be read, and for a folder that belongs to Hubscope itself.
    """
    path = Path(folder).expanduser()
    if not path.is_absolute():
        raise UserError("Give the folder's full path, beginning with /.", field="location")
    resolved = path.resolve()
    if not resolved.is_dir():
        raise UserError(f"There is no folder {folder!r} on the server. Check the path.", field="location")
    try:
        next(resolved.iterdir(), None)
    except OSError as error:
        raise UserError(
            f"The folder cannot be opened ({error.strerror}). Let the server's user read it.", field="location"
        ) from error
    own = Path(settings.DATA_DIR).resolve()
    if own.is_relative_to(resolved) or resolved.is_relative_to(own):
        raise UserError("This folder holds Hubscope's own data. Choose one that holds only models.", field="location")
    source, _ = Source.objects.get_or_create(
        kind=Source.Kind.FOLDER, location=str(resolved), defaults={"title": (title or resolved.name)[:200]}
    )
    return source


@dataclass(kw_only=True)
class ScanReport:
    """What a scan found: slugs by what happened to them, sentences for what is not right.

    marked   slug → why the weights of that model cannot be read
    refused  path → why it was left out
    """

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    marked: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """The report in one sentence."""
        parts = [
            f"{len(slugs)} {word}"
            for word, slugs in (
                ("added", self.added),
                ("changed", self.changed),
                ("unchanged", self.unchanged),
                ("removed", self.removed),
                ("refused", self.refused),
            )
            if slugs
        ]
        marked = f"; {len(self.marked)} cannot be read" if self.marked else ""
        return f"{', '.join(parts).capitalize() or 'No model found'}{marked}."


def source_scan(source: Source, *, on_progress: Callable[[int, int, str], None] | None = None) -> ScanReport:
    """Bring the catalogue in line with a folder, each model in its own transaction; files stay where they are.

    A file whose size and time of change are as before is not read again. Models whose files have gone are archived and
    come back with their files. Raises UserError if the folder itself is gone, and then changes nothing.
    """
    root = Path(source.location)
    if source.kind != Source.Kind.FOLDER:
        raise UserError("Only folders can be scanned. The demo is imported with manage.py demo.")
    if not root.is_dir():
        raise UserError(f"The folder of {source.title} is not there. Is its disk mounted?")
    report = ScanReport()
    found = folder_search(root)
    report.refused |= found.refused
    seen: set[str] = set()
    slugs = dict(Model.objects.filter(source=source).values_list("origin", "slug"))
    for position, candidate in enumerate(found.candidates):
        if on_progress:
            on_progress(position, len(found.candidates), candidate.name)
        slug = slugs.get(_origin(candidate, source)) or _free_slug(candidate, taken={*seen, *slugs.values()})
        seen.add(slug)
        try:
            imported = _candidate_import(candidate, slug=slug, source=source)
        except (UserError, OSError) as error:
            report.refused[candidate.name] = error.message if isinstance(error, UserError) else f"{error.strerror}."
            continue
        {"added": report.added, "changed": report.changed, "unchanged": report.unchanged}[imported.change].append(slug)
        if imported.error_message:
            report.marked[slug] = imported.error_message
    report.removed = _mark_missing(source, seen=seen)
    source.synced_at = timezone.now()
    source.save(update_fields=["synced_at"])
    if on_progress:
        on_progress(len(found.candidates), len(found.candidates), "")
    return report


def _origin(candidate: Candidate, source: Source) -> str:
    return f"{candidate.name} in the folder {source.title}"[:300]


def _free_slug(candidate: Candidate, *, taken: set[str]) -> str:
    """The candidate's slug; with a number where another model has it."""
    slug, number = candidate.slug, 1
    while slug in taken or Model.objects.filter(slug=slug).exists():
        number += 1
        slug = f"{candidate.slug[:110]}-{number}"
    return slug


def _candidate_import(candidate: Candidate, *, slug: str, source: Source) -> Imported:
    known = {
        (file.location, file.size_bytes, file.modified_ns): file.sha256
        for file in File.objects.filter(revision__model__slug=slug, revision__model__source=source)
    }
    files = []
    for path in (*candidate.weights, *candidate.companions):
        real, state = path.resolve(), path.stat()
        files.append(
            ImportFile(
                path=path.name,
                location=real,
                sha256=known.get((str(real), state.st_size, state.st_mtime_ns), ""),
                is_weights=path in candidate.weights,
                modified_ns=state.st_mtime_ns,
            )
        )
    return model_import(
        source=source,
        slug=slug,
        title=candidate.title,
        files=files,
        in_place=True,
        error_message=shards_missing(candidate),
        facts={"origin": _origin(candidate, source), **card_facts(candidate)},
    )


def _mark_missing(source: Source, *, seen: set[str]) -> list[str]:
    """Archive the models whose files the scan did not find; returns their slugs."""
    gone = Model.objects.filter(source=source, is_missing=False).exclude(slug__in=seen)
    slugs = list(gone.order_by("slug").values_list("slug", flat=True))
    now = timezone.now()
    with transaction.atomic():
        Model.objects.filter(slug__in=slugs, archived_at__isnull=True).update(is_missing=True, archived_at=now)
        Model.objects.filter(slug__in=slugs, is_missing=False).update(is_missing=True)
    return slugs


def source_scan_run(spec: SourceScanSpec, context: Context) -> Outcome:
    """The job "source_scan": scan one source and keep the report."""
    source = Source.objects.filter(pk=spec.source).first()
    if source is None:
        raise UserError("This source was deleted. Add the folder again.", field="source")
    report = source_scan(source, on_progress=context.checkpoint)
    for path, sentence in report.refused.items():
        context.log(f"{path}: {sentence}", level="warning")
    rows = [(slug, change) for change in ("added", "changed", "removed") for slug in getattr(report, change)]
    rows += [(path, f"refused: {sentence}") for path, sentence in report.refused.items()]
    rows += [(slug, f"cannot be read: {sentence}") for slug, sentence in report.marked.items()]
    return Outcome(
        summary={"sentence": report.sentence, "source": source.title},
        tables={"report": Table(columns=("model", "change"), rows=rows)},
    )


def model_archive(model: Model) -> None:
    """Hide a model from lists, search and rankings; nothing is lost."""
    Model.objects.filter(pk=model.pk, archived_at__isnull=True).update(archived_at=timezone.now())


def model_restore(model: Model) -> None:
    """Bring an archived model back. Raises UserError while its files are gone from their folder."""
    if model.is_missing:
        raise UserError(f"The files of {model.title} have gone from its folder. Put them back, then scan the folder.")
    Model.objects.filter(pk=model.pk).update(archived_at=None)


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
        dataset.delete()
        transaction.on_commit(
            lambda: _folders_remove({_stored_folder(place) for place in locations}, is_used=is_used_by_dataset)
        )


def _stored_folder(location: str) -> str:
    """ "models/<digest>" of a stored location; "" for one that lies elsewhere."""
    parts = Path(location).parts
    return "/".join(parts[:2]) if len(parts) > 1 and parts[0] in {"models", "datasets"} else ""


def is_used_by_model(folder: str) -> bool:
    """Whether a file of any model revision lies in that folder of FILES_DIR."""
    return File.objects.filter(location__startswith=f"{folder}/").exists()


def is_used_by_dataset(folder: str) -> bool:
    """Whether any data set revision lies in that folder of FILES_DIR."""
    return DatasetRevision.objects.filter(Q(location=folder) | Q(location__startswith=f"{folder}/")).exists()


def _folders_remove(folders: set[str], *, is_used: Callable[[str], bool]) -> None:
    for folder in sorted(folders - {""}):
        if not is_used(folder):
            shutil.rmtree(Path(settings.FILES_DIR) / folder, ignore_errors=True)
