"""Every measure of likeness of every two of M models over the same rows, with its values on halves and by chance."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from workers.kit import generator_for
from workers.pairs.geometry import Distance, Ranking, dissimilarities, pearson, principal, procrustes_likeness, upper
from workers.pairs.hsic import gram_sums
from workers.pairs.neighbours import mutual_share, nearest_rows, nearest_within
from workers.pairs.rows import Halves, halves_of, sampled
from workers.statistics.intervals import jackknife_interval
from workers.statistics.vectors import unit_rows

Matrix = npt.NDArray[np.floating]
Labels = npt.NDArray[np.int64]
SPARE_DEPTH = 24  # of a neighbour table beyond four times k: a half then holds k of them but for odds of 1 in 10⁹
CHANCE_DRAWS = 3
MEASURES = {
    "cka": (
        "CKA",
        "Linear CKA from the unbiased HSIC: 1 for features equal up to rotation and scale, about 0 for unrelated ones.",
    ),
    "rsa": ("RSA", "Spearman's correlation of the distances between all rows under one model and under the other."),
    "neighbours": (
        "Shared neighbours",
        "Share of a row's nearest rows, by cosine, that both models have in common.",
    ),
    "procrustes": (
        "Procrustes",
        "1 less half the squared Procrustes distance: how well a rotation lays one model's rows on the other's.",
    ),
    "cka_plain": (
        "CKA, not debiased",
        "Linear CKA as first published: grows with the number of features, also for unrelated ones.",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """One measure of one pair.

    first, second  places of the models
    value          None where it is not defined, then `note` says why
    chance         what the measure gives for the same features once the rows of one are shuffled
    halves         values on the halves, behind the interval
    """

    first: int
    second: int
    measure: str
    value: float | None
    chance: float
    low: float | None = None
    high: float | None = None
    interval: str = ""
    halves: tuple[float, ...] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How likeness is measured; see `workers.pairs.entries.PairsSpec`."""

    halves: int = 40
    neighbours: int = 10
    distance: Distance = "correlation"
    rsa_rows: int = 1_000
    components: int = 256
    seed: int = 0


def likeness_of(
    features: Sequence[Matrix],
    labels: Labels,
    settings: Settings,
    *,
    pause: Callable[[int, int, str], None] | None = None,
) -> list[Likeness]:
    """All measures of all pairs of the features (N, D_m), by measure in the order of MEASURES, then by pair.

    labels  (N,) classes, by which halves are stratified; all equal where there are none
    """
    pairs = list(itertools.combinations(range(len(features)), 2))
    halves = halves_of(labels, count=settings.halves, seed=settings.seed)

    def told(done: int, total: int, note: str) -> None:
        if pause is not None:
            pause(done, total, note)

    found = [
        *_cka(features, halves, pairs, told),
        *_neighbours(features, halves, pairs, settings, told),
        *_rsa(features, labels, pairs, settings, told),
        *_procrustes(features, halves, pairs, settings, told),
    ]
    order = list(MEASURES)
    return sorted(found, key=lambda one: (order.index(one.measure), one.first, one.second))


def _made(
    pair: tuple[int, int], measure: str, value: float, halves: Iterable[float], *, chance: float, note: str = ""
) -> Likeness:
    """The measure with its interval: value ± 1.96 × SD (ddof 1) of the halves, within [−1, 1]."""
    first, second = pair
    if not math.isfinite(value):
        why = "Not defined: the features of one of them do not vary."
        return Likeness(first=first, second=second, measure=measure, value=None, chance=chance, note=why)
    kept = [float(one) for one in halves if math.isfinite(one)]
    if len(kept) < 2:
        return Likeness(first=first, second=second, measure=measure, value=value, chance=chance, note=note)
    interval = jackknife_interval(value, kept)
    return Likeness(
        first=first,
        second=second,
        measure=measure,
        value=value,
        chance=chance,
        low=max(-1.0, interval.low),
        high=min(1.0, interval.high),
        interval=interval.kind,
        halves=tuple(kept),
        note=note,
    )


