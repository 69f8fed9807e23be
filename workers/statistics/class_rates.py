"""Recall, precision and F1 of every class, with intervals of both sources, and their paired differences.

Classes are rows of sparse indicators, so nothing of the size rows × classes × draws is ever made; bootstrap draws come
chunk by chunk. A label of a multi-label data set is a class here as well: the one of its sub-task that is "given".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse, stats

from workers.statistics.bootstrap import bootstrap_weights
from workers.statistics.paired import ROUNDING, SIGNIFICANCE, holm

Array = NDArray[np.float64]
Weights = NDArray[np.floating]

RATES = ("recall", "precision", "f1")
RATE_WORDS = {
    "recall": "share of the class's test rows that are named so",
    "precision": "share of the rows named so that are of the class; without one it has no value",
    "f1": "2 right / (rows of the class + rows named so)",
}
CHUNK = 8_000_000  # numbers held for a chunk of draws


@dataclass(frozen=True, kw_only=True, eq=False)
class Named:
    """Which rows a class has (truth) and which are named so (one for each replicate), as indicators (C, N)."""

    truth: sparse.csr_array
    named: tuple[sparse.csr_array, ...]

    @property
    def support(self) -> NDArray[np.int64]:
        """Test rows of each class: (C,)."""
        return np.asarray(self.truth.sum(axis=1), dtype=np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Rate:
    """One rate of every class; each array is (C,), NaN where it is not defined.

    value                     mean over the replicates in which it is defined
    low, high                 95% interval of both sources; NaN where nothing says how wide it is
    draw_error, test_error    standard errors of the two sources; draw_error NaN with fewer than two replicates
    degrees_of_freedom        of the t quantile
    replicates                in how many it is defined
    lacking                   in how many draws it is not, left out
    is_exact                  no spread was seen: Clopper and Pearson's interval
    """

    value: Array
    low: Array
    high: Array
    draw_error: Array
    test_error: Array
    degrees_of_freedom: Array
    replicates: NDArray[np.int64]
    lacking: NDArray[np.int64]
    is_exact: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassRates:
    """The rates of all classes.

    support  test rows of each; named: rows named so, mean over the replicates
    rates    by the names of RATES
    kind     how the intervals were made, in words
    """

    support: NDArray[np.int64]
    named: Array
    rates: dict[str, Rate]
    kind: str


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassDifferences:
    """A less B in one rate, class by class; each array is (C,), NaN where one of both has no value.

    p_value  two-sided, Holm-corrected over the classes that have both
    """

    rate: str
    difference: Array
    low: Array
    high: Array
    p_value: Array
    kind: str

    def verdict(self, place: int) -> str:
        """What is to be said of A in a class: "higher", "lower", "not separable"; "" where there is nothing."""
        if not np.isfinite(self.p_value[place]):
            return ""
        if self.p_value[place] >= SIGNIFICANCE:
            return "not separable"
        return "higher" if self.difference[place] > 0 else "lower"


def _indicators(of: NDArray[np.integer], classes: int) -> sparse.csr_array:
    ones = np.ones(len(of), dtype=np.float32)
    return sparse.csr_array((ones, (of, np.arange(len(of)))), shape=(classes, len(of)))


def named_classes(logits: ArrayLike, labels: ArrayLike) -> Named:
    """Of one label a row: logits (R, N, C), labels (N,) in 0..C−1; a row is named by its highest logit, the first of
    equals.
    """
    z, y = np.asarray(logits), np.asarray(labels, dtype=np.int64)
    if z.ndim != 3 or z.shape[1] != y.size:
        raise ValueError(f"logits must be (R, N, C) on the rows of the labels: {z.shape}, {y.size} labels")
    classes = z.shape[2]
    return Named(
        truth=_indicators(y, classes),
        named=tuple(_indicators(one, classes) for one in z.argmax(axis=2)),
    )


def named_labels(logits: Sequence[ArrayLike], labels: Sequence[ArrayLike]) -> Named:
    """Of several labels a row: for each the logits (R, N, 2) and labels (N,) of its sub-task, 1 where it is given."""
    given = [np.asarray(one).argmax(axis=2) for one in logits]
    truth = np.stack([np.asarray(one, dtype=np.float32) for one in labels])
    return Named(
        truth=sparse.csr_array(truth),
        named=tuple(
            sparse.csr_array(np.stack([one[replicate] for one in given]).astype(np.float32))
            for replicate in range(len(given[0]))
        ),
    )


def named_pairs(logits: ArrayLike, labels: ArrayLike, pairs: Sequence[tuple[int, int]]) -> Named:
    """Each pair (class, named as) in a class's place: its "recall" is the share of the class's rows named as other."""
    found = named_classes(logits, labels)
    of, other = [one for one, _ in pairs], [two for _, two in pairs]
    return Named(truth=found.truth[of], named=tuple(one[other] for one in found.named))


def _counted(found: Named, weights: Weights) -> Iterator[dict[str, Array]]:
    """Each replicate's rates under weights (N, B): name -> (C, B), NaN where not defined."""
    rows = np.asarray(found.truth @ weights, dtype=np.float64)
    for named in found.named:
        right = np.asarray(found.truth.multiply(named) @ weights, dtype=np.float64)
        told = np.asarray(named @ weights, dtype=np.float64)
        yield {
            name: np.divide(above, below, out=np.full_like(right, np.nan), where=below > 0)
            for name, above, below in (
                ("recall", right, rows),
                ("precision", right, told),
                ("f1", 2 * right, rows + told),
            )
        }


