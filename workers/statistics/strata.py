"""Shares of one group and of a population seen in strata, some counted whole, some sampled. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share between 0 and 1 with its interval and, in words, how the interval was made.

    value  None, with the interval [0, 1], where nothing was seen
    size   how many things the share speaks of: the population, not the sample
    """

    value: float | None
    low: float
    high: float
    size: float
    convention: str


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """A part of a population: `hits` of the `seen` things that were looked at, out of `size` that there are.

    `size` equal to `seen` is a stratum counted whole; it adds no error.
    """

    hits: int
    seen: int
    size: float

    def __post_init__(self) -> None:
        if not 0 <= self.hits <= self.seen <= self.size or not math.isfinite(self.size):
            raise ValueError(f"{self.hits} hits, {self.seen} seen, {self.size} in all: these must not fall")
        if self.size > 0 and self.seen == 0:
            raise ValueError("a stratum of which nothing was seen has no share")


def wilson_limits(share: float, count: float, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score limits (JASA 1927) of a share seen in `count` trials, which need not be whole."""
    if math.isinf(count):
        return share, share
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def wilson_share(hits: int, count: int, *, confidence: float = 0.95) -> Share:
    """Share of `hits` in `count` with Wilson's score interval; a dash (value None) where nothing was counted."""
    if not 0 <= hits <= count:
        raise ValueError(f"{hits} hits of {count}")
    if count == 0:
        return Share(value=None, low=0.0, high=1.0, size=0, convention="nothing was counted")
    low, high = wilson_limits(hits / count, count, confidence=confidence)
    words = f"{confidence:.0%} interval: Wilson's score, {count:,} counted"
    return Share(value=hits / count, low=low, high=high, size=count, convention=words)


def strata_share(strata: Sequence[Stratum], *, confidence: float = 0.95) -> Share:
    """Share over a whole population from its strata: Σ N_h p_h / N, strata that do not overlap and leave nothing out.

    Each sampled stratum has Wilson's limits at the effective size n (N − 1) / (N − n), which is the correction for a
    finite population (Cochran, Sampling Techniques 1977, equation 3.8); they are combined as the square recovery of
    variances: low = p − √ Σ W_h² (p_h − l_h)², high likewise (Zou and Donner, Statistics in Medicine 2008, MOVER).
    Unlike the normal interval this keeps a width where a stratum holds no hit at all.
    """
    size = sum(stratum.size for stratum in strata)
    if size <= 0:
        return Share(value=None, low=0.0, high=1.0, size=0, convention="nothing was counted")
    value = below = above = 0.0
    whole = sampled = 0
    for stratum in strata:
        if stratum.size == 0:
            continue
        share, weight = stratum.hits / stratum.seen, stratum.size / size
        value += weight * share
        if stratum.seen == stratum.size:
            whole += 1
            continue
        sampled += 1
        effective = stratum.seen * (stratum.size - 1) / (stratum.size - stratum.seen)
        low, high = wilson_limits(share, effective, confidence=confidence)
        below += (weight * (share - low)) ** 2
        above += (weight * (high - share)) ** 2
    words = f"{confidence:.0%} interval: {_strata_words(whole, 'counted whole')}, {_strata_words(sampled, 'sampled')}"
    return Share(
        value=value,
        low=max(0.0, value - math.sqrt(below)),
        high=min(1.0, value + math.sqrt(above)),
        size=size,
        convention=f"{words}; Wilson's score with finite population correction, combined by variance recovery",
    )


def _strata_words(count: int, how: str) -> str:
    return f"{count} {'stratum' if count == 1 else 'strata'} {how}"


def stratified_share(
    certain: tuple[int, int], sampled: tuple[int, int], weight: float, *, confidence: float = 0.95
) -> Share:
    """Share from a part counted whole and a simple random sample of the rest, each (hits, seen).

    weight: how many things of the rest each sampled one stands for (N / n, at least 1). See `strata_share`.
    """
    if not weight >= 1:
        raise ValueError(f"a sampled thing stands for itself at least, not for {weight}")
    strata = [Stratum(hits=certain[0], seen=certain[1], size=certain[1])]
    if sampled[1]:
        strata.append(Stratum(hits=sampled[0], seen=sampled[1], size=sampled[1] * weight))
    return strata_share(strata, confidence=confidence)
