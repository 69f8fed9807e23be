"""A zip of image files, one folder for each class, read where it lies: nothing is unpacked to disk."""

from __future__ import annotations

from pathlib import Path

from workers.kit import DatasetRef, UserError
from workers.sources.datasets.class_folders import class_folders
from workers.sources.datasets.image_folder import pictures_by_folder
from workers.sources.datasets.places import in_zip
from workers.sources.datasets.zip_members import zip_members
from workers.sources.protocols import Dataset


def open_dataset(ref: DatasetRef) -> Dataset:
    """The images of a zip, as `image_folder` gives those of a folder, with the same configuration.

    Raises UserError for what `zip_members` refuses and as `image_folder` does.
    """
    path = Path(ref.location)
    if not ref.location or not path.is_file():
        raise UserError(f"The data set {ref.name!r} should lie in a zip file, but there is none at its location.")
    members = zip_members(path)
    found = class_folders(list(members), label=path.name)
    return pictures_by_folder(ref, found, read=in_zip(path, members), reading="image files of a zip, not unpacked")
