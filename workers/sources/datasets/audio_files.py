"""Recordings, one file each, in a folder for each class: in a folder, or in a zip that is not unpacked."""

from __future__ import annotations

from pathlib import Path

from workers.kit import DatasetRef, UserError
from workers.sources.datasets.assembling import assembled
from workers.sources.datasets.class_folders import ClassFolders, class_folders
from workers.sources.datasets.places import OpenFile, in_folder, in_zip
from workers.sources.datasets.recordings import recording_inputs
from workers.sources.datasets.targets import class_targets
from workers.sources.datasets.walking import files_below
from workers.sources.datasets.zip_members import zip_members
from workers.sources.protocols import Dataset


def open_folder(ref: DatasetRef) -> Dataset:
    """The recordings of a folder, in the order of their paths, classes and splits as `image_folder` finds them.

    config: rate (see `recording_inputs`), sample, seed, class_names. Raises UserError for a folder without class
    folders and where more than a tenth of the recordings cannot be read; fewer are left out and named.
    """
    folder = Path(ref.location)
    if not ref.location or not folder.is_dir():
        raise UserError(f"The data set {ref.name!r} should lie in a folder, but there is none at its location.")
    found = class_folders(files_below(folder), label=f"The folder {folder.name!r}", kind="audio")
    return _by_folder(ref, found, read=in_folder(folder), reading="sound files of a folder")


def open_zip(ref: DatasetRef) -> Dataset:
    """The recordings of a zip, as `open_folder` gives those of a folder.

    Raises UserError for what `zip_members` refuses, too.
    """
    path = Path(ref.location)
    if not ref.location or not path.is_file():
        raise UserError(f"The data set {ref.name!r} should lie in a zip file, but there is none at its location.")
    members = zip_members(path)
    found = class_folders(list(members), label=path.name, kind="audio")
    return _by_folder(ref, found, read=in_zip(path, members), reading="sound files of a zip, not unpacked")


def _by_folder(ref: DatasetRef, found: ClassFolders, *, read: OpenFile, reading: str) -> Dataset:
    return assembled(
        ref,
        modality="audio",
        targets=class_targets(found.classes, names=found.paths),
        inputs=lambda rows: recording_inputs(
            rows, read=lambda row: read(found.paths[row]), names=found.paths, config=ref.config
        ),
        source_rows=len(found.paths),
        names=found.paths,
        splits=found.splits,
        dropped=found.dropped,
        provenance={"reading": f"{reading}, {found.structure}"},
    )
