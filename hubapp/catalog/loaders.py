"""How a model is run, by its files: loader, configuration, what it reads, and why; noted on its revision."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from hubapp.catalog.described import record_of
from hubapp.catalog.models import Model, Revision
from hubapp.catalog.selectors import file_path
from workers.sources.loader_guess import LoaderGuess, guess_loader

READ = frozenset({"config.json", "modules.json", "preprocessor_config.json"})
LARGEST_BYTES = 16 * 2**20
MAX_NOTE = 1000
BY_HAND = "Its loader and configuration were set by hand."


def guess_of(
    places: Mapping[str, Path], *, stated: Mapping[str, object] | None = None, library: str = ""
) -> LoaderGuess:
    """What files say of how they are opened: path within the model → where it lies. Never raises for their content.

    stated  what a hub's record knows of config.json; library: what the hub says that the model is loaded by
    """
    content = {path: _small(place) if PurePosixPath(path).name in READ else None for path, place in places.items()}
    return guess_loader(content, stated, library=library)


def _small(place: Path) -> bytes | None:
    try:
        return place.read_bytes() if place.stat().st_size <= LARGEST_BYTES else None
    except OSError:
        return None


def describe_revision(revision: Revision) -> LoaderGuess:
    """Set loader, configuration, modality and the reason of a revision from its files that lie here.

    For revisions that a commit names, so that their files alone do not say how they were read before. What they were
    computed with is part of no digest: whoever changes what `guess_loader` says of files that it knew raises the
    version of the analysis "features".
    """
    model = revision.model
    files = [(file.path, file_path(file.location)) for file in revision.files.all() if file.location]
    stated = record_of(model).get("config")
    guess = guess_of(dict(files), stated=stated if isinstance(stated, dict) else None, library=model.library)
    guess_note(revision, guess)
    return guess


def guess_note(revision: Revision, guess: LoaderGuess) -> bool:
    """Keep a guess on its revision, and what it reads on the model whose current one that is.

    Writes only what differs, and nothing where a person said how it is run; returns whether that is another way now.
    """
    if revision.loader_note == BY_HAND:
        return False
    found = {
        "loader": guess.loader,
        "config": dict(guess.config),
        "modality": guess.modality,
        "loader_note": guess.reason[:MAX_NOTE],
    }
    differing = [name for name, value in found.items() if getattr(revision, name) != value]
    for name in differing:
        setattr(revision, name, found[name])
    if not differing:
        return False
    revision.save(update_fields=differing)
    if guess.modality and revision.modality and {"loader", "modality"} & set(differing):
        model = Model.objects.filter(pk=revision.model_id, current_revision=revision)
        model.exclude(modality=guess.modality).update(modality=guess.modality)
    return bool({"loader", "config"} & set(differing))
