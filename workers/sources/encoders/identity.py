"""No model at all: a table's own columns, or an image's coarse pixels, as the baseline that a model has to beat."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from workers.kit import ModelRef, UserError
from workers.sources.protocols import Encoded, Items, Reading

GRID = 16
_DEFAULT = Reading()


class IdentityEncoder:
    """An `Encoder` whose features are the inputs.

    A row of a table is its columns. An image is the mean of its values 0 … 1 in each cell of a grid of at most 16 × 16,
    row by row, channels last. Nothing is learnt or standardised.
    """

    layers: tuple[str, ...] = ()
    source_classes: tuple[str, ...] = ()
    is_any_size = False

    def __init__(self, name: str, modality: str) -> None:
        self._name, self._modality = name, modality

    def shape(self, items: Items, *, image_size: int = 0) -> tuple[tuple[int, ...], int]:
        """The columns of a table, or cells × channels of images; no logits."""
        return (int(self._rows(items[:1]).shape[1]),), 0

    def encode(self, items: Items, *, image_size: int = 0) -> Encoded:
        """The (n, d) inputs themselves, whatever `image_size`. Raises UserError for values that are missing."""
        rows = self._rows(items)
        if not np.isfinite(rows).all():
            raise UserError(
                f"{self._name} passes columns on as they are, and some values are missing: leave those rows out."
            )
        return Encoded(features=rows)

    def _rows(self, items: Items) -> npt.NDArray[np.float32]:
        values = np.asarray(items)
        if self._modality == "table" and values.ndim == 2 and values.dtype.kind in "biuf":
            return values.astype(np.float32)
        if self._modality == "image" and values.ndim in {3, 4}:
            return coarse(values)
        raise UserError(f"{self._name} reads {self._modality or 'nothing known'}, the data set holds something else.")

    def describe(self, *, image_size: int = 0) -> dict[str, Any]:
        """What was done, in words."""
        words = {
            "table": "columns as they stand in the table, neither scaled nor standardised",
            "image": f"values / 255, mean over each cell of a grid of at most {GRID} × {GRID}",
        }
        return {
            "layer": "the inputs themselves",
            "pooling": "none",
            "preprocessing": words[self._modality],
            "precision": "float32",
            "device": "cpu",
            "versions": {"numpy": np.__version__},
        }


def coarse(images: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """(n, cells × channels) mean of images (n, h, w) or (n, h, w, 3), over 255, in the cells of a grid."""
    values = images[..., None] if images.ndim == 3 else images
    sums = values.astype(np.float64)
    for axis in (1, 2):
        size = values.shape[axis]
        edges = np.linspace(0, size, min(GRID, size) + 1).astype(np.int64)
        sums = np.add.reduceat(sums, edges[:-1], axis=axis)
        widths = np.diff(edges).reshape([-1 if place == axis else 1 for place in range(4)])
        sums /= widths
    return (sums / 255).reshape(len(values), -1).astype(np.float32)


def open_encoder(model: ModelRef, *, device: str, threads: int = 1, reading: Reading = _DEFAULT) -> IdentityEncoder:
    """The baseline for the model's modality, on the CPU whatever the device.

    Raises UserError for modalities other than "table" and "image", and for a layer or pooling, since it has neither.
    """
    if model.modality not in {"table", "image"}:
        raise UserError(f"{model.name} can pass on tables and images alone, not {model.modality or 'an unknown kind'}.")
    if reading.layer != "penultimate" or reading.pooling != "default":
        raise UserError(f"{model.name} has no layers and no pooling: leave both as they are.", field="layer")
    return IdentityEncoder(model.name, model.modality)
