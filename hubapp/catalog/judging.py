"""What files that lie here tell beyond their tensors: how safe they are, and which formats a model comes in."""

from __future__ import annotations

import time
from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone

from hubapp.catalog.documentation import documentation_score
from hubapp.catalog.licences import licence_normalise
from hubapp.catalog.models import File, Model, Revision
from hubapp.catalog.selectors import file_path
from workers.sources.safety import file_safety, folder_safety, record_safety

JUDGE_SECONDS = 60.0
CARD_NAME = "README.md"
FORMAT_OF_CONTENT = {"torch-zip": "pytorch", "torch-legacy": "pytorch", "numpy-pickle": "pickle"}
WEIGHT_FORMATS = frozenset((
    "safetensors", "pytorch", "gguf", "onnx", "npz", "tfjs", "pickle", "keras", "flax", "tflite", "coreml", "nemo",
    "rust", "openvino",
))  # fmt: skip
_SOUND = "a.safetensors"
# Loaders that are named for the library whose models they open.
LIBRARY_OF_LOADER = {"torchvision": "torchvision"}


def named_level(path: str) -> str:
    """The level of a file by its name; "" for one that is neither weights nor an archive."""
    # Beside a sound file, what says nothing changes nothing.
    alone, beside = record_safety([path]), record_safety([_SOUND, path])
    return alone if alone == beside else ""


def formats_of_files(files: Sequence[File]) -> list[str]:
    """The weight formats of a revision in the catalogue's words, by the content of its files where it was read."""
    found = {FORMAT_OF_CONTENT.get(file.format, file.format) for file in files}
    return sorted(found & WEIGHT_FORMATS)


def local_judge(revision: Revision, *, seconds: float = JUDGE_SECONDS) -> None:
    """Judge the weight files of a revision that lies here; where it is its model's current one, describe that by them.

    What was judged before is not read again, for a revision never changes. After so many seconds the rest stays unread
    and unknown. Never raises for what a file holds.
    """
    files = list(revision.files.all())
    weights = [file for file in files if file.is_weights or named_level(file.path)]
    unread = [file for file in weights if not file.safety]
    deadline = time.monotonic() + seconds
    companions = [file_path(file.location) for file in weights]
    for file in unread:
        if time.monotonic() > deadline:
            file.safety, file.safety_note = "unknown", "It was not read: the other files took too long."
            continue
        found = file_safety(file_path(file.location), companions=companions)
        file.safety, file.safety_note = found.level, found.sentence[:1000]
    with transaction.atomic():
        File.objects.bulk_update(unread, ["safety", "safety_note"])
        model = Model.objects.select_for_update().get(pk=revision.model_id)
        if model.current_revision_id == revision.pk:
            _describe(model, revision, files, weights)


def _describe(model: Model, revision: Revision, files: Sequence[File], weights: Sequence[File]) -> None:
    found: dict[str, object] = {
        "formats": formats_of_files(weights),
        "safety": folder_safety(file.safety for file in weights),
    }
    if not model.library and revision.loader in LIBRARY_OF_LOADER:
        found["library"] = LIBRARY_OF_LOADER[revision.loader]
    if model.licence and not model.licence_family:
        found["licence_family"] = licence_normalise(model.licence).family[:40]
    if revision.commit:
        found["refreshed_at"] = timezone.now()  # so that a hub's record of names does not count for more
    Model.objects.filter(pk=model.pk).update(**found)
    if not model.documentation_level and all(file.path != CARD_NAME for file in files):
        card_missing(model)


def card_missing(model: Model) -> None:
    """Note that somebody looked and there is no card."""
    score = documentation_score(has_card=False, front_matter={}, body=None)
    found = {"documentation_points": score.points, "documentation_level": score.level, "card_words": None}
    Model.objects.filter(pk=model.pk).update(**found)
