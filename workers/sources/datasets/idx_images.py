"""Images in IDX files, the format of MNIST and its relatives (LeCun, Cortes and Burges 1998)."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from workers.kit import DatasetRef, UserError
from workers.sources.datasets.sampling import sampled_dataset
from workers.sources.protocols import Dataset

PARTS = {"train": "train", "t10k": "test"}
UNSIGNED_BYTES = 0x08


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """The array of one IDX file of unsigned bytes, plain or gzip. Raises UserError for anything else."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path.name} cannot be unpacked: {error}") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != UNSIGNED_BYTES:
        raise UserError(f"{path.name} is not an IDX file of unsigned bytes.")
    dimensions = data[3]
    start = 4 + 4 * dimensions
    shape = tuple(int(value) for value in np.frombuffer(data, dtype=">u4", count=dimensions, offset=4))
    if len(data) != start + math.prod(shape):
        raise UserError(
            f"{path.name} says that it holds {shape}, but its length does not agree: it is cut off or damaged."
        )
    return np.frombuffer(data, dtype=np.uint8, offset=start).reshape(shape)


def _file(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    raise UserError(f"The folder {folder.name!r} has no {name} or {name}.gz.")


def open_dataset(ref: DatasetRef) -> Dataset:
    """The images (n, height, width) uint8 of a folder, the training part before the test part.

    config: parts (default ["train", "t10k"]), sample, seed, class_names. Row ids count through the parts in that order.
    Raises UserError for a missing or damaged file and where images and labels differ in number.
    """
    folder = Path(ref.location)
    if not folder.is_dir():
        raise UserError(f"The data set {ref.name!r} should lie in a folder, but there is none at its location.")
    images, labels, splits = [], [], []
    for part in ref.config.get("parts", list(PARTS)):
        if part not in PARTS:
            raise UserError(f"There is no part {part!r}: give 'train', 't10k' or both.", field="parts")
        part_images = read_idx(_file(folder, f"{part}-images-idx3-ubyte"))
        part_labels = read_idx(_file(folder, f"{part}-labels-idx1-ubyte"))
        if part_images.ndim != 3 or part_labels.shape != part_images.shape[:1]:
            raise UserError(
                f"The {part} part has images {part_images.shape} and labels {part_labels.shape}: they disagree."
            )
        images.append(part_images)
        labels.append(part_labels)
        splits += [PARTS[part]] * len(part_labels)
    if not images:
        raise UserError("No part is asked for: give 'train', 't10k' or both.", field="parts")
    return sampled_dataset(
        ref,
        modality="image",
        items=np.concatenate(images),
        label_values=[str(value) for value in np.concatenate(labels)],
        splits=splits,
        provenance={"reading": f"IDX files, parts {', '.join(ref.config.get('parts', list(PARTS)))}"},
    )