def _means(found: Named, weights: Weights, names: Sequence[str]) -> dict[str, Array]:
    """Rates by draw, mean over the replicates in which each is defined: name -> (C, B)."""
    shape = (found.truth.shape[0], weights.shape[1])
    total = {name: np.zeros(shape) for name in names}
    count = {name: np.zeros(shape) for name in names}
    for replicate in _counted(found, weights):
        for name in names:
            is_defined = np.isfinite(replicate[name])
            total[name] += np.where(is_defined, replicate[name], 0.0)
            count[name] += is_defined
    return {
        name: np.divide(total[name], count[name], out=np.full(shape, np.nan), where=count[name] > 0) for name in names
    }


def _points(found: Named) -> dict[str, Array]:
    """Rates by replicate on all rows: name -> (R, C)."""
    ones = np.ones((found.truth.shape[1], 1), dtype=np.float32)
    tables = [{name: values[:, 0] for name, values in one.items()} for one in _counted(found, ones)]
    return {name: np.stack([table[name] for table in tables]) for name in RATES}


class _Spread:
    """Variance over draws of what comes chunk by chunk, NaN left out; `about` (C,) keeps the sums short."""

    def __init__(self, about: Array) -> None:
        self.about = np.where(np.isfinite(about), about, 0.0)
        self.sum = np.zeros(len(about))
        self.squares = np.zeros(len(about))
        self.count = np.zeros(len(about), dtype=np.int64)

    def add(self, draws: Array) -> None:
        apart = draws - self.about[:, None]
        is_defined = np.isfinite(apart)
        apart = np.where(is_defined, apart, 0.0)
        self.sum += apart.sum(axis=1)
        self.squares += np.einsum("ij,ij->i", apart, apart)
        self.count += is_defined.sum(axis=1)

    @property
    def variance(self) -> Array:
        """Sample variance (ddof 1); NaN with fewer than two draws, 0 below rounding."""
        few = self.count < 2
        n = np.where(few, 2, self.count)
        found = (self.squares - self.sum**2 / n) / (n - 1)
        return np.where(few, np.nan, np.where(found < 1e-15, 0.0, found))


