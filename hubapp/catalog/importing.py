"""Bringing models and data sets into the catalogue: by content, so that doing it twice changes nothing."""

from __future__ import annotations

import math
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from hubapp.catalog.judging import local_judge
from hubapp.catalog.loaders import MAX_NOTE, guess_note, guess_of
from hubapp.catalog.models import Dataset, DatasetRevision, File, Model, Revision, Source, Tensor, WeightsCopy
from workers.kit import LOADERS, UserError, digest_of, file_digest
from workers.sources.headers import TensorHeader, identify, parameters_by_dtype, read_headers
from workers.sources.loader_guess import LoaderGuess

STATISTICS = ("running_mean", "running_var", "num_batches_tracked", "moving_mean", "moving_variance")
COUNTER_DTYPES = ("bool", "int16", "int32", "int64", "uint16", "uint32", "uint64")
TENSOR_BATCH = 2000


@dataclass(frozen=True, kw_only=True)
class ImportFile:
    """A file to import.

    path        name within the model or data set, with "/" between folders
    location    where it lies now
    sha256      its digest, "" to compute it
    is_weights  whether it holds tensors
    modified_ns its time of change, for files that stay in place
    """

    path: str
    location: Path
    sha256: str = ""
    is_weights: bool = True
    modified_ns: int | None = None


def revision_digest(files: Mapping[str, str], *, loader: str = "", config: Mapping[str, Any] | None = None) -> str:
    """The digest of a model revision: over (path, sha256) of its files and, where a loader runs it, over how.

    `files` is path → sha256. A change of the preprocessing is a new revision, so that no stored feature is mistaken for
    one that was computed in another way.
    """
    content: dict[str, Any] = {"files": sorted([path, digest] for path, digest in files.items())}
    if loader:
        content |= {"loader": loader, "config": dict(config or {})}
    return digest_of(content)


def dataset_revision_digest(source: str, files: Mapping[str, str], config: Mapping[str, Any]) -> str:
    """The digest of a data set revision: over its source, (path, sha256) of its files and its configuration."""
    return digest_of({"source": source, "files": sorted([p, d] for p, d in files.items()), "config": dict(config)})


def parameter_count(name: str, shape: Sequence[int], dtype: str) -> int:
    """How many learned values a tensor holds: none for batch-norm statistics and whole-number counters.

    Eight-bit tensors count, for they hold quantised weights.
    """
    if name.replace("/", ".").rpartition(".")[2].partition(":")[0] in STATISTICS or dtype in COUNTER_DTYPES:
        return 0
    return math.prod(shape)


def files_store(files: Sequence[ImportFile], *, room: str) -> Path:
    """Copy files into FILES_DIR/<room>/<digest of (path, sha256)>/ in one step; return that folder below FILES_DIR.

    A folder that is there already has the same content by its name and is left alone.
    """
    target = Path(room) / revision_digest({file.path: file.sha256 for file in files})
    absolute = Path(settings.FILES_DIR) / target
    if absolute.is_dir():
        return target
    building = absolute.with_name(f"building.{uuid.uuid4().hex}")
    for file in files:
        place = building / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.location, place)
        if file.sha256 and file_digest(place) != file.sha256:
            shutil.rmtree(building)
            raise UserError(f"{file.location.name} changed while it was copied. Import it again.")
    try:
        building.rename(absolute)
    except OSError:
        shutil.rmtree(building)  # another import was first
        if not absolute.is_dir():
            raise
    return target


@dataclass(frozen=True, kw_only=True)
class ReadFiles:
    """What a model's files say of themselves: formats by path, tensors, and the sentence if they are unreadable."""

    formats: Mapping[str, str]
    headers: Sequence[TensorHeader]
    error_message: str = ""


