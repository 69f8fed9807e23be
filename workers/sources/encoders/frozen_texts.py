"""Text encoders of libraries: tokens by tokenizer.json, then a frozen network; short texts run beside short ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Encoding

from workers.kit import UserError
from workers.sources.encoders.frozen import Body, FrozenEncoder, put_together
from workers.sources.encoders.tokenizing import TextPreparation
from workers.sources.protocols import Encoded, Items, Reading

# Beside what a forward pass costs, padding beyond this many tokens in one pass only fills memory.
TOKENS_AT_ONCE = 16_384
LIKE_LENGTH, FEWEST_TOGETHER = 0.8, 8


def texts_of(items: Items) -> list[str]:
    """The inputs as a list of strings. Raises UserError for anything else."""
    if isinstance(items, str) or any(not isinstance(one, str) for one in items):
        raise UserError("This model reads texts, the data set holds something else.")
    return [str(one) for one in items]


def by_length(
    encodings: Sequence[Encoding], *, is_split: bool, tokens_at_once: int = TOKENS_AT_ONCE
) -> list[npt.NDArray[np.int64]]:
    """Positions of the texts in groups of like length, each of at most `tokens_at_once` tokens with its padding.

    `is_split` begins a new group where padding would be more than a fifth, which pays on a CPU alone.
    """
    lengths = np.array([len(one.ids) for one in encodings], dtype=np.int64)
    order = np.argsort(-lengths, kind="stable")
    groups: list[npt.NDArray[np.int64]] = []
    start = 0
    while start < len(order):
        longest = int(lengths[order[start]])
        stop = min(start + max(1, tokens_at_once // max(longest, 1)), len(order))
        if is_split:
            like = start + int((lengths[order[start:stop]] >= LIKE_LENGTH * longest).sum())
            stop = min(stop, max(like, start + FEWEST_TOGETHER))
        groups.append(order[start:stop])
        start = stop
    return groups


class TextNetwork(FrozenEncoder[Sequence[Encoding]]):
    """An `Encoder` of texts by a library's network and tokenizer.

    With pooling "tokens" every text has as many vectors as the longest one of the data set has tokens, zeros beyond its
    own; `shape` finds that number.
    """

    def __init__(
        self, body: Body, preparation: TextPreparation, *, name: str, device: str, threads: int, reading: Reading
    ) -> None:
        super().__init__(body, name=name, device=device, threads=threads, reading=reading)
        self._preparation, self._longest = preparation, 0

    def _inputs(self, rows: Sequence[Encoding]) -> dict[str, torch.Tensor]:
        return {name: torch.from_numpy(value) for name, value in self._preparation.padded(rows).items()}

    def shape(self, items: Items, *, image_size: int = 0) -> tuple[tuple[int, ...], int]:
        """(d,), or (tokens of the longest text, d), and the number of logits."""
        shape, logits = super().shape(items)
        if self._reading.pooling == "tokens":
            longest = max(len(one.ids) for one in self._preparation.encodings(texts_of(items)))
            self._longest = self._preparation.max_length if self._preparation.fixed else longest
            shape = (self._longest, shape[1])
        return shape, logits

    def encode(self, items: Items, *, image_size: int = 0) -> Encoded:
        """Features and logits of a sequence of strings. Raises UserError for anything else."""
        encodings = self._preparation.encodings(texts_of(items))
        groups = by_length(encodings, is_split=self._device.type == "cpu")
        parts = [
            self._forward(
                [encodings[place] for place in group],
                count=len(group),
                take=lambda rows, start, stop: rows[start:stop],
            )
            for group in groups
        ]
        return put_together(parts, groups, least_tokens=self._longest)

    def _preprocessing(self, *, image_size: int) -> str:
        return self._preparation.in_words
