"""What a metric is worth: its agreement with measured accuracies, beside a list that never looks at the data.

The static list orders models by their mean standardised accuracy on the *other* data sets. On the usual benchmarks it
beats nearly every metric, so no agreement is shown without it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from workers.statistics.intervals import Interval
from workers.statistics.ranks import CONVENTIONS, Convention, agreement_interval, rank_agreement, rel_at_1

FEWEST_MODELS = 3
STATIC_WORDS = (
    "static list: mean over the other data sets of the accuracies standardised per data set (z, ddof 0); "
    "it never looks at the data set that is ranked"
)
Matrix = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, kw_only=True, eq=False)
class EvidenceTable:
    """Measured accuracies of some models on some data sets, and scores of metrics for them.

    accuracy  (M, K), higher is better; not a number where nothing was measured
    scores    by metric, (M, K), higher predicts better; not a number where there is none
    """

    name: str
    models: tuple[str, ...]
    data_sets: tuple[str, ...]
    accuracy: Matrix
    scores: Mapping[str, Matrix] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse matrices of another shape."""
        shape = (len(self.models), len(self.data_sets))
        for name, matrix in [("accuracy", self.accuracy), *self.scores.items()]:
            if matrix.shape != shape:
                raise ValueError(f"{self.name}: {name} must be of shape {shape}, not {matrix.shape}")


def static_scores(accuracy: ArrayLike) -> Matrix:
    """The static list's score of every model for every data set, made from the other data sets alone.

    accuracy: (M, K), not a number where nothing was measured. Returns (M, K): in column k the mean over the other
    columns of (accuracy − mean) / SD with ddof 0, both over the models measured there; not a number for a model that
    no other data set knows. A column without spread counts as zeros.
    """
    values = np.asarray(accuracy, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"accuracies must be a matrix of models and data sets: {values.shape}")
    known = np.isfinite(values)
    counts = np.maximum(known.sum(axis=0), 1)
    filled = np.where(known, values, 0.0)
    centred = np.where(known, values - filled.sum(axis=0) / counts, 0.0)
    spread = np.sqrt(np.square(centred).sum(axis=0) / counts)
    z = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)
    others = known.sum(axis=1, keepdims=True) - known
    total = z.sum(axis=1, keepdims=True) - z
    means: Matrix = np.divide(total, others, out=np.full_like(total, np.nan), where=others > 0)
    return means


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a metric orders the models of one data set, and how the static list orders them.

    count       models with a score and a measured accuracy
    tau         weighted τ of the scores with the accuracies, by `convention`; None where one is constant
    interval    of tau, over the draw of the models
    rel_at_1    accuracy of the model that the metric puts first, over the best one's
    shared      models that the static list knows as well; shared_tau and static_tau are of these alone, so that they
                can be compared
    """

    table: str
    data_set: str
    metric: str
    count: int
    tau: float | None
    interval: Interval | None
    rel_at_1: float | None
    shared: int
    shared_tau: float | None
    static_tau: float | None
    static_rel_at_1: float | None
    convention: str


def standings(table: EvidenceTable, metric: str, *, convention: Convention = "weighted") -> tuple[Standing, ...]:
    """The standing of one metric on every data set of a table where three models or more have a score.

    The score is the first argument of τ, the accuracy the second; for "weighted-first" the accuracy is the first, as
    the benchmarks that use it do. Raises KeyError for a metric that the table does not hold.
    """
    baseline = static_scores(table.accuracy)
    return _standings(table, metric, table.scores[metric], baseline, convention)


def static_standings(table: EvidenceTable, *, convention: Convention = "weighted") -> tuple[Standing, ...]:
    """The standing of the static list itself on every data set of a table, without intervals."""
    baseline = static_scores(table.accuracy)
    return _standings(table, "static", baseline, baseline, convention, has_intervals=False)


def _standings(
    table: EvidenceTable,
    metric: str,
    scores: Matrix,
    baseline: Matrix,
    convention: Convention,
    *,
    has_intervals: bool = True,
) -> tuple[Standing, ...]:
    found = []
    for k, data_set in enumerate(table.data_sets):
        truth, score, static = table.accuracy[:, k], scores[:, k], baseline[:, k]
        scored = np.isfinite(truth) & np.isfinite(score)
        if scored.sum() < FEWEST_MODELS:
            continue
        both = scored & np.isfinite(static)
        has_static = bool(both.sum() >= FEWEST_MODELS)
        first, second = _arguments(score[scored], truth[scored], convention)
        found.append(
            Standing(
                table=table.name,
                data_set=data_set,
                metric=metric,
                count=int(scored.sum()),
                tau=rank_agreement(first, second, convention=convention).value,
                interval=agreement_interval(first, second, convention=convention) if has_intervals else None,
                rel_at_1=rel_at_1(score[scored], truth[scored]),
                shared=int(both.sum()),
                shared_tau=_tau(score[both], truth[both], convention) if has_static else None,
                static_tau=_tau(static[both], truth[both], convention) if has_static else None,
                static_rel_at_1=rel_at_1(static[both], truth[both]) if has_static else None,
                convention=CONVENTIONS[convention],
            )
        )
    return tuple(found)


def _arguments(score: Matrix, truth: Matrix, convention: Convention) -> tuple[Matrix, Matrix]:
    return (truth, score) if convention == "weighted-first" else (score, truth)


def _tau(score: Matrix, truth: Matrix, convention: Convention) -> float | None:
    first, second = _arguments(score, truth, convention)
    return rank_agreement(first, second, convention=convention).value


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A mean over data sets; the interval is None for a single one."""

    value: float
    interval: Interval | None
    count: int