def files_read(files: Sequence[ImportFile], *, error_message: str = "", needs_weights: bool = True) -> ReadFiles:
    """Identify every file by content and read the headers of the weight files; never raises for a corrupt one.

    With an `error_message` it is known already that they are not complete, and they are not read.
    """
    formats = _formats(files)
    if error_message:
        return ReadFiles(formats=formats, headers=(), error_message=error_message)
    weights = [file.location for file in files if file.is_weights]
    if not weights and not needs_weights:
        return ReadFiles(formats=formats, headers=())
    if not weights:
        return ReadFiles(formats=formats, headers=(), error_message="There is no weight file in this model.")
    try:
        headers = read_headers(weights)
    except UserError as error:
        return ReadFiles(formats=formats, headers=(), error_message=error.message[:1000])
    except OSError as error:
        reason = f"A weight file could not be read from the disk ({error.strerror}). Check the disk, then scan again."
        return ReadFiles(formats=formats, headers=(), error_message=reason)
    if not headers:
        return ReadFiles(formats=formats, headers=(), error_message="The weight file holds no tensor.")
    return ReadFiles(formats=formats, headers=headers)


def _formats(files: Sequence[ImportFile]) -> dict[str, str]:
    return {file.path: _format_of(file) for file in files}


def _format_of(file: ImportFile) -> str:
    try:
        found = identify(file.location)
    except (UserError, OSError):
        found = "unknown"
    return found if found != "unknown" else (file.location.suffix.lower().lstrip(".") or "unknown")[:40]


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A model after its import: "added", "changed" (a new current revision) or "unchanged"."""

    model: Model
    change: str

    @property
    def error_message(self) -> str:
        """Why the weights of the current revision cannot be read, or ""."""
        revision = self.model.current_revision
        return revision.error_message if revision else ""


def model_import(
    *,
    source: Source,
    slug: str,
    title: str,
    files: Sequence[ImportFile],
    facts: Mapping[str, Any] | None = None,
    loader: str = "",
    config: Mapping[str, Any] | None = None,
    guess: LoaderGuess | None = None,
    in_place: bool = False,
    commit: str = "",
    is_current: bool = True,
    error_message: str = "",
) -> Imported:
    """Bring a model into the catalogue, or its current files where it is there already.

    `facts` are further columns of Model (meaning, modality, licence, task, …). Files are copied into FILES_DIR by
    content unless `in_place`. Files that cannot be read mark the revision with a sentence and stop nothing. The same
    content gives the same revision; other content a new one, which becomes the current one. An archived model stays
    archived, unless it was archived because its files had gone. `facts` of a model in place are set when it is new and
    left to people afterwards. `error_message` is a reason known beforehand why the weights cannot be read. With a
    `commit` the files are a snapshot of a hub's repository: the commit is the revision's digest, and the model may have
    come from that hub before; unless it `is_current` it becomes the current one only where there is none. A `guess`
    by the files stands for loader and config. Raises UserError if the slug belongs to another source.
    """
    facts = {"title": title, **(facts or {})}
    files = [file if file.sha256 else _with_digest(file) for file in files]
    guess = guess or _stated_guess(files, loader=loader, config=config or {})
    loader, config = guess.loader, dict(guess.config)
    digest = commit or revision_digest({file.path: file.sha256 for file in files}, loader=loader, config=config)
    existing = Model.objects.filter(slug=slug).select_related("current_revision").first()
    if existing is not None and existing.source_id != source.pk and not commit:
        raise UserError(f"The name {slug!r} is taken by a model from {existing.source}. Rename the file or folder.")
    is_current = is_current and not _is_older(existing, commit)
    known = Revision.objects.filter(model=existing, digest=digest).first() if existing else None
    if known is not None and known.is_local and not known.model.safety:  # it came before files were judged
        local_judge(known)
    if known is not None and known.is_local and not known.error_message:
        with transaction.atomic():
            is_fetched = WeightsCopy.objects.filter(revision=known, fetched_at__isnull=False).exists()
            if in_place and not is_fetched:
                _files_placed(known, files)
            kept = _model_kept(
                existing=known.model, revision=known, facts={} if in_place else facts, is_current=is_current
            )
            # A commit that was fetched from its hub is whole, which a snapshot in a cache may not be.
            is_run_otherwise = not is_fetched and guess_note(known, guess)
            return Imported(model=kept.model, change="changed") if is_run_otherwise else kept
    read = files_read(files, error_message=error_message, needs_weights=_needs_weights(loader))
    folder = files_store(files, room="models") if files and not in_place else None
    with transaction.atomic():
        new = {"source": source, **facts}
        model, is_new = Model.objects.update_or_create(
            slug=slug, defaults={} if in_place else new, create_defaults={"slug": slug, **new}
        )
        if known is not None and known.is_local and known.error_message == read.error_message:
            return _model_kept(existing=model, revision=known, facts={}, is_current=is_current)
        if known is not None:  # it could not be read before, or lay at its hub only
            known.delete()
        revision = _revision_create(
            model, digest=digest, commit=commit, guess=guess, files=files, read=read, folder=folder
        )
        if is_current or model.current_revision_id is None:
            _make_current(model, revision)
    local_judge(revision)
    return Imported(model=model, change="added" if is_new else "changed")


def _stated_guess(files: Sequence[ImportFile], *, loader: str, config: Mapping[str, Any]) -> LoaderGuess:
    """What the importer says of how the model is run; without a loader, why by its files none can."""
    if loader:
        return LoaderGuess(loader=loader, config=dict(config))
    by_files = guess_of({file.path: file.location for file in files})
    return LoaderGuess(config=dict(config), reason="" if by_files.loader else by_files.reason)


def _needs_weights(loader: str) -> bool:
    return loader not in LOADERS or LOADERS.get(loader).needs_weights


def _is_older(model: Model | None, commit: str) -> bool:
    """Whether a snapshot's commit is not the one that its hub calls the newest and that is the model's current one."""
    current = model.current_revision if model else None
    return bool(commit and model and current and model.sha and commit != model.sha == current.commit)


def _with_digest(file: ImportFile) -> ImportFile:
    return ImportFile(
        path=file.path,
        location=file.location,
        sha256=file_digest(file.location),
        is_weights=file.is_weights,
        modified_ns=file.modified_ns,
    )


def _files_placed(revision: Revision, files: Sequence[ImportFile]) -> None:
    """Note where the same bytes lie now and when they were last touched, so that the next scan need not read them.

    A snapshot in the cache of a hub fills up over time: small files that came later are added, those that went have no
    place any more.
    """
    placed = {file.path: file for file in files}
    changed = []
    for row in revision.files.all():
        file = placed.pop(row.path, None)
        where = (str(file.location), file.modified_ns) if file else ("", None)
        if (row.location, row.modified_ns) != where:
            row.location, row.modified_ns = where
            changed.append(row)
    File.objects.bulk_update(changed, ["location", "modified_ns"])
    beside = [file for file in placed.values() if not file.is_weights]
    File.objects.bulk_create(_file_rows(revision, beside, formats=_formats(beside)))


def _model_kept(*, existing: Model, revision: Revision, facts: Mapping[str, Any], is_current: bool) -> Imported:
    """Bring facts and the current revision of a known model up to date, writing only what differs."""
    differing = [name for name, value in facts.items() if getattr(existing, name) != value]
    for name in differing:
        setattr(existing, name, facts[name])
    if differing:
        existing.save(update_fields=differing)
    is_right = existing.current_revision_id == revision.pk or not (is_current or existing.current_revision_id is None)
    if is_right and not existing.is_missing:
        return Imported(model=existing, change="unchanged")
    _make_current(existing, revision)
    return Imported(model=existing, change="changed")


def _make_current(model: Model, revision: Revision) -> None:
    model.current_revision = revision
    model.parameters, model.size_bytes, model.updated_at = revision.parameters, revision.size_bytes, revision.created_at
    changed = ["current_revision", "parameters", "size_bytes", "updated_at"]
    if revision.modality and model.modality != revision.modality:
        model.modality = revision.modality  # how it is run says it better than a card's task
        changed.append("modality")
    if model.is_missing:
        model.is_missing, model.archived_at = False, None
        changed += ["is_missing", "archived_at"]
    model.save(update_fields=changed)


def _revision_create(
    model: Model,
    *,
    digest: str,
    commit: str,
    guess: LoaderGuess,
    files: Sequence[ImportFile],
    read: ReadFiles,
    folder: Path | None,
) -> Revision:
    """Write a revision with its files and tensors."""
    counts = [parameter_count(header.name, header.shape, header.dtype) for header in read.headers]
    revision = Revision.objects.create(
        model=model,
        digest=digest,
        commit=commit,
        loader=guess.loader,
        config=dict(guess.config),
        modality=guess.modality,
        loader_note=guess.reason[:MAX_NOTE],
        parameters=sum(counts),
        parameters_by_dtype=parameters_by_dtype(read.headers),
        size_bytes=sum(file.location.stat().st_size for file in files if file.is_weights),
        error_message=read.error_message,
    )
    File.objects.bulk_create(_file_rows(revision, files, formats=read.formats, folder=folder))
    Tensor.objects.bulk_create(
        (
            Tensor(
                revision=revision,
                position=position,
                name=header.name,
                shape=list(header.shape),
                dtype=header.dtype,
                parameters=count,
            )
            for position, (header, count) in enumerate(zip(read.headers, counts, strict=True))
        ),
        batch_size=TENSOR_BATCH,
    )
    return revision


def _file_rows(
    revision: Revision, files: Sequence[ImportFile], *, formats: Mapping[str, str], folder: Path | None = None
) -> list[File]:
    """Rows of files that lie in `folder` below FILES_DIR, or where they are."""
    return [
        File(
            revision=revision,
            path=file.path,
            location=str(folder / file.path) if folder else str(file.location),
            size_bytes=file.location.stat().st_size,
            sha256=file.sha256,
            format=formats[file.path],
            is_weights=file.is_weights,
            modified_ns=file.modified_ns,
        )
        for file in files
    ]


@dataclass(frozen=True, kw_only=True)
class ImportedDataset:
    """A data set after its import: "added", "changed" or "unchanged"."""

    dataset: Dataset
    change: str


def dataset_import(
    *,
    slug: str,
    title: str,
    source: str,
    facts: Mapping[str, Any] | None = None,
    files: Sequence[ImportFile] = (),
    location: str = "",
    config: Mapping[str, Any] | None = None,
    classes: Sequence[str] = (),
    rows: int = 0,
) -> ImportedDataset:
    """Bring a data set into the catalogue by content; its files are copied into FILES_DIR.

    `location` is what the source is pointed at: a path within the data set's files, "" for their folder.
    `rows` and `classes` say what the sample holds. The same content gives the same revision.
    """
    config = dict(config or {})
    files = [file if file.sha256 else _with_digest(file) for file in files]
    digest = dataset_revision_digest(source, {file.path: file.sha256 for file in files}, config)
    folder = files_store(files, room="datasets") if files else None
    place = str(folder / location) if folder else ""
    with transaction.atomic():
        dataset, is_new = Dataset.objects.update_or_create(slug=slug, defaults={"title": title, **(facts or {})})
        revision, is_new_revision = DatasetRevision.objects.update_or_create(
            dataset=dataset,
            digest=digest,
            defaults={
                "source": source,
                "location": place,
                "config": config,
                "rows": rows,
                "classes": list(classes),
            },
        )
        is_moved = dataset.current_revision_id != revision.pk
        if is_moved:
            dataset.current_revision = revision
            dataset.save(update_fields=["current_revision"])
    change = "added" if is_new else "changed" if is_new_revision or is_moved else "unchanged"
    return ImportedDataset(dataset=dataset, change=change)
