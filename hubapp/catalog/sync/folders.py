"""A folder of checkpoints, or a Hugging Face cache: each model in its own transaction; files stay where they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from django.db import transaction
from django.utils import timezone

from hubapp.catalog import describing
from hubapp.catalog.importing import Imported, ImportFile, model_import
from hubapp.catalog.loaders import guess_of
from hubapp.catalog.models import File, Model, Source, SyncRun
from hubapp.catalog.scanning import CARD_SUFFIXES, Candidate, card_facts, folder_search, shards_missing
from hubapp.catalog.sync.runs import progress_note
from hubapp.catalog.sync.upsert import EXAMPLES, BatchResult, Refusal
from workers.kit import UserError


def folder_take(run: SyncRun, *, source: Source, on_progress: Callable[[int, int, str], None] | None = None) -> None:
    """Bring the catalogue in line with the folder.

    A file whose size and time of change are as before is not read again. Models whose files have gone are archived and
    come back with their files. Raises UserError if the folder itself is gone, and then changes nothing.
    """
    root = Path(source.location)
    if not root.is_dir():
        raise UserError(f"The folder of {source.title} is not there. Is its disk mounted?")
    found = folder_search(root)
    refused = dict(found.refused)
    changes: dict[str, set[str]] = {}  # a model may have several snapshots
    marked: dict[str, str] = {}
    seen: set[str] = set()
    slugs = dict(Model.objects.filter(source=source).values_list("origin", "slug"))
    for position, candidate in enumerate(found.candidates):
        if on_progress:
            on_progress(position, len(found.candidates), candidate.name)
        slug = candidate.hub_name or slugs.get(_origin(candidate, source))
        slug = slug or _free_slug(candidate, taken={*seen, *slugs.values()})
        seen.add(slug)
        try:
            imported = _candidate_import(candidate, slug=slug, source=source)
            is_read = imported.change == "unchanged" and imported.model.documentation_level
            if (revision := imported.model.current_revision) and not is_read:
                describing.local_card_store(revision)
        except (UserError, OSError) as error:
            refused[candidate.name] = error.message if isinstance(error, UserError) else f"{error.strerror}."
            continue
        changes.setdefault(slug, set()).add(imported.change)
        if imported.error_message:
            marked[slug] = imported.error_message
    result = BatchResult(
        added=[slug for slug, one in changes.items() if "added" in one],
        changed=[slug for slug, one in changes.items() if "changed" in one and "added" not in one],
        unchanged=sum(one == {"unchanged"} for one in changes.values()),
    )
    gone = _mark_missing(source, seen=seen)
    refusals = [Refusal(place, path, reason) for place, (path, reason) in enumerate(sorted(refused.items()), start=1)]
    with transaction.atomic():
        progress_note(run, result, refused=refusals)
        run.removed = len(gone)
        run.examples |= {"removed": gone[:EXAMPLES], "marked": dict(list(marked.items())[:EXAMPLES])}
        run.done = run.total = len(found.candidates)
        run.save()
    if on_progress:
        on_progress(len(found.candidates), len(found.candidates), "")


def _origin(candidate: Candidate, source: Source) -> str:
    if candidate.hub_name:
        return f"{candidate.hub_name} in the Hugging Face cache {source.title}"[:300]
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
        for file in File.objects.filter(revision__model__slug=slug, location__startswith="/")
    }
    files = []
    for path in (*candidate.weights, *candidate.companions):
        # A file behind a link may have a digest for a name, and what belongs to the model does not lie beside it there.
        real, state = path if candidate.folder else path.resolve(), path.stat()
        files.append(
            ImportFile(
                path=candidate.path_of(path),
                location=real,
                sha256=known.get((str(real), state.st_size, state.st_mtime_ns), ""),
                is_weights=path in candidate.weights,
                modified_ns=state.st_mtime_ns,
            )
        )
    guess = guess_of({file.path: file.location for file in files if file.is_weights or _is_small(file.path)})
    return model_import(
        source=source,
        slug=slug,
        title=candidate.title,
        files=files,
        guess=guess,
        in_place=True,
        commit=candidate.commit,
        is_current=candidate.is_current,
        error_message=shards_missing(candidate),
        facts={"origin": _origin(candidate, source), **card_facts(candidate)},
    )


def _is_small(path: str) -> bool:
    """Whether it is no spare copy of the weights, which says nothing of those that were chosen."""
    return path.endswith(CARD_SUFFIXES)


def _mark_missing(source: Source, *, seen: set[str]) -> list[str]:
    """Archive the models whose files the scan did not find; returns their slugs."""
    gone = Model.objects.filter(source=source, is_missing=False).exclude(slug__in=seen)
    slugs = list(gone.order_by("slug").values_list("slug", flat=True))
    now = timezone.now()
    with transaction.atomic():
        Model.objects.filter(slug__in=slugs, archived_at__isnull=True).update(is_missing=True, archived_at=now)
        Model.objects.filter(slug__in=slugs, is_missing=False).update(is_missing=True)
    return slugs
