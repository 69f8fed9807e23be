"""How sure a drift is: a bootstrap interval and a null, both of which draw whole models.

Filters of one layer are not independent, nor are layers of one model, so the unit that is drawn is the model; where a
group has one model only, its layers (or what blocks of layers the caller has) stand in, and no null exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from workers.kit import generator_for
from workers.statistics.drift import CoefficientSums, drift, drift_matrix

Floats = npt.NDArray[np.float64]

DRAWS = 1000
LEVEL = 0.95
FEW = 5  # models; of fewer an interval is rough
_BLOCK = 50  # draws worked on at a time


@dataclass(frozen=True, eq=False, kw_only=True)
class DriftSample:
    """A group as the units that are drawn.

    name    of the group
    models  what each unit belongs to, ascending; one that is in two groups is drawn for both, or swapped between them
    units   its sums, one row for each of `models`; of a group with one model, one row for each of its `pieces`
    pieces  what a single model was taken apart into, in words
    """

    name: str
    models: tuple[int, ...]
    units: CoefficientSums
    pieces: str = "layers, by tenths of depth,"

    def __post_init__(self) -> None:
        if not self.models or len(self.models) not in (1, len(self.units)) or list(self.models) != sorted(self.models):
            raise ValueError(f"{self.name}: one row of sums for each model is needed, models ascending")

    @property
    def unit(self) -> Literal["model", "layer"]:
        """What is drawn."""
        return "model" if len(self.models) > 1 else "layer"

    @property
    def whole(self) -> CoefficientSums:
        """The group's own sums."""
        return self.units.combined(np.ones(len(self.units)))


@dataclass(frozen=True, kw_only=True)
class DriftEstimate:
    """The drift between two groups with what is known of its uncertainty.

    low, high  95% bootstrap interval, reflected at the value and widened to hold it; None where a group has one unit
    null       95% quantile of the drift that chance alone gives; None where no null exists
    p_value    share of the arrangements by chance whose drift is at least as large
    words      how the interval and the null were made, and what is missing
    """

    value: float
    low: float | None
    high: float | None
    null: float | None
    p_value: float | None
    words: str


def drift_interval(a: DriftSample, b: DriftSample, *, draws: int = DRAWS, seed: int = 0) -> tuple[float, float] | None:
    """The 95% interval of the drift between two groups; None where one of them has a single unit."""
    if min(len(a.units), len(b.units)) < 2:
        return None
    return reflected_interval(bootstrap_drifts([a, b], draws=draws, seed=seed)[:, 0, 1], float(drift(a.whole, b.whole)))


def bootstrap_drifts(samples: Sequence[DriftSample], *, draws: int = DRAWS, seed: int = 0) -> Floats:
    """Drift matrices (draws, G, G) of groups whose units are drawn with replacement.

    Groups of the same models get the same draws, so that what models have in common cancels.
    """
    multiplicities = [_multiplicities(sample, draws=draws, seed=seed) for sample in samples]
    first = samples[0].units
    out = np.empty((draws, len(samples), len(samples)))
    for start in range(0, draws, _BLOCK):
        rows = [
            sample.units.combined(counts[start : start + _BLOCK]).values
            for sample, counts in zip(samples, multiplicities, strict=True)
        ]
        drawn = CoefficientSums(values=np.stack(rows, axis=1), axes=first.axes, width=first.width)
        out[start : start + _BLOCK] = drift_matrix(drawn)
    return out


def null_drifts(a: DriftSample, b: DriftSample, *, draws: int = DRAWS, seed: int = 0) -> Floats | None:
    """Drifts (draws,) between groups that differ by chance alone: models are dealt anew to both, at their sizes.

    A model of both groups stays in both, and its two parts change places by the toss of a coin. None where a group
    has one model: then no null exists. Differences of the sums have to be exact: counts, or multiples of `on_grid`.
    """
    if "layer" in (a.unit, b.unit):
        return None
    if len(a.models) > len(b.models):
        a, b = b, a
    shared = sorted(set(a.models) & set(b.models))
    only_a, both_a = _places(a, shared)
    only_b, both_b = _places(b, shared)
    dealt = np.concatenate([a.units.values[only_a], b.units.values[only_b]])
    swapped = a.units.values[both_a] - b.units.values[both_b]
    kept = b.units.values[both_b].sum(axis=0)
    whole = a.units.values.sum(axis=0) + b.units.values.sum(axis=0)
    generator = generator_for(seed, "drift null", *a.models, "and", *b.models)
    out = np.empty(draws)
    for start in range(0, draws, _BLOCK):
        count = min(_BLOCK, draws - start)
        chosen = generator.random((count, len(dealt))).argsort(axis=1)[:, : len(only_a)]
        coins = generator.integers(0, 2, (count, len(shared))).astype(np.float64)
        left = kept + coins @ swapped + _sums_of(dealt, chosen)
        sides = [CoefficientSums(values=one, axes=a.units.axes, width=a.units.width) for one in (left, whole - left)]
        out[start : start + count] = drift(*sides)
    return out


