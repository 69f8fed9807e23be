"""How fetched files are opened: loader, configuration and modality, by the small JSON files among them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import PurePosixPath

from hubapp.catalog.described import record_of
from hubapp.catalog.models import Model, Revision
from hubapp.catalog.selectors import file_path
from workers.sources.loader_guess import guess_loader

READ = frozenset({"modules.json", "config.json", "preprocessor_config.json"})
LARGEST_BYTES = 64 * 2**20


def loader_note(revision: Revision) -> str:
    """Set loader and configuration of a revision, and what its model reads; returns the reason in a sentence."""
    model = revision.model
    content: dict[str, bytes | None] = {}
    for file in revision.files.exclude(location=""):
        content[file.path] = None
        if PurePosixPath(file.path).name in READ and (file.size_bytes or 0) <= LARGEST_BYTES:
            with suppress(OSError):
                content[file.path] = file_path(file.location).read_bytes()
    stated = record_of(model).get("config")
    guess = guess_loader(content, stated if isinstance(stated, dict) else None, library=model.library)
    Revision.objects.filter(pk=revision.pk).update(loader=guess.loader, config=dict(guess.config))
    if guess.modality and model.current_revision_id == revision.pk:
        Model.objects.filter(pk=model.pk).exclude(modality=guess.modality).update(modality=guess.modality)
    return guess.reason
