"""Audio encoders of libraries: the model's rate and feature extractor, then a frozen network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np
import numpy.typing as npt
import torch
from scipy.signal import resample_poly

from workers.kit import UserError
from workers.sources.encoders.frozen import Body, FrozenEncoder, put_together
from workers.sources.protocols import Encoded, Items, Reading

Sound = npt.NDArray[np.float32]
DEFAULT_RATE = 16_000
LONGEST_SECONDS = 60


@dataclass(frozen=True, kw_only=True, eq=False)
class SoundPreparation:
    """How recordings become a network's input.

    prepare    recordings at `rate`, all of one length where `is_alike` -> inputs by name
    rate       samples per second that the model hears
    shortest   samples below which a recording is filled up with silence
    longest    samples after which a recording is cut
    is_alike   whether recordings of one pass must have one length, so that none is padded
    in_words   the preprocessing
    """

    prepare: Callable[[Sequence[Sound]], dict[str, torch.Tensor]]
    rate: int
    shortest: int
    longest: int
    is_alike: bool
    in_words: str


def recordings_of(items: Items) -> list[Sound]:
    """The inputs as a list of float32 vectors. Raises UserError for anything else."""
    sounds = [np.asarray(one) for one in items]
    if any(one.ndim != 1 or one.dtype.kind != "f" or not len(one) for one in sounds):
        raise UserError("This model hears recordings (mono, values -1 … 1), the data set holds something else.")
    return [one.astype(np.float32, copy=False) for one in sounds]


def at_rate(sound: Sound, *, here: int, wanted: int) -> Sound:
    """A recording at another rate, by scipy's polyphase filter."""
    if here == wanted:
        return sound
    shared = gcd(here, wanted)
    return np.asarray(resample_poly(sound, wanted // shared, here // shared), dtype=np.float32)


class SoundNetwork(FrozenEncoder[Sequence[Sound]]):
    """An `Encoder` of recordings by a library's network and feature extractor.

    `rate` is that of the recordings which come in, 16,000 samples per second until it is set to the data set's.
    Recordings of unequal length run apart where padding would change them. With pooling "tokens" every recording has as
    many vectors as the longest one of the data set, zeros beyond its own; `shape` finds that number.
    """

    rate = DEFAULT_RATE

    def __init__(
        self, body: Body, preparation: SoundPreparation, *, name: str, device: str, threads: int, reading: Reading
    ) -> None:
        super().__init__(body, name=name, device=device, threads=threads, reading=reading)
        self._preparation, self._most = preparation, 0

    def _inputs(self, rows: Sequence[Sound]) -> dict[str, torch.Tensor]:
        return self._preparation.prepare(rows)

    def _heard(self, one: Sound) -> Sound:
        """A recording at the model's rate, cut or filled up with silence."""
        one = at_rate(one, here=int(self.rate), wanted=self._preparation.rate)[: self._preparation.longest]
        return np.pad(one, (0, max(self._preparation.shortest - len(one), 0)))

    def shape(self, items: Items, *, image_size: int = 0) -> tuple[tuple[int, ...], int]:
        """(d,), or (frames of the longest recording, d), and the number of logits."""
        if self._reading.pooling != "tokens" or not len(items):
            return super().shape(items)
        longest = max(range(len(items)), key=lambda place: len(items[place]))
        shape, logits = super().shape(items[longest : longest + 1])
        self._most = shape[0]
        return shape, logits

    def encode(self, items: Items, *, image_size: int = 0) -> Encoded:
        """Features and logits of float32 vectors. Raises UserError for anything else."""
        heard = [self._heard(one) for one in recordings_of(items)]
        lengths = np.array([len(one) if self._preparation.is_alike else 0 for one in heard], dtype=np.int64)
        groups = [np.flatnonzero(lengths == length) for length in np.unique(lengths)]
        parts = [
            self._forward(
                [heard[place] for place in group], count=len(group), take=lambda rows, start, stop: rows[start:stop]
            )
            for group in groups
        ]
        return put_together(parts, groups, least_tokens=self._most)

    def _preprocessing(self, *, image_size: int) -> str:
        change = "" if self.rate == self._preparation.rate else f" Resampled from {self.rate:,} by a polyphase filter."
        return f"{self._preparation.in_words}{change}"
