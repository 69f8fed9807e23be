"""Windows of series for forecasting: which values are trained on, which are foretold, on which scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.kit import UserError

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
HORIZONS = (96, 192, 336, 720)
TRAIN_SHARE, TEST_FROM = 0.7, 0.8
SHORTEST_CONTEXT = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class Windows:
    """Contexts and what follows them.

    contexts  (W, context) values, standardised
    futures   (W, horizon) values that follow, standardised
    series    (W,) number of the series and channel that a window comes from
    """

    contexts: Array
    futures: Array
    series: Rows

    def __len__(self) -> int:
        return len(self.contexts)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Lengths of a forecasting run: `context` values before, the `horizons` that fit, and those that do not."""

    context: int
    horizons: tuple[int, ...]
    missing: tuple[int, ...]


def plan_for(length: int, *, context: int, horizons: Sequence[int]) -> Plan:
    """What a series of this length allows; 0 and () choose by themselves.

    A horizon fits where the last 20% of the series hold one whole future. By itself: context the smaller of 512 and 40%
    of the series; horizons 96, 192, 336 and 720 where they fit, else a tenth and a fifth of the series. Raises
    UserError where nothing fits.
    """
    test = length - int(length * TEST_FROM)
    asked = tuple(horizons) or tuple(h for h in HORIZONS if h <= test) or tuple(sorted({max(1, length // 10), test}))
    chosen = context or min(512, int(length * 0.4))
    fitting = tuple(h for h in asked if h <= test and chosen + h <= int(length * TRAIN_SHARE))
    if chosen < SHORTEST_CONTEXT or not fitting:
        raise UserError(
            f"The series have {length} values, of which the last {test} are foretold: with {chosen} values before them "
            f"no horizon of {', '.join(str(h) for h in asked)} fits. Ask for a shorter one or give longer series.",
            field="horizons",
        )
    missing = tuple(h for h in (horizons or HORIZONS) if h not in fitting)
    return Plan(context=chosen, horizons=fitting, missing=missing)


def standardised(rows: Array) -> Array:
    """Each row (S, L) minus mean over standard deviation of its own first 70%; constant ones are 0."""
    train = rows[:, : int(rows.shape[1] * TRAIN_SHARE)]
    spread = train.std(axis=1, keepdims=True)
    return np.asarray((rows - train.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0))


def windows_of(rows: Array, *, context: int, horizon: int, start: int, stop: int, stride: int) -> Windows:
    """The windows of rows (S, L) whose futures lie in [start, stop), `stride` apart; contexts may reach before."""
    first = np.arange(max(start, context), stop - horizon + 1, stride)
    before = first[:, None] - context + np.arange(context)
    after = first[:, None] + np.arange(horizon)
    return Windows(
        contexts=rows[:, before].reshape(-1, context),
        futures=rows[:, after].reshape(-1, horizon),
        series=np.repeat(np.arange(len(rows)), len(first)),
    )


def split_windows(rows: Array, *, context: int, horizon: int, share: float) -> tuple[Windows, Windows, Windows]:
    """Training windows (those of the first `share` of the training part), validation and test windows.

    Training: the first share of the training part of every series, but at least one context and one future
    (granite-tsfm's loader takes the first, its preprocessor the last: the first is meant here). Test and validation
    windows do not overlap in their futures.
    """
    length = rows.shape[1]
    train_end, validation_end = int(length * TRAIN_SHARE), int(length * TEST_FROM)
    seen = min(train_end, max(round(train_end * share), context + horizon))
    common = {"context": context, "horizon": horizon}
    return (
        windows_of(rows, start=context, stop=seen, stride=1, **common),
        windows_of(rows, start=train_end, stop=validation_end, stride=horizon, **common),
        windows_of(rows, start=validation_end, stop=length, stride=horizon, **common),
    )
