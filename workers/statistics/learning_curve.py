"""Learning curves: a law of quality over the number of labels, fitted to measured points, with what other draws give.

Three laws, each linear in level and height once its rate c is fixed, so that c is found by search and the rest in
closed form: an inverse power law a − b·k^−c (Hestness et al., 2017, arXiv:1712.00409; Figueroa et al., BMC Medical
Informatics 2012), the same of the log-odds, and an exponential approach a − b·e^(−c·k). numpy and scipy only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from workers.kit import UserError

Array = NDArray[np.float64]

FEWEST_POINTS = 3
RESAMPLES = 1000
GRID = 48
EDGE = 1e-3  # log-odds are taken of values at least so far from 0 and 1
SHARED = 0.7  # share of the test rows' variance that all numbers of labels have in common, where no draws tell
GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
NORMAL = 1.959963984540054
FAMILIES = {
    "power": "inverse power law a − b·k^−c",
    "log-odds": "inverse power law of the log-odds",
    "exponential": "exponential approach a − b·e^(−c·k)",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class CurvePoint:
    """A measured point.

    k               labels a class, 1 or more
    value           mean over the replicates
    replicates      (R,) values behind it; empty where only their mean is known
    draws           (B,) bootstrap draws of the value over the test rows, the same draws at each k and for each model
    standard_error  of the value, draw of labels and test rows together; read where there are no replicates
    test_error      standard error over the test rows; read where there are replicates but no draws
    """

    k: int
    value: float
    replicates: Sequence[float] = ()
    draws: Array | None = None
    standard_error: float = 0.0
    test_error: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Law:
    """One or more fitted curves of one metric, in its own units; arrays (S,), one entry a curve.

    family  index in FAMILIES by curve
    """

    family: NDArray[np.int64]
    level: Array
    height: Array
    rate: Array
    worst: float
    best: float

    def at(self, k: float | Array) -> Array:
        """Values (S, n) at n numbers of labels."""
        numbers = np.atleast_1d(np.asarray(k, dtype=np.float64))
        out = np.empty((len(self.level), len(numbers)))
        for index, name in enumerate(FAMILIES):
            mine = self.family == index
            if mine.any():
                x = _basis(name, numbers, self.rate[mine])
                z = self.level[mine, None] - self.height[mine, None] * x
                out[mine] = _from_scale(name, z)
        return self.worst + (self.best - self.worst) * out

    def reaches(self, target: float) -> Array:
        """Numbers of labels (S,) at which each curve reaches the target; infinite if it never does, at least 1."""
        share = (target - self.worst) / (self.best - self.worst)
        out = np.full(len(self.level), math.inf)
        for index, name in enumerate(FAMILIES):
            mine = self.family == index
            if not mine.any():
                continue
            if name == "log-odds":
                wanted = math.log(share / (1 - share)) if 0 < share < 1 else math.copysign(math.inf, share - 0.5)
            else:
                wanted = share
            left = self.level[mine] - wanted  # of height · basis
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                ratio = left / self.height[mine]
                k = -np.log(ratio) / self.rate[mine]
                k = k if name == "exponential" else np.exp(k)
            k = np.where(self.height[mine] <= 0, np.where(left >= 0, 1.0, math.inf), k)
            out[mine] = np.where(left <= 0, np.where(self.height[mine] <= 0, k, math.inf), np.maximum(k, 1.0))
        return out


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """A fitted learning curve.

    law        one curve: the fit
    resampled  what other draws of labels and other test rows would have given (one curve, the fit, where scores have
               no error); the same seeds for every model, so two models are compared resample by resample
    family     in words, with how it was chosen
    """

    law: Law
    resampled: Law
    smallest_k: int
    largest_k: int
    family: str
    higher_is_better: bool

    def value(self, k: float) -> tuple[float, float, float]:
        """Fitted value at k labels a class, and its 95% interval."""
        return estimate(float(self.law.at(k)[0, 0]), self.resampled.at(k)[:, 0])


def estimate(value: float, resampled: Array) -> tuple[float, float, float]:
    """A value with the 2.5% and 97.5% quantiles of its resamples, which may be infinite; the value lies within."""
    ordered = np.sort(resampled)
    low = ordered[math.floor(0.025 * (len(ordered) - 1))]
    high = ordered[math.ceil(0.975 * (len(ordered) - 1))]
    return value, float(min(low, value)), float(max(high, value))


def fit_curve(
    points: Sequence[CurvePoint],
    *,
    higher_is_better: bool = True,
    bounds: tuple[float, float] = (0.0, 1.0),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Curve:
    """Fit each law by weighted least squares; of laws fitted without the largest k the one nearest all points is kept.

    bounds  range of the metric; a curve ends at its better end at most and never gets worse with more labels

    Weights are one over each point's variance (of few replicates: smoothed over k). Resamples draw replicates, the same
    ones at each k, and test rows; each chooses its law anew, so that the interval holds that choice too. Raises
    UserError for fewer than three different numbers of labels.
    """
    ordered = sorted(points, key=lambda point: point.k)
    ks = np.array([point.k for point in ordered], dtype=np.float64)
    if len(np.unique(ks)) < FEWEST_POINTS or len(np.unique(ks)) < len(ks):
        raise UserError(
            f"A learning curve needs scores at {FEWEST_POINTS} or more different numbers of labels; there are "
            f"{len(np.unique(ks))}. Run the evaluation with more numbers of labels."
        )
    if ks[0] < 1 or not all(math.isfinite(point.value) for point in ordered):
        raise UserError("A learning curve needs finite scores at 1 or more labels a class.")
    worst, best = bounds if higher_is_better else (bounds[1], bounds[0])
    values = np.array([point.value for point in ordered])
    variances = _variances(ordered)
    weights = 1.0 / variances
    noise = _noise(ordered, variances, resamples=resamples, seed=seed)
    scale = best - worst
    shares = (values - worst) / scale
    law, chosen = _fitted(ks, shares[None, :], weights * scale**2, steps=80)
    resampled = law
    if noise.any():
        resampled, _ = _fitted(ks, shares[None, :] + noise / scale, weights * scale**2, steps=18)
    how = f"chosen as, fitted without it, it foretold k = {ks[-1]:.0f} best"
    if len(ks) <= FEWEST_POINTS:
        how = "three points leave no choice of law"
    return Curve(
        law=_in_units(law, worst, best),
        resampled=_in_units(resampled, worst, best),
        smallest_k=int(ks[0]),
        largest_k=int(ks[-1]),
        family=f"{list(FAMILIES.values())[int(chosen[0])]}, {how}",
        higher_is_better=higher_is_better,
    )


def _in_units(law: Law, worst: float, best: float) -> Law:
    return Law(family=law.family, level=law.level, height=law.height, rate=law.rate, worst=worst, best=best)


def _variances(points: Sequence[CurvePoint]) -> Array:
    """(K,) variance of each value, never zero."""
    out = np.array([point.standard_error**2 for point in points])
    counts = np.array([len(point.replicates) for point in points])
    several = np.flatnonzero(counts > 1)
    if len(several):
        spread = np.array([np.var(points[at].replicates, ddof=1) for at in several.tolist()])
        out[several] = _smoothed(spread, counts[several] - 1) / counts[several]
    for at, point in enumerate(points):
        if counts[at]:
            out[at] += _test_variance(point)
    typical = float(np.median(out))
    return np.asarray(np.maximum(out, 1e-2 * typical if typical > 0 else 1e-12))


def _smoothed(spread: Array, degrees: Array) -> Array:
    """Variances of few replicates, half way to their geometric mean over k in the weight of their degrees of freedom.

    Raw variances of five replicates differ by tens of times by chance, and weights would follow them.
    """
    positive = spread[spread > 0]
    if not len(positive):
        return spread
    common = float(np.exp(np.mean(np.log(positive))))
    return np.asarray((degrees * spread + 4.0 * common) / (degrees + 4.0))


def _test_variance(point: CurvePoint) -> float:
    if point.draws is not None:
        finite = point.draws[np.isfinite(point.draws)]
        return float(finite.var(ddof=1)) if finite.size > 1 else 0.0
    return point.test_error**2


def _noise(points: Sequence[CurvePoint], variances: Array, *, resamples: int, seed: int) -> Array:
    """(S, K): what other draws of labels and other test rows add to the values."""
    generator = np.random.default_rng(seed)
    most = max((len(point.replicates) for point in points), default=0)
    picks = generator.random((resamples, max(most, 1)))
    test_rows = generator.integers(0, 2**31, resamples)
    common = generator.standard_normal(resamples)
    own = generator.standard_normal((resamples, len(points)))
    out = np.zeros((resamples, len(points)))
    for at, point in enumerate(points):
        count = len(point.replicates)
        mixed = math.sqrt(SHARED) * common + math.sqrt(1 - SHARED) * own[:, at]
        if count == 0:
            out[:, at] = math.sqrt(variances[at]) * mixed if point.standard_error > 0 else 0.0
            continue
        if count > 1:
            values = np.asarray(point.replicates, dtype=np.float64)
            drawn = values[(picks[:, :count] * count).astype(np.int64)].mean(axis=1) - values.mean()
            # Few replicates: the spread of resampled means is too small, and its tails are those of t.
            out[:, at] = drawn * math.sqrt(count / (count - 1)) * _tails(count - 1)
        if point.draws is not None:
            finite = point.draws[np.isfinite(point.draws)]
            if finite.size > 1:
                out[:, at] += finite[test_rows % finite.size] - finite.mean()
        else:
            out[:, at] += point.test_error * mixed
    return out


def _tails(degrees: int) -> float:
    return float(stats.t.ppf(0.975, degrees)) / NORMAL


def _basis(family: str, ks: Array, rates: Array) -> Array:
    """(S, K): what falls from about 1 to 0 with more labels."""
    if family == "exponential":
        return np.asarray(np.exp(-rates[:, None] * ks[None, :]))
    return np.asarray(np.exp(-rates[:, None] * np.log(ks)[None, :]))


def _from_scale(family: str, z: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-z)) if family == "log-odds" else z


def _fitted(ks: Array, shares: Array, weights: Array, *, steps: int) -> tuple[Law, NDArray[np.int64]]:
    """The best law of each row of shares (S, K), which lie in 0 … 1 with 1 the best."""
    laws = [_family_fit(name, ks, shares, weights, steps=steps) for name in FAMILIES]
    chosen = np.zeros(len(shares), dtype=np.int64)
    if len(ks) > FEWEST_POINTS:
        errors = []
        for name in FAMILIES:
            level, height, rate = _family_fit(name, ks[:-1], shares[:, :-1], weights[:-1], steps=steps)
            found = _from_scale(name, level[:, None] - height[:, None] * _basis(name, ks, rate))
            errors.append((found - shares) ** 2 @ weights / weights.sum())
        chosen = np.argmin(np.round(np.stack(errors), 15), axis=0)  # of equals the power law
    every = np.arange(len(shares))
    level, height, rate = (np.stack([law[part] for law in laws])[chosen, every] for part in range(3))
    return Law(family=chosen, level=level, height=height, rate=rate, worst=0.0, best=1.0), chosen


def _family_fit(name: str, ks: Array, shares: Array, weights: Array, *, steps: int) -> tuple[Array, Array, Array]:
    """Level, height and rate (S,) of one law: a grid over the rate, then golden section between its neighbours."""
    y, w, ceiling = shares, weights, 1.0
    if name == "log-odds":
        inside = np.clip(shares, EDGE, 1 - EDGE)
        y = np.log(inside / (1 - inside))
        middle = np.median(inside, axis=0)
        w = weights * (middle * (1 - middle)) ** 2
        ceiling = math.inf
    lowest, highest = (0.05 / ks[-1], 3.0 / ks[0]) if name == "exponential" else (0.02, 4.0)
    grid = np.linspace(math.log(lowest), math.log(highest), GRID)
    best = np.argmin(_grid_losses(_basis(name, ks, np.exp(grid)), y, w, ceiling), axis=1)

    def loss(log_rate: Array) -> Array:
        x = _basis(name, ks, np.exp(log_rate))
        level, height = _linear(x, y, w, ceiling)
        return np.asarray((y - level[:, None] + height[:, None] * x) ** 2 @ w)

    low, high = grid[np.maximum(best - 1, 0)], grid[np.minimum(best + 1, GRID - 1)]
    rate = np.exp(_golden(loss, low, high, steps=steps))
    level, height = _linear(_basis(name, ks, rate), y, w, ceiling)
    return level, height, rate


def _grid_losses(x: Array, y: Array, w: Array, ceiling: float) -> Array:
    """(S, G): the least loss of each row of y (S, K) under each row of x (G, K), by the sums of `_linear`."""
    total = w.sum()
    x_mean, y_mean = x @ w / total, y @ w / total
    spread = np.maximum(x**2 @ w - total * x_mean**2, 1e-300)
    centred = y - y_mean[:, None]
    around = centred**2 @ w
    height = np.maximum(-(centred * w) @ (x - x_mean[:, None]).T / spread, 0.0)
    losses = around[:, None] - height**2 * spread
    if math.isfinite(ceiling):
        over = y_mean[:, None] + height * x_mean > ceiling
        left = ceiling - y
        squares = np.maximum(x**2 @ w, 1e-300)
        held = np.maximum((left * w) @ x.T / squares, 0.0)
        losses = np.where(over, (left**2 @ w)[:, None] - held**2 * squares, losses)
    return np.asarray(losses)


def _golden(loss: Callable[[Array], Array], low: Array, high: Array, *, steps: int) -> Array:
    """The least of a function of one variable for each entry, between low and high."""
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = loss(left), loss(right)
    for _ in range(steps):
        is_left = at_left < at_right
        high, low = np.where(is_left, right, high), np.where(is_left, low, left)
        new = np.where(is_left, high - GOLDEN * (high - low), low + GOLDEN * (high - low))
        at_new = loss(new)
        left, right = np.where(is_left, new, right), np.where(is_left, left, new)
        at_left, at_right = np.where(is_left, at_new, at_right), np.where(is_left, at_left, at_new)
    return np.asarray((low + high) / 2)


def _linear(x: Array, y: Array, w: Array, ceiling: float) -> tuple[Array, Array]:
    """Level and height (S,) of y ≈ level − height · x by least squares, height ≥ 0, level ≤ ceiling; w (K,)."""
    total = w.sum()
    x_mean, y_mean = x @ w / total, y @ w / total
    dx, dy = x - x_mean[:, None], y - y_mean[:, None]
    spread = np.maximum(dx * dx @ w, 1e-300)
    height = np.maximum(-(dx * dy) @ w / spread, 0.0)
    level = y_mean + height * x_mean
    if math.isfinite(ceiling):
        over = level > ceiling
        held = np.maximum(x * (ceiling - y) @ w / np.maximum(x * x @ w, 1e-300), 0.0)
        height, level = np.where(over, held, height), np.where(over, ceiling, level)
    return level, height
