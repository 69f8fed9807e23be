"""Which arrays an npz archive holds, and which of them are inputs and labels. Reads its directory only."""

from __future__ import annotations

from pathlib import Path

from workers.kit import UserError
from workers.sources.datasets.class_folders import split_of
from workers.sources.datasets.zip_members import zip_members

MAX_BYTES = 4 * 2**30
INPUT_NAMES = ("x", "features", "images", "image", "data", "embeddings", "series", "inputs")
LABEL_NAMES = ("y", "labels", "label", "targets", "target", "classes")


def array_names(path: Path) -> tuple[str, ...]:
    """Names of the arrays. Raises UserError if it is no whole archive or holds more than MAX_BYTES."""
    infos = zip_members(path)
    if sum(info.file_size for info in infos.values()) > MAX_BYTES:
        raise UserError(f"{path.name} holds more than {MAX_BYTES // 2**30} GB: choose a part of it.")
    return tuple(name.removesuffix(".npy") for name in infos if name.endswith(".npy"))


def array_pairs(names: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """(input, label, split) of the arrays that belong together: x and y, or x_train and y_train, train_images …"""
    folded = {name.lower(): name for name in names}
    found = [
        (folded[first], folded[second], "")
        for first in INPUT_NAMES
        for second in LABEL_NAMES
        if {first, second} <= set(folded)
    ][:1]
    if found:
        return found
    parts: dict[str, dict[str, str]] = {}
    for low, name in folded.items():
        words = low.replace("-", "_").split("_")
        split = next((split_of(word) for word in words if split_of(word)), "")
        rest = "_".join(word for word in words if not split_of(word))
        role = "x" if rest in INPUT_NAMES else "y" if rest in LABEL_NAMES else ""
        if split and role:
            parts.setdefault(split, {})[role] = name
    order = ("train", "validation", "test")
    return [(parts[one]["x"], parts[one]["y"], one) for one in order if len(parts.get(one, ())) == 2]
