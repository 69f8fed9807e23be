"""A small text encoder without weights: how often each letter occurs, for tests of heads that read class texts."""

import numpy as np

from workers.sources.protocols import DEFAULT_READING, Encoded

LETTERS = "abcdefghijklmnopqrstuvwxyz"


class LetterTower:
    """An `Encoder` and `TextTower` of 26 numbers a text."""

    layers = ()
    source_classes = ()
    is_any_size = False
    logit_scale = 20.0

    def shape(self, items, *, image_size=0):
        return (len(LETTERS),), 0

    def encode(self, items, *, image_size=0):
        return Encoded(features=self.encode_texts(items))

    def encode_texts(self, texts):
        counts = [[text.lower().count(letter) for letter in LETTERS] for text in texts]
        return np.array(counts, dtype=np.float32)

    def describe(self, *, image_size=0):
        return {"layer": "letters", "preprocessing": "lower case"}


def open_tower(model, *, device, threads=1, reading=DEFAULT_READING):
    return LetterTower()


class SilentTower:
    """An encoder that reads no texts."""

    layers = ()
    source_classes = ()
    is_any_size = False


def open_silent(model, *, device, threads=1, reading=DEFAULT_READING):
    return SilentTower()