def _chunks(rows: int, classes: int, *, draws: int, seed: int, groups: ArrayLike | None) -> Iterator[Weights]:
    width = max(1, CHUNK // max(rows, 4 * classes, 1))
    for start in range(0, draws, width):
        count = min(width, draws - start)
        yield bootstrap_weights(rows, draws=count, seed=seed + start, groups=groups, dtype=np.float32)


def _units(indicator: sparse.csr_array, groups: ArrayLike | None) -> Array:
    """Of each class: how many rows, or groups with such a row, are drawn: (C,)."""
    if groups is None:
        return np.asarray(indicator.sum(axis=1), dtype=np.float64)
    unique, member = np.unique(np.asarray(groups), return_inverse=True)
    table = sparse.csr_array(
        (np.ones(len(member), dtype=np.float32), (np.arange(len(member)), member)), shape=(len(member), len(unique))
    )
    return np.asarray(((indicator @ table).toarray() > 0).sum(axis=1), dtype=np.float64)


def _combined(
    values: Array, test_variance: Array, units: Array, *, confidence: float = 0.95
) -> tuple[Array, Array, Array, Array, Array]:
    """`combined_interval` of every class at once: (mean, half width, draw error, test error, degrees of freedom).

    values (R, C) by replicate, NaN where not defined; test_variance (C,); units (C,) rows or groups drawn.
    """
    is_defined = np.isfinite(values)
    count = is_defined.sum(axis=0)
    total = np.where(is_defined, values, 0.0).sum(axis=0)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    apart = np.where(is_defined, values - mean, 0.0)
    draw = np.where(count > 1, (apart**2).sum(axis=0) / np.maximum(count - 1, 1) / np.maximum(count, 1), np.nan)
    draw = np.where(draw < 1e-30, 0.0, draw)
    test = np.where(count > 0, test_variance, np.nan)
    known = np.nan_to_num(draw)
    below = known**2 / np.maximum(count - 1, 1) + test**2 / np.maximum(units - 1, 1)
    df = np.divide((known + test) ** 2, below, out=np.full_like(below, np.inf), where=below > 0)
    half = stats.t.ppf(0.5 + confidence / 2, df) * np.sqrt(known + test)
    return mean, half, np.sqrt(draw), np.sqrt(test), df


def class_rates(
    found: Named, *, draws: int = 1000, seed: int = 0, groups: ArrayLike | None = None, confidence: float = 0.95
) -> ClassRates:
    """Recall, precision and F1 of every class with their intervals.

    groups  (N,) patients, speakers, documents: resampled whole

    Variance = s² / R + Var_test: s² the sample variance (ddof 1) of the replicates' rates, Var_test the bootstrap
    variance (ddof 1) of their mean, over the draws in which the class has it; t with Satterthwaite's degrees of
    freedom, R − 1 and (rows or groups of the class, for precision those named so) − 1. Limits are Wilson's at the
    effective number of rows v (1 − v) / variance (Dean and Pagano, J. of Survey Statistics and Methodology 2015):
    v ± t · error falls short near 0 and 1 with the few rows that a class has. Where no spread at all was seen and rows
    are drawn one by one the interval is Clopper and Pearson's (Biometrika 1934) for these rows; F1 = 2J / (1 + J) of
    the share J of right rows among those of the class or named so.
    """
    points = _points(found)
    classes, rows = found.truth.shape
    replicates = len(found.named)
    spreads = {name: _Spread(_mean_defined(points[name])) for name in RATES}
    for weights in _chunks(rows, classes, draws=draws, seed=seed, groups=groups):
        for name, values in _means(found, weights, RATES).items():
            spreads[name].add(values)
    support = found.support
    named = np.mean([np.asarray(one.sum(axis=1), dtype=np.float64) for one in found.named], axis=0)
    units = _units(found.truth, groups)
    told = np.mean([_units(one, groups) for one in found.named], axis=0)
    union = support + named - np.nan_to_num(points["recall"].mean(axis=0)) * support
    trials = {"recall": support.astype(np.float64), "precision": named, "f1": union}
    rates = {
        name: _rate(
            points[name],
            spreads[name],
            draws=draws,
            units=told if name == "precision" else units,
            trials=trials[name] if groups is None else None,
            is_f1=name == "f1",
            confidence=confidence,
        )
        for name in RATES
    }
    source = "the test rows" if groups is None else "whole groups of test rows"
    drawn = f"draw of labels ({replicates} replicates, ddof 1) and test rows" if replicates > 1 else "test rows only"
    kind = (
        f"{confidence:.0%} interval: {drawn}, Wilson's limits at the effective number of rows, t with Satterthwaite's "
        f"degrees of freedom, {draws:,} bootstrap draws of {source}; exact binomial (Clopper and Pearson) where "
        "nothing varied"
    )
    return ClassRates(support=support, named=named, rates=rates, kind=kind)


def _mean_defined(values: Array) -> Array:
    is_defined = np.isfinite(values)
    count = is_defined.sum(axis=0)
    total = np.where(is_defined, values, 0.0).sum(axis=0)
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))


def _rate(
    values: Array, spread: _Spread, *, draws: int, units: Array, trials: Array | None, is_f1: bool, confidence: float
) -> Rate:
    mean, half, draw, test, df = _combined(values, spread.variance, units, confidence=confidence)
    low, high = _score_limits(mean, half, stats.t.ppf(0.5 + confidence / 2, df))
    is_still = np.isfinite(mean) & (half == 0)
    is_exact = np.zeros(len(mean), dtype=np.bool_)
    low[is_still] = high[is_still] = np.nan
    if trials is not None:
        is_exact = is_still & (trials > 0)
        share = mean[is_exact] / (2 - mean[is_exact]) if is_f1 else mean[is_exact]
        ends = clopper_pearson(share * trials[is_exact], trials[is_exact], confidence=confidence)
        low[is_exact], high[is_exact] = (2 * end / (1 + end) for end in ends) if is_f1 else ends
    return Rate(
        value=mean,
        low=low,
        high=high,
        draw_error=draw,
        test_error=test,
        degrees_of_freedom=df,
        replicates=np.isfinite(values).sum(axis=0),
        lacking=draws - spread.count,
        is_exact=is_exact,
    )


