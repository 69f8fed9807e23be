"""Images of a data set as image encoders take them: RGB pictures, of one size or of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from workers.kit import UserError
from workers.sources.protocols import Items

Picture = npt.NDArray[np.uint8]


def colour_pictures(items: Items) -> list[Picture]:
    """The images as a list of uint8 (height, width, 3); grey is repeated. Raises UserError for anything else."""
    found = [_colour(one) for one in (items if isinstance(items, Sequence | np.ndarray) else ())]
    if any(one is None for one in found):
        raise UserError("This model reads grey or RGB images with values 0 … 255, the data set holds something else.")
    return [one for one in found if one is not None]


def _colour(one: Any) -> Picture | None:
    if not isinstance(one, np.ndarray) or one.dtype != np.uint8 or 0 in one.shape:
        return None
    if one.ndim == 2:
        return np.repeat(one[:, :, None], 3, axis=2)
    return one if one.ndim == 3 and one.shape[2] == 3 else None


def squashed(pictures: Sequence[Picture], *, side: int, resample: Image.Resampling) -> list[Picture]:
    """The pictures at side × side pixels, aspect not kept, by Pillow's filter."""
    size = (side, side)
    return [
        one if one.shape[:2] == size else np.asarray(Image.fromarray(one).resize(size, resample)) for one in pictures
    ]