def _places(sample: DriftSample, shared: Sequence[int]) -> tuple[list[int], list[int]]:
    """Places of the models that are in this group only, and of the shared ones."""
    place = {model: position for position, model in enumerate(sample.models)}
    both = [place[model] for model in shared]
    taken = set(both)
    return [position for position in range(len(place)) if position not in taken], both


def _sums_of(rows: Floats, chosen: npt.NDArray[np.intp]) -> Floats:
    """Sums of the chosen rows: (D, C) places give (D, F)."""
    draws, size = chosen.shape
    places = (np.repeat(np.arange(draws), size), chosen.ravel())
    member = csr_array((np.ones(draws * size), places), shape=(draws, len(rows)))
    # A dense product costs a twentieth a number, but takes the rows that are not chosen too.
    return np.asarray(member @ rows if 20 * size < len(rows) else member.toarray() @ rows)


def drift_estimates(
    samples: Sequence[DriftSample], *, draws: int = DRAWS, seed: int = 0
) -> dict[tuple[int, int], DriftEstimate]:
    """The drift of every two groups (i < j) with interval and null."""
    if len(samples) < 2:
        return {}
    bootstrap = bootstrap_drifts(samples, draws=draws, seed=seed)
    wholes = [sample.whole for sample in samples]
    found = {}
    for i, j in combinations(range(len(samples)), 2):
        a, b = samples[i], samples[j]
        value = float(drift(wholes[i], wholes[j]))
        has_interval = min(len(a.units), len(b.units)) > 1
        low, high = reflected_interval(bootstrap[:, i, j], value) if has_interval else (None, None)
        chance = null_drifts(a, b, draws=draws, seed=seed)
        found[i, j] = DriftEstimate(
            value=value,
            low=low,
            high=high,
            null=None if chance is None else float(np.quantile(chance, LEVEL)),
            p_value=None if chance is None else float((1 + np.sum(chance >= value * (1 - 1e-9))) / (1 + draws)),
            words=estimate_words(a, b, draws=draws),
        )
    return found


def estimate_words(a: DriftSample, b: DriftSample, *, draws: int = DRAWS) -> str:
    """How interval and null of a pair were made, and what is missing, in sentences."""
    single = [sample.name for sample in (a, b) if sample.unit == "layer"]
    if not single:
        text = (
            f"Interval: {draws:,} bootstrap draws of models; null: models dealt anew to both groups, {draws:,} times."
        )
        if min(len(a.models), len(b.models)) < FEW:
            text += f" With fewer than {FEW} models in a group both are rough."
        return text
    who = " and ".join(single)
    verb = "has" if len(single) == 1 else "have"
    if min(len(a.units), len(b.units)) < 2:
        return f"{who} {verb} one model that cannot be taken apart: no interval and no null exist."
    pieces = " and ".join(dict.fromkeys(sample.pieces for sample in (a, b) if sample.unit == "layer"))
    return f"{who} {verb} one model, so its {pieces} were drawn for the interval ({draws:,} draws), and no null exists."


def _multiplicities(sample: DriftSample, *, draws: int, seed: int) -> Floats:
    size = len(sample.units)
    generator = generator_for(seed, "drift bootstrap", sample.unit, *sample.models)
    return generator.multinomial(size, [1 / size] * size, size=draws).astype(np.float64)


def reflected_interval(drawn: Floats, value: float) -> tuple[float, float]:
    """The 95% interval of a drift from its bootstrap draws: reflected at the value, not below 0, holding the value."""
    # Reflected, not percentile: few models make a divergence too large, and drawing from few makes it larger again. The
    # percentile interval then lies above the truth (0 to 65% of simulated ones held it), the reflected one does not.
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(np.clip(2 * value - high, 0.0, value)), float(max(2 * value - low, value))
