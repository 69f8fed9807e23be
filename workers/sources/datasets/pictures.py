"""One picture from the bytes of an image file of a stranger: bounded, turned upright, in grey or RGB of 8 bits."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 50_000_000
MAX_BYTES = 128 * 2**20
# Formats that Pillow reads by itself; others start programs (EPS), or hold whole documents.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
_DAMAGED = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    AttributeError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
_GREY = frozenset({"1", "L"})
_SIXTEEN = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I"})

Pixels = npt.NDArray[np.uint8]


class UnreadableImage(Exception):
    """A file that gives no picture; its text is the end of a sentence that says why."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """A picture as it is looked at.

    pixels   uint8 (height, width) if grey, else (height, width, 3) RGB
    changes  what was done to come there, each a few words ("turned upright by its EXIF data")
    """

    pixels: Pixels
    changes: tuple[str, ...] = ()


def read_picture(data: bytes) -> Picture:
    """The picture in the bytes of an image file, its first frame if it moves.

    Transparency is laid on white, palettes, CMYK and other colour spaces become RGB, 16 bits become 8 by dropping the
    lower half, EXIF orientation is applied. Raises UnreadableImage for more than MAX_BYTES or MAX_PIXELS, for formats
    other than FORMATS, and for a file that is cut off or damaged.
    """
    if not data:
        raise UnreadableImage("empty files")
    if len(data) > MAX_BYTES:
        raise UnreadableImage(f"files above {MAX_BYTES // 2**20} MB")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise UnreadableImage(f"images above {MAX_PIXELS // 10**6} million pixels")
                return _upright(image)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise UnreadableImage(f"images above {MAX_PIXELS // 10**6} million pixels") from error
        except UnidentifiedImageError as error:
            raise UnreadableImage("files that are no JPEG, PNG, GIF, BMP, WebP, TIFF or PPM") from error
        except _DAMAGED as error:
            raise UnreadableImage("images that are cut off or damaged") from error


def _upright(image: Image.Image) -> Picture:
    changes = []
    if getattr(image, "n_frames", 1) > 1:
        image.seek(0)
        changes.append("first frame of several")
    image.load()
    turned = ImageOps.exif_transpose(image)
    if turned.size != image.size or (turned is not image and image.getexif().get(0x0112, 1) not in {0, 1}):
        changes.append("turned upright by its EXIF data")
    pixels, colour = _eight_bits(turned)
    return Picture(pixels=pixels, changes=(*changes, *colour))


def _eight_bits(image: Image.Image) -> tuple[Pixels, tuple[str, ...]]:
    mode = image.mode
    if mode in _GREY and "transparency" not in image.info:
        return np.asarray(image.convert("L"), dtype=np.uint8), ()
    if mode in _SIXTEEN:
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65_535:
            raise UnreadableImage("images of whole numbers outside 0 … 65,535")
        return (values >> 8).astype(np.uint8), ("16 bits cut to 8",)
    if mode == "F":
        numbers = np.asarray(image, dtype=np.float64)
        if not np.isfinite(numbers).all() or numbers.min() < 0 or numbers.max() > 1:
            raise UnreadableImage("images of fractions outside 0 … 1")
        return np.rint(numbers * 255).astype(np.uint8), ("fractions 0 … 1 stretched to 0 … 255",)
    if mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in image.info:
        clear = image.convert("RGBA")
        ground = Image.new("RGBA", clear.size, (255, 255, 255, 255))
        return np.asarray(Image.alpha_composite(ground, clear).convert("RGB")), ("transparency laid on white",)
    if mode == "RGB":
        return np.asarray(image, dtype=np.uint8), ()
    changed = () if mode == "P" else (f"{mode} turned into RGB",)
    return np.asarray(image.convert("RGB"), dtype=np.uint8), changed


def fitted(pixels: Pixels, *, side: int, fit: str) -> Pixels:
    """The picture as (side, side[, 3]): "crop" scales the shorter side and keeps the centre, "squash" scales both.

    Bicubic with antialiasing, rounded to 8 bits (Pillow).
    """
    image = Image.fromarray(pixels)
    if fit == "squash":
        return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC))
    return np.asarray(ImageOps.fit(image, (side, side), method=Image.Resampling.BICUBIC))


def as_colour(pixels: Pixels) -> Pixels:
    """Grey repeated on three channels; RGB as it is."""
    return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)