def _cka(
    features: Sequence[Matrix],
    halves: Halves,
    pairs: Sequence[tuple[int, int]],
    told: Callable[[int, int, str], None],
) -> list[Likeness]:
    sums = gram_sums(features, halves, pause=lambda done, total: told(done, total, "CKA"))
    debiased, plain = sums.debiased(), sums.plain()
    # Shuffled rows: E tr(K P L Pᵀ) = tr K tr L / (n − 1) of centred K and L.
    own = np.sqrt(np.einsum("mm->m", sums.products[..., 0] + sums.diagonal[..., 0]))
    found = []
    for one, two in pairs:
        found.append(_made((one, two), "cka", debiased[one, two, 0], debiased[one, two, 1:], chance=0.0))
        below = own[one] * own[two] * (sums.sizes[0] - 1)
        chance = float(sums.traces[one, 0] * sums.traces[two, 0] / below) if below > 0 else math.nan
        found.append(_made((one, two), "cka_plain", plain[one, two, 0], plain[one, two, 1:], chance=chance))
    return found


def _neighbours(
    features: Sequence[Matrix],
    halves: Halves,
    pairs: Sequence[tuple[int, int]],
    settings: Settings,
    told: Callable[[int, int, str], None],
) -> list[Likeness]:
    rows = len(halves)
    k = min(settings.neighbours, rows // 4)
    tables = []
    for place, held in enumerate(features):
        unit = unit_rows(held)
        told(place, len(features), "nearest rows")
        tables.append(nearest_rows(unit, unit, depth=4 * k + SPARE_DEPTH))
    whole = [table[:, :k] for table in tables]
    by_half: Mapping[tuple[int, int], list[float]] = {pair: [] for pair in pairs}
    for number in range(halves.shape[1]):
        told(number, halves.shape[1], "nearest rows of halves")
        parts = [nearest_within(table, halves[:, number], k=k) for table in tables]
        for one, two in pairs:
            by_half[one, two].append(mutual_share(parts[one], parts[two]))
    note = "" if k == settings.neighbours else f"{k} nearest rows, as there are few rows"
    return [
        _made(
            (one, two),
            "neighbours",
            mutual_share(whole[one], whole[two]),
            by_half[one, two],
            chance=k / (rows - 1),
            note=note,
        )
        for one, two in pairs
    ]


def _rsa(
    features: Sequence[Matrix],
    labels: Labels,
    pairs: Sequence[tuple[int, int]],
    settings: Settings,
    told: Callable[[int, int, str], None],
) -> list[Likeness]:
    rows = sampled(labels, settings.rsa_rows, seed=settings.seed)
    halves = halves_of(labels[rows], count=settings.halves, seed=settings.seed)
    rankings = [Ranking(upper(dissimilarities(np.asarray(one)[rows], distance=settings.distance))) for one in features]
    above = np.triu_indices(len(rows), 1)
    by_set: dict[tuple[int, int], list[float]] = {pair: [] for pair in pairs}
    for number in range(halves.shape[1] + 1):
        told(number, halves.shape[1] + 1, "distances between rows")
        members = halves[:, number - 1] if number else None
        part = None if members is None else (members[:, None] & members)[above]
        ranks = [ranking.ranks(part) for ranking in rankings]
        for one, two in pairs:
            by_set[one, two].append(pearson(ranks[one], ranks[two]))
    note = "" if len(rows) == len(labels) else f"{len(rows):,} of {len(labels):,} rows"
    return [_made(pair, "rsa", by_set[pair][0], by_set[pair][1:], chance=0.0, note=note) for pair in pairs]


def _procrustes(
    features: Sequence[Matrix],
    halves: Halves,
    pairs: Sequence[tuple[int, int]],
    settings: Settings,
    told: Callable[[int, int, str], None],
) -> list[Likeness]:
    told(0, len(pairs), "Procrustes")
    reduced = [principal(one, most=settings.components) for one in features]
    order = [generator_for(settings.seed, "shuffled", draw).permutation(len(halves)) for draw in range(CHANCE_DRAWS)]
    found = []
    # Many small singular value decompositions: threads would only wait for one another.
    with threadpool_limits(limits=1):
        for place, (one, two) in enumerate(pairs):
            x, y = reduced[one][0], reduced[two][0]
            by_half = []
            for number in range(halves.shape[1]):
                told(place, len(pairs), "Procrustes")
                members = halves[:, number]
                by_half.append(procrustes_likeness(x[members], y[members]))
            held = min(reduced[one][1], reduced[two][1])
            note = "" if held > 1 - 1e-9 else f"{settings.components} principal components, {held:.1%} of the variance"
            chance = float(np.mean([procrustes_likeness(x, y[shuffled]) for shuffled in order]))
            value = procrustes_likeness(x, y)
            found.append(_made((one, two), "procrustes", value, by_half, chance=chance, note=note))
    return found
