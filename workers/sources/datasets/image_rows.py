"""The images of many files as the items of a data set: all in memory where they are alike and fit, else read again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from workers.kit import UserError
from workers.sources.datasets.assembling import Inputs, content_id
from workers.sources.datasets.pictures import Pixels, UnreadableImage, as_colour, fitted, read_picture
from workers.sources.datasets.sampling import config_number
from workers.sources.datasets.targets import Ints, dropped_rows
from workers.sources.protocols import Dropped, Items

HELD_BYTES = 512 * 2**20
DEFAULT_SIDE = 224
FITS = ("crop", "squash")

Read = Callable[[int], bytes]
"""The bytes of the image file of a row of the source."""


class ImageRows(Sequence[Pixels]):
    """Images by row: `rows[3]` is one picture, `rows[2:8]` an array uint8 (6, height, width[, 3]).

    side     0 where all have one size; else all are brought to side × side by `fit`
    is_said  whether that side was asked for, and is not only what a model without a rule of its own has to be given
    sizes    (height, width) of every picture as it is stored, upright
    """

    def __init__(
        self,
        pictures: Sequence[Pixels | None],
        *,
        read: Read,
        rows: Ints,
        sizes: Sequence[tuple[int, int]],
        side: int,
        fit: str,
        is_said: bool,
        is_grey: bool,
    ) -> None:
        self._pictures, self._read, self._rows = pictures, read, rows
        self.sizes, self.side, self.fit = tuple(sizes), side, fit
        self.is_said, self.is_grey = is_said, is_grey

    def __len__(self) -> int:
        return len(self._rows)

    def original(self, position: int) -> Pixels:
        """The picture at its own size.

        Raises UserError where the file has changed since the data set was opened.
        """
        held = self._pictures[position]
        if held is None:
            try:
                held = read_picture(self._read(int(self._rows[position]))).pixels
            except UnreadableImage as error:
                raise UserError("An image has changed while the data set was read: start again.") from error
            if held.shape[:2] != self.sizes[position]:
                raise UserError("An image has changed while the data set was read: start again.")
        return held if self.is_grey else as_colour(held)

    def _one(self, position: int) -> Pixels:
        pixels = self.original(position)
        return fitted(pixels, side=self.side, fit=self.fit) if self.side else pixels

    @overload
    def __getitem__(self, key: int) -> Pixels: ...
    @overload
    def __getitem__(self, key: slice) -> Any: ...
    def __getitem__(self, key: int | slice) -> Any:
        if isinstance(key, slice):
            return self.stacked(range(*key.indices(len(self))))
        return self._one(range(len(self))[key])

    def stacked(self, positions: Sequence[int] | npt.NDArray[np.int64]) -> Pixels:
        """The pictures at these positions as one array."""
        if not len(positions):
            height, width = (self.side, self.side) if self.side else self.sizes[0] if self.sizes else (0, 0)
            return np.empty((0, height, width) if self.is_grey else (0, height, width, 3), dtype=np.uint8)
        return np.stack([self._one(int(position)) for position in positions])


class OwnSizes(Sequence[Pixels]):
    """The same pictures, each at its own size: `rows[2:8]` is a list."""

    def __init__(self, rows: ImageRows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, key: int) -> Pixels: ...
    @overload
    def __getitem__(self, key: slice) -> list[Pixels]: ...
    def __getitem__(self, key: int | slice) -> Pixels | list[Pixels]:
        if isinstance(key, slice):
            return [self._rows.original(position) for position in range(*key.indices(len(self)))]
        return self._rows.original(range(len(self))[key])


def as_given(items: Items, *, is_any_size: bool) -> tuple[Items, str]:
    """What an encoder is given of a data set's items, and in words how they were scaled before ("": not at all).

    Pictures of several sizes stay as they are where the model scales them by its own rule and nobody asked for a side.
    """
    if not isinstance(items, ImageRows) or not items.side:
        return items, ""
    if is_any_size and not items.is_said:
        return OwnSizes(items), ""
    return items, f"{items.fit} to {items.side}"


def image_inputs(rows: Ints, *, read: Read, names: Sequence[str], config: Mapping[str, Any]) -> Inputs:
    """The pictures of these rows of a source, each decoded once to see that it can be.

    config: image_size (the side that images of unequal size are brought to; by default 224, and models that scale by a
    rule of their own get them as they are), fit ("crop" or "squash").
    `names` are by row of the source.
    """
    fit = config.get("fit", FITS[0])
    if fit not in FITS:
        raise UserError(f"Images cannot be fitted by {fit!r}: give 'crop' or 'squash'.", field="fit")
    said = config_number(config, "image_size", 0)
    side = said or DEFAULT_SIDE
    kept = np.zeros(len(rows), dtype=np.bool_)
    pictures: list[Pixels | None] = []
    sizes: list[tuple[int, int]] = []
    ids: list[int] = []
    lost: dict[str, list[str]] = {}
    changes: Counter[str] = Counter()
    is_grey, held_bytes = True, 0
    for position, row in enumerate(rows):
        try:
            data = read(int(row))
            picture = read_picture(data)
        except UnreadableImage as error:
            lost.setdefault(str(error), []).append(names[row])
            continue
        kept[position] = True
        is_grey = is_grey and picture.pixels.ndim == 2
        held_bytes += picture.pixels.nbytes
        pictures.append(picture.pixels if held_bytes <= HELD_BYTES else None)
        sizes.append((picture.pixels.shape[0], picture.pixels.shape[1]))
        ids.append(content_id(data))
        changes.update(picture.changes)
    are_alike = len(set(sizes)) <= 1
    found = ImageRows(
        pictures,
        read=read,
        rows=rows[kept],
        sizes=sizes,
        side=0 if are_alike else side,
        fit=fit,
        is_said=said > 0,
        is_grey=is_grey,
    )
    reading: dict[str, Any] = {}
    if changes:
        reading["changes"] = dict(sorted(changes.items()))
    if not are_alike:
        how = "shorter side scaled, centre kept" if fit == "crop" else "both sides scaled"
        whom = "" if said else ", for models that have no rule of their own"
        reading["size"] = f"images of {len(set(sizes)):,} sizes brought to {side} × {side} ({how}, bicubic){whom}"
    return Inputs(
        items=found[:] if are_alike and held_bytes <= HELD_BYTES else found,
        kept=kept,
        content_ids=np.array(ids, dtype=np.int64),
        dropped=_dropped(lost),
        reading=reading,
    )


def _dropped(lost: Mapping[str, Sequence[str]]) -> tuple[Dropped, ...]:
    return tuple(one for reason, names in lost.items() for one in dropped_rows(reason, names))
