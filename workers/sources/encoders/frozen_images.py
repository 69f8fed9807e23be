"""Image encoders of libraries: the library's own preprocessing, then a frozen network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from workers.sources.encoders.frozen import Body, FrozenEncoder
from workers.sources.encoders.pictures import Picture, colour_pictures
from workers.sources.protocols import Encoded, Items, Reading


@dataclass(frozen=True, kw_only=True, eq=False)
class PicturePreparation:
    """How pictures become a network's input.

    prepare   (pictures uint8 (h, width, 3), side) -> (n, 3, h, w) float32; side 0 is the model's own size
    in_words  the preprocessing at the model's own size
    is_fixed  whether the network takes its own size only, so that the side is not used
    """

    prepare: Callable[[Sequence[Picture], int], torch.Tensor]
    in_words: str
    is_fixed: bool


class ImageNetwork(FrozenEncoder[Sequence[Picture]]):
    """An `Encoder` of images by a library's network and preprocessing.

    `image_size` replaces the model's own size where the network takes any size; a network of one size (position
    embeddings) gets its own, whatever is asked.
    """

    is_any_size = True

    def __init__(
        self,
        body: Body,
        preparation: PicturePreparation,
        *,
        name: str,
        device: str,
        threads: int,
        reading: Reading,
        input_name: str = "pixel_values",
    ) -> None:
        super().__init__(body, name=name, device=device, threads=threads, reading=reading)
        self._preparation, self._input_name = preparation, input_name

    def _inputs(self, rows: Sequence[Picture]) -> dict[str, torch.Tensor]:
        side = 0 if self._preparation.is_fixed else self._image_size
        return {self._input_name: self._preparation.prepare(rows, side)}

    def encode(self, items: Items, *, image_size: int = 0) -> Encoded:
        """Features and logits of uint8 images, (n, h, w), (n, h, w, 3) or a list of pictures of several sizes."""
        pictures = colour_pictures(items)
        self._image_size = image_size
        return self._forward(pictures, count=len(pictures), take=lambda rows, start, stop: rows[start:stop])

    def _preprocessing(self, *, image_size: int) -> str:
        words = f"Grey repeated on three channels. {self._preparation.in_words}"
        if not image_size:
            return words
        if self._preparation.is_fixed:
            return f"{words} The network takes this size only; {image_size} pixels of the data set are not used."
        return f"{words} Instead of the model's own size: {image_size} × {image_size}, aspect not kept, no crop."