def _score_limits(mean: Array, half: Array, quantile: Array) -> tuple[Array, Array]:
    """Wilson's limits of shares whose plain interval is mean ± half = mean ± quantile · error."""
    error = np.divide(half, quantile, out=np.full_like(mean, np.nan), where=np.isfinite(quantile) & (half > 0))
    seen = np.clip(mean * (1 - mean), 1e-12, None) / error**2
    squared = quantile**2 / seen
    middle = (mean + squared / 2) / (1 + squared)
    aside = np.sqrt(squared * (mean * (1 - mean) + squared / 4)) / (1 + squared)
    return np.clip(middle - aside, 0, 1), np.clip(middle + aside, 0, 1)


def clopper_pearson(successes: Array, trials: Array, *, confidence: float = 0.95) -> tuple[Array, Array]:
    """Exact binomial limits of many shares at once; counts need not be whole (means over replicates)."""
    tail = (1 - confidence) / 2
    won, all_ = np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    lost = np.maximum(all_ - won, 0.0)
    with np.errstate(invalid="ignore"):
        low = np.where(won < 1e-9, 0.0, stats.beta.ppf(tail, won, lost + 1))
        high = np.where(lost < 1e-9, 1.0, stats.beta.ppf(1 - tail, won + 1, lost))
    return low, high


def class_differences(
    a: Named,
    b: Named,
    *,
    rate: str = "recall",
    draws: int = 1000,
    seed: int = 0,
    groups: ArrayLike | None = None,
    confidence: float = 0.95,
) -> ClassDifferences:
    """A less B in one rate, class by class, on the same test rows and, replicate by replicate, the same labels.

    Intervals as in `class_rates`, of the paired differences; both are weighed by the same draws. Without any spread a
    difference of recall has the exact sign test's p = 2^(1 − n), n the rows of the class that all speak for one side,
    and other rates are not separable. Holm's correction (Scandinavian J. of Statistics 1979) over all classes.
    """
    if a.truth.shape != b.truth.shape or (a.truth != b.truth).nnz or len(a.named) != len(b.named):
        raise ValueError("both have to be read on the same test rows, with as many replicates")
    classes, rows = a.truth.shape
    apart = _points(a)[rate] - _points(b)[rate]
    spread = _Spread(_mean_defined(apart))
    for weights in _chunks(rows, classes, draws=draws, seed=seed, groups=groups):
        spread.add(_means(a, weights, (rate,))[rate] - _means(b, weights, (rate,))[rate])
    apart[np.abs(apart) < ROUNDING] = 0.0
    units = _units(a.truth, groups)
    mean, half, draw, test, df = _combined(apart, spread.variance, units, confidence=confidence)
    mean = np.where(np.abs(mean) < ROUNDING, 0.0, mean)
    error = np.sqrt(np.nan_to_num(draw) ** 2 + test**2)
    ratio = np.divide(np.abs(mean), error, out=np.zeros_like(mean), where=error > 0)
    p = np.where(np.isfinite(mean) & np.isfinite(error), 2 * stats.t.sf(ratio, df), np.nan)
    is_still = np.isfinite(mean) & (error == 0) & (mean != 0)
    p[is_still] = np.minimum(1.0, 2.0 ** (1 - units[is_still])) if rate == "recall" else 1.0
    known = np.flatnonzero(np.isfinite(p))
    p[known] = holm(p[known].tolist())
    low, high = np.clip(mean - half, -1, 1), np.clip(mean + half, -1, 1)
    low[is_still] = high[is_still] = np.nan
    sources = "draw of labels and test rows" if len(a.named) > 1 else "test rows only"
    kind = (
        f"paired, {sources}, t with Satterthwaite's degrees of freedom, {draws:,} draws; Holm over {known.size} classes"
    )
    return ClassDifferences(rate=rate, difference=mean, low=low, high=high, p_value=p, kind=kind)
