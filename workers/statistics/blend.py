"""A blend of metrics: ranks or z-scores averaged, with weights chosen on evidence, judged on data sets left out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from workers.statistics.evidence import FEWEST_MODELS, EvidenceTable, Mean, mean_over_data_sets
from workers.statistics.ranks import rank_agreement

Kind = Literal["ranks", "z"]
KINDS: dict[Kind, str] = {
    "ranks": "ranks among the models shown, scaled to [0, 1]",
    "z": "scores standardised over the models shown (z, ddof 0)",
}
FEWEST_DATA_SETS = 3
Vector = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, kw_only=True)
class Blend:
    """A weighted mean of several metrics; the weights are above zero and add up to one."""

    kind: Kind
    weights: Mapping[str, float]

    def values(self, scores: Mapping[str, ArrayLike]) -> Vector:
        """The blend of each model, higher is better; not a number for a model that lacks one of the parts.

        scores: by metric, (M,) with higher better. Ranks and z-scores are over the models that have every part, so a
        value says something about the models shown together only.
        """
        parts = {name: np.asarray(scores[name], dtype=np.float64) for name in self.weights}
        columns = np.stack(list(parts.values()))
        whole = np.isfinite(columns).all(axis=0)
        blended = np.full(columns.shape[1], np.nan)
        if whole.any():
            weights = np.array([self.weights[name] for name in parts])
            blended[whole] = weights @ np.stack([_levelled(column[whole], self.kind) for column in columns])
        return blended

    @property
    def words(self) -> str:
        """What it is made of, in words."""
        shares = ", ".join(f"{weight:.0%} {name}" for name, weight in self.weights.items())
        return f"{shares}; mean of {KINDS[self.kind]}"


def _levelled(values: Vector, kind: Kind) -> Vector:
    if kind == "ranks":
        return np.asarray((stats.rankdata(values) - 1) / max(values.size - 1, 1), dtype=np.float64)
    spread = float(values.std())
    return (values - values.mean()) / spread if spread > 0 else np.zeros_like(values)


@dataclass(frozen=True, kw_only=True)
class ChosenBlend:
    """The blend that evidence chooses, and how well that way of choosing does.

    blend        chosen on all data sets
    left_out     by (table, data set), weighted τ there of the blend that all the other data sets choose
    mean         of `left_out`: what to expect of the blend on new data
    seen         mean weighted τ of `blend` on the very data sets that chose it; too good by construction
    """

    blend: Blend
    left_out: Mapping[tuple[str, str], float]
    mean: Mean
    seen: float


@dataclass(frozen=True, kw_only=True, eq=False)
class _DataSet:
    key: tuple[str, str]
    truth: Vector
    scores: Mapping[str, Vector]


def choose_blend(
    tables: Sequence[EvidenceTable], metrics: Sequence[str], *, steps: int = 4, most_parts: int = 3
) -> ChosenBlend | None:
    """The blend of some of `metrics` with the highest mean weighted τ (scipy's default convention) on the evidence.

    Weights are multiples of 1/`steps`, at most `most_parts` of them above zero; ranks and z-scores are both tried, and
    single metrics too. Each data set is judged by the blend that the others choose. Data sets that lack one of the
    metrics are left out; None where fewer than three are left. Of equals the one with the fewest parts, then ranks,
    then the order of `metrics`, is taken.
    """
    names = tuple(dict.fromkeys(metrics))
    found = list(_data_sets(tables, names))
    if not names or len(found) < FEWEST_DATA_SETS:
        return None
    blends = list(_candidates(names, steps=steps, most_parts=most_parts))
    taus = np.array([[_tau(blend, one) for one in found] for blend in blends])
    total = taus.sum(axis=1)
    left_out = {one.key: float(taus[_first_best(total - taus[:, k]), k]) for k, one in enumerate(found)}
    chosen = _first_best(total)
    mean = mean_over_data_sets(list(left_out.values()))
    if mean is None:
        return None
    return ChosenBlend(blend=blends[chosen], left_out=left_out, mean=mean, seen=float(taus[chosen].mean()))


def _data_sets(tables: Sequence[EvidenceTable], names: Sequence[str]) -> Iterator[_DataSet]:
    for table in tables:
        if not all(name in table.scores for name in names):
            continue
        for k, data_set in enumerate(table.data_sets):
            columns = np.stack([table.accuracy[:, k], *(table.scores[name][:, k] for name in names)])
            whole = np.isfinite(columns).all(axis=0)
            if whole.sum() >= FEWEST_MODELS and np.ptp(columns[0, whole]) > 0:
                scores = {name: columns[i + 1, whole] for i, name in enumerate(names)}
                yield _DataSet(key=(table.name, data_set), truth=columns[0, whole], scores=scores)


def _candidates(names: Sequence[str], *, steps: int, most_parts: int) -> Iterator[Blend]:
    for count in range(1, min(most_parts, len(names), steps) + 1):
        kinds: tuple[Kind, ...] = ("ranks",) if count == 1 else ("ranks", "z")
        for kind, chosen in itertools.product(kinds, itertools.combinations(names, count)):
            for cuts in itertools.combinations(range(1, steps), count - 1):
                parts = np.diff([0, *cuts, steps]) / steps
                yield Blend(kind=kind, weights=dict(zip(chosen, map(float, parts), strict=True)))


def _tau(blend: Blend, one: _DataSet) -> float:
    return rank_agreement(blend.values(one.scores), one.truth, convention="weighted").value or 0.0


def _first_best(totals: Vector) -> int:
    return int(np.flatnonzero(totals >= totals.max() - 1e-12)[0])
