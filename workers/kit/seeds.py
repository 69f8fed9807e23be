"""Seeds: every random draw of an analysis derives from one integer and a name."""

from __future__ import annotations

import hashlib

import numpy as np


def seed_for(seed: int, *names: str | int) -> int:
    """A seed in [0, 2**32) that depends on `seed` and on every name, and on nothing else."""
    text = "\x1f".join([str(seed), *(str(name) for name in names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def generator_for(seed: int, *names: str | int) -> np.random.Generator:
    """A numpy Generator seeded by `seed_for`."""
    return np.random.default_rng(seed_for(seed, *names))
