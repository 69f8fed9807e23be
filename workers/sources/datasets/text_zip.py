"""A zip of plain texts, one folder for each class, read where it lies: nothing is unpacked to disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from workers.kit import DatasetRef, UserError
from workers.sources.datasets.assembling import Inputs, assembled, content_id
from workers.sources.datasets.class_folders import class_folders
from workers.sources.datasets.pictures import UnreadableImage
from workers.sources.datasets.places import OpenFile, in_zip
from workers.sources.datasets.sampling import config_number
from workers.sources.datasets.targets import Ints, class_targets, dropped_rows
from workers.sources.datasets.zip_members import zip_members
from workers.sources.protocols import Dataset

MAX_HELD_CHARACTERS = 2**30


def decoded(data: bytes) -> str:
    """The text, in UTF-8 or else Windows-1252. Raises UnreadableImage for what is no text."""
    if b"\0" in data[:4096] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UnreadableImage("files that are no text")
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def open_dataset(ref: DatasetRef) -> Dataset:
    """The texts of a zip in the order of their paths, classes and splits as `image_folder` finds them.

    config: words (texts are cut to that many; 0: whole), sample, seed, class_names. Empty texts are left out and named.
    Raises UserError for what `zip_members` refuses, for no class folders, and for more than MAX_HELD_CHARACTERS.
    """
    path = Path(ref.location)
    if not ref.location or not path.is_file():
        raise UserError(f"The data set {ref.name!r} should lie in a zip file, but there is none at its location.")
    members = zip_members(path)
    found = class_folders(list(members), label=path.name, kind="text")
    words = config_number(ref.config, "words", 0)
    cut = f"first {words} words" if words else "whole texts"
    return assembled(
        ref,
        modality="text",
        targets=class_targets(found.classes, names=found.paths),
        inputs=lambda rows: _texts(rows, paths=found.paths, read=in_zip(path, members), words=words, label=path.name),
        source_rows=len(found.paths),
        names=found.paths,
        splits=found.splits,
        dropped=found.dropped,
        provenance={"reading": f"text files of a zip, not unpacked, {cut}, {found.structure}"},
    )


def _texts(rows: Ints, *, paths: tuple[str, ...], read: OpenFile, words: int, label: str) -> Inputs:
    kept = np.zeros(len(rows), dtype=np.bool_)
    texts: list[str] = []
    ids: list[int] = []
    lost: dict[str, list[str]] = {}
    held = 0
    for position, row in enumerate(rows):
        try:
            data = read(paths[row])
            text = decoded(data).strip()
            if not text:
                raise UnreadableImage("empty texts")
        except UnreadableImage as error:
            lost.setdefault(str(error), []).append(paths[row])
            continue
        kept[position] = True
        texts.append(" ".join(text.split()[:words]) if words else text)
        held += len(texts[-1])
        if held > MAX_HELD_CHARACTERS:
            raise UserError(f"The texts of {label} are too many to hold: choose a sample of rows.", field="sample")
        ids.append(content_id(data))
    return Inputs(
        items=texts,
        kept=kept,
        content_ids=np.array(ids, dtype=np.int64),
        dropped=tuple(one for reason, names in lost.items() for one in dropped_rows(reason, names)),
    )