def mean_over_data_sets(values: Sequence[float], *, confidence: float = 0.95) -> Mean | None:
    """Mean with its t interval (SD with ddof 1, K − 1 degrees of freedom); None of nothing."""
    found = np.asarray(values, dtype=np.float64)
    if found.size == 0:
        return None
    value = float(found.mean())
    if found.size == 1:
        return Mean(value=value, interval=None, count=1)
    error = float(found.std(ddof=1)) / math.sqrt(found.size)
    reach = float(stats.t.ppf(0.5 + confidence / 2, found.size - 1)) * error
    interval = Interval(
        low=value - reach,
        high=value + reach,
        standard_error=error,
        degrees_of_freedom=found.size - 1,
        kind=f"{confidence:.0%} interval: mean over {found.size} data sets (SD with ddof 1), t with {found.size - 1} "
        "degrees of freedom",
    )
    return Mean(value=value, interval=interval, count=found.size)


Word = Literal["beats", "does not beat", "too little"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a metric beats the static list, in one word and in a sentence.

    difference  mean of metric τ − static τ, paired over data sets
    """

    word: Word
    sentence: str
    difference: Mean | None

    @property
    def is_marked(self) -> bool:
        """Whether the metric has to be marked: evidence is there, and it does not beat the static list."""
        return self.word == "does not beat"


def verdict_of(found: Sequence[Standing]) -> Verdict:
    """Compare a metric with the static list over the data sets of its standings, paired.

    It beats the list only where the whole interval of the mean difference is above zero. A single data set, or none
    with a baseline, is too little to say.
    """
    pairs = [(one.shared_tau, one.static_tau) for one in found]
    gaps = [metric - static for metric, static in pairs if metric is not None and static is not None]
    mean = mean_over_data_sets(gaps)
    if mean is None or mean.interval is None:
        sentence = "Too little evidence: a comparison with the static list needs scores on two data sets or more."
        return Verdict(word="too little", sentence=sentence, difference=mean)
    low, high = mean.interval.low, mean.interval.high
    span = f"{_signed(mean.value)} ({_signed(low)} to {_signed(high)}), paired over {mean.count} data sets"
    if low > 0:
        return Verdict(word="beats", sentence=f"Beats the static list: mean τ {span}.", difference=mean)
    reason = "mean τ" if high < 0 else "the difference is not separable from none; mean τ"
    return Verdict(word="does not beat", sentence=f"Does not beat the static list: {reason} {span}.", difference=mean)


def _signed(value: float) -> str:
    return f"{'−' if value < 0 else '+'}{abs(value):.3f}"
