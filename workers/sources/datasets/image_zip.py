"""A zip of image files, one folder for each class, read where it lies: nothing is unpacked to disk."""

from __future__ import annotations

from pathlib import Path

from workers.kit import DatasetRef, UserError
from workers.sources.datasets.class_folders import class_folders
from workers.sources.datasets.image_folder import pictures_by_folder
from workers.sources.datasets.pictures import MAX_BYTES, UnreadableImage
from workers.sources.datasets.zip_members import zip_members
from workers.sources.formats.archive import member_bytes
from workers.sources.protocols import Dataset


def open_dataset(ref: DatasetRef) -> Dataset:
    """The images of a zip, as `image_folder` gives those of a folder, with the same configuration.

    Raises UserError for what `zip_members` refuses and as `image_folder` does.
    """
    path = Path(ref.location)
    if not ref.location or not path.is_file():
        raise UserError(f"The data set {ref.name!r} should lie in a zip file, but there is none at its location.")
    infos = zip_members(path)
    found = class_folders(list(infos), label=path.name)

    def read(row: int) -> bytes:
        info = infos[found.paths[row]]
        if info.file_size > MAX_BYTES:
            raise UnreadableImage(f"files above {MAX_BYTES // 2**20} MB")
        try:
            return bytes(member_bytes(path, info))
        except UserError as error:
            raise UnreadableImage("files that are damaged in the archive") from error

    return pictures_by_folder(ref, found, read=read, reading="image files of a zip, not unpacked")
