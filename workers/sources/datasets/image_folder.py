"""A folder of image files, one sub-folder for each class."""

from __future__ import annotations

from pathlib import Path

from workers.kit import DatasetRef, UserError
from workers.sources.datasets.assembling import assembled
from workers.sources.datasets.class_folders import ClassFolders, class_folders
from workers.sources.datasets.image_rows import image_inputs
from workers.sources.datasets.places import OpenFile, in_folder
from workers.sources.datasets.targets import class_targets
from workers.sources.datasets.walking import files_below
from workers.sources.protocols import Dataset


def pictures_by_folder(ref: DatasetRef, found: ClassFolders, *, read: OpenFile, reading: str) -> Dataset:
    """The data set of images that are sorted into classes."""
    return assembled(
        ref,
        modality="image",
        targets=class_targets(found.classes, names=found.paths),
        inputs=lambda rows: image_inputs(
            rows, read=lambda row: read(found.paths[row]), names=found.paths, config=ref.config
        ),
        source_rows=len(found.paths),
        names=found.paths,
        splits=found.splits,
        dropped=found.dropped,
        provenance={"reading": f"{reading}, {found.structure}"},
    )


def open_dataset(ref: DatasetRef) -> Dataset:
    """The images of a folder, in the order of their paths; grey where all are, else RGB.

    Folders named train, val or test (and the like) above or below the class folders give the split. config: image_size,
    fit (for images of unequal size, see `image_inputs`), sample, seed, class_names. Raises UserError for a folder
    without class folders and where more than a tenth of the images cannot be read; fewer are left out and named.
    """
    folder = Path(ref.location)
    if not ref.location or not folder.is_dir():
        raise UserError(f"The data set {ref.name!r} should lie in a folder, but there is none at its location.")
    found = class_folders(files_below(folder), label=f"The folder {folder.name!r}")
    return pictures_by_folder(ref, found, read=in_folder(folder), reading="image files of a folder")
