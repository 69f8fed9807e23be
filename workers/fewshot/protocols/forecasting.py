"""Zero- and few-shot forecasting of series: the model's own forecast, ridge on its features, and plain baselines."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from workers.fewshot.protocol_entries import ForecastingSpec
from workers.fewshot.protocols.windows import TRAIN_SHARE, Plan, Windows, plan_for, split_windows, standardised
from workers.kit import Context, Outcome, Score, Table, UserError
from workers.sources.features import opened_dataset, opened_encoder
from workers.sources.protocols import DEFAULT_READING, Encoder
from workers.statistics.bootstrap import bootstrap_weights

Array = NDArray[np.float64]
PENALTIES = tuple(10.0**power for power in range(-4, 7))
MOST_WINDOWS = 1000
PHASES = 4  # of a horizon, in which the model runs
FEWEST_CLUSTERS = 10
KEPT_DRAWS = 100  # of the bootstrap, for the mean over horizons and for pairs of models
BATCH = 64
CONVENTION = {
    "split": "the first 70% of every series to train, 10% to validate, the last 20% to foretell",
    "windows": f"at most {MOST_WINDOWS:,} to train, to validate and to foretell, evenly spaced over all",
    "scale": "each series and channel minus mean over standard deviation of its own first 70%",
    "errors": "MSE and MAE on that scale, mean over the values of a future, then over windows",
    "few_shot": "windows of the first 5% of the training part (or what `share` says), at least one context and future",
    "mean": "plain mean over the horizons that every method has; horizons that do not fit are listed",
    "missing_values": "series with missing values are left out",
}


@runtime_checkable
class Forecaster(Protocol):
    """An encoder that foretells by itself."""

    def forecast(self, contexts: NDArray[np.float32], *, horizon: int) -> NDArray[np.float32]:
        """The next `horizon` values (n, horizon) of single-channel contexts (n, context)."""


def ridge(x: Array, y: Array, x_validation: Array, y_validation: Array) -> tuple[Array, float]:
    """Coefficients (D + 1, H) of the ridge regression, the last row the intercept, and its penalty.

    The penalty is the one of `PENALTIES` with the least squared error on the validation windows; where there are none,
    with the least leave-one-out error (PRESS, closed form). One singular value decomposition.
    """
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    u, s, vt = np.linalg.svd(x - mean_x, full_matrices=False)
    inner = u.T @ (y - mean_y)
    if len(x_validation):
        held, target = (x_validation - mean_x) @ vt.T, y_validation - mean_y
        errors = [float(((held @ ((s / (s * s + p))[:, None] * inner) - target) ** 2).mean()) for p in PENALTIES]
    else:
        errors = [float((_left_out(u, s, inner, y - mean_y, p) ** 2).mean()) for p in PENALTIES]
    penalty = PENALTIES[int(np.argmin(errors))]
    weights = vt.T @ ((s / (s * s + penalty))[:, None] * inner)
    return np.vstack([weights, mean_y - mean_x @ weights]), penalty


def _left_out(u: Array, s: Array, inner: Array, y: Array, penalty: float) -> Array:
    """What is left of each row (n, H) of centred targets under the fit without it (Allen, Technometrics 1974)."""
    shrunk = s * s / (s * s + penalty)
    room = 1.0 - 1.0 / len(y) - (u * u) @ shrunk
    return np.asarray((y - u @ (shrunk[:, None] * inner)) / np.maximum(room, 1e-9)[:, None])


def _predicted(x: Array, coefficients: Array) -> Array:
    return np.asarray(x @ coefficients[:-1] + coefficients[-1])


def season_of(train: Array, longest: int) -> int:
    """The lag of 2 … `longest` with the largest mean autocorrelation over the rows (S, L); 1 where none is positive."""
    centred = train - train.mean(axis=1, keepdims=True)
    power = (centred**2).sum(axis=1)
    if longest < 2 or not power.any():
        return 1
    size = 2 * train.shape[1]
    spectrum = np.fft.rfft(centred, n=size, axis=1)
    lags = np.fft.irfft(np.abs(spectrum) ** 2, n=size, axis=1)[:, : longest + 1]
    mean = (lags[power > 0] / power[power > 0, None]).mean(axis=0)
    # A smooth series is like itself at every short lag; a season is a peak.
    peaks = [lag for lag in range(2, longest) if mean[lag] >= mean[lag - 1] and mean[lag] >= mean[lag + 1]]
    best = max(peaks, key=lambda lag: mean[lag], default=1)
    return best if mean[best] > 0 else 1


def baselines(windows: Windows, *, season: int) -> dict[str, Array]:
    """Forecasts that learn nothing: the last value, the last season repeated, the mean of the context; (W, H) each."""
    horizon = windows.futures.shape[1]
    contexts = windows.contexts
    last = contexts[:, -min(season, contexts.shape[1]) :]
    repeats = -(-horizon // last.shape[1])
    return {
        "last_value": np.repeat(contexts[:, -1:], horizon, axis=1),
        "seasonal": np.tile(last, (1, repeats))[:, :horizon],
        "context_mean": np.repeat(contexts.mean(axis=1, keepdims=True), horizon, axis=1),
    }


def _level(contexts: Array) -> tuple[Array, Array]:
    """Mean and spread of each context, by which ridge sees and foretells it (reversible instance normalisation)."""
    spread = contexts.std(axis=1, keepdims=True)
    return contexts.mean(axis=1, keepdims=True), np.where(spread > 1e-8, spread, 1.0)


def _ridge_forecast(parts: tuple[Windows, Windows, Windows], inputs: Sequence[Array]) -> Array:
    levels = [_level(part.contexts) for part in parts]
    futures = [(part.futures - mean) / spread for part, (mean, spread) in zip(parts, levels, strict=True)]
    coefficients, _ = ridge(inputs[0], futures[0], inputs[1], futures[1])
    mean, spread = levels[2]
    return _predicted(inputs[2], coefficients) * spread + mean


def _thinned(windows: Windows, most: int) -> Windows:
    """At most that many windows, evenly spaced."""
    if len(windows) <= most:
        return windows
    chosen = np.linspace(0, len(windows) - 1, most).round().astype(int)
    return Windows(contexts=windows.contexts[chosen], futures=windows.futures[chosen], series=windows.series[chosen])


def _encoded(encoder: Encoder, contexts: Array, pause: Callable[[], None]) -> Array:
    parts = []
    for start in range(0, len(contexts), BATCH):
        items = contexts[start : start + BATCH, None, :].astype(np.float32)
        parts.append(encoder.encode(items).features)
        pause()
    return np.concatenate(parts).astype(np.float64) if parts else np.empty((0, 1))


def _forecast(encoder: Forecaster, contexts: Array, horizon: int, pause: Callable[[], None]) -> Array:
    parts = []
    for start in range(0, len(contexts), BATCH):
        parts.append(encoder.forecast(contexts[start : start + BATCH].astype(np.float32), horizon=horizon))
        pause()
    return np.concatenate(parts).astype(np.float64)


def forecasts_at(
    rows: Array, encoder: Encoder, plan: Plan, horizon: int, share: float, pause: Callable[[int], None]
) -> tuple[dict[str, Array], Windows]:
    """Every method's forecasts of the test windows, (W, horizon) by name, and the windows.

    pause  called with the number of the phase, 0 to `PHASES` − 1, after each batch
    """
    train, validation, test = split_windows(rows, context=plan.context, horizon=horizon, share=share)
    parts = (_thinned(train, MOST_WINDOWS), _thinned(validation, MOST_WINDOWS), _thinned(test, MOST_WINDOWS))
    season = season_of(rows[:, : int(rows.shape[1] * TRAIN_SHARE)], plan.context)
    found = baselines(parts[2], season=season)
    if isinstance(encoder, Forecaster):
        found["zero_shot"] = _forecast(encoder, parts[2].contexts, horizon, partial(pause, 0))
    scaled = []
    for part in parts:
        mean, spread = _level(part.contexts)
        scaled.append((part.contexts - mean) / spread)
    found["ridge_on_context"] = _ridge_forecast(parts, scaled)
    encoded = [_encoded(encoder, part.contexts, partial(pause, 1 + phase)) for phase, part in enumerate(parts)]
    found["ridge_on_features"] = _ridge_forecast(parts, encoded)
    return found, parts[2]


def run(spec: ForecastingSpec, context: Context) -> Outcome:
    """MSE and MAE of every method at every horizon, with intervals, and their means over the horizons.

    Raises UserError where the data set holds no series, or they are too short.
    """
    started = time.monotonic()
    if context.model is None or context.dataset is None:
        raise UserError("Choose a model and a data set: forecasting needs both.")
    dataset = opened_dataset(context.dataset)
    items = np.asarray(dataset.items, dtype=np.float64)
    if dataset.modality != "series" or items.ndim != 3:
        raise UserError("Forecasting needs series of one length; this data set holds something else.")
    flat = items.reshape(-1, items.shape[2])
    whole = np.isfinite(flat).all(axis=1)
    if not whole.any():
        raise UserError("Every series has missing values: fill them before the upload.")
    rows = standardised(flat[whole])
    plan = plan_for(rows.shape[1], context=spec.context, horizons=spec.horizons)
    encoder = opened_encoder(context.model, device=context.device, threads=context.threads, reading=DEFAULT_READING)
    scores: list[Score] = []
    table: list[list[object]] = []
    errors: dict[tuple[str, str], list[Score]] = {}
    kind = ""
    with threadpool_limits(max(1, context.threads)):
        for number, horizon in enumerate(plan.horizons):

            def pause(phase: int, number: int = number, horizon: int = horizon) -> None:
                total = len(plan.horizons) * PHASES
                context.checkpoint(number * PHASES + phase, total, f"{horizon} values ahead")

            found, test = forecasts_at(rows, encoder, plan, horizon, spec.share, pause)
            weights, kind = _weights(test, spec)
            for name, forecast in sorted(found.items()):
                for metric, loss in (("mse", (forecast - test.futures) ** 2), ("mae", np.abs(forecast - test.futures))):
                    score = _score(f"{metric}@{horizon}", name, loss.mean(axis=1), weights, kind)
                    errors.setdefault((metric, name), []).append(score)
                    scores.append(score)
                    table.append([name, horizon, metric, score.value, score.low, score.high, len(test)])
    scores += [_mean_score(metric, name, found) for (metric, name), found in sorted(errors.items())]
    return Outcome(
        summary={
            "series": int(whole.sum()),
            "left_out": int((~whole).sum()),
            "length": int(rows.shape[1]),
            "context": plan.context,
            "horizons": list(plan.horizons),
            "missing_horizons": list(plan.missing),
            "sentence": _sentence(scores, plan),
        },
        scores=tuple(scores),
        tables={
            "forecasts": Table(columns=("method", "horizon", "metric", "value", "low", "high", "windows"), rows=table)
        },
        provenance={
            **CONVENTION,
            "interval": kind,
            "share": spec.share,
            "seed": spec.seed,
            "encoder": encoder.describe(),
            "dataset": dict(dataset.provenance),
            "seconds": round(time.monotonic() - started, 3),
        },
    )


def _weights(test: Windows, spec: ForecastingSpec) -> tuple[Array, str]:
    clusters = len(np.unique(test.series))
    by_series = clusters >= FEWEST_CLUSTERS
    weights = np.asarray(
        bootstrap_weights(len(test), draws=spec.draws, seed=spec.seed, groups=test.series if by_series else None),
        dtype=np.float64,
    )
    unit = f"{clusters} series" if by_series else f"{len(test)} windows that do not overlap"
    return weights, f"percentile bootstrap of {unit}, {spec.draws:,} draws"


def _score(metric: str, name: str, losses: Array, weights: Array, kind: str) -> Score:
    draws = losses @ weights / weights.sum(axis=0)
    low, high = np.quantile(draws, (0.025, 0.975))
    return Score(
        metric=metric,
        value=float(losses.mean()),
        low=float(low),
        high=float(high),
        interval=kind,
        head=name,
        replicates=tuple(float(value) for value in draws[:KEPT_DRAWS]),
    )


def _mean_score(metric: str, name: str, found: Sequence[Score]) -> Score:
    """The mean over horizons; its interval is that of the mean of the draws, which all horizons share."""
    draws = np.mean([score.replicates for score in found], axis=0)
    error = float(draws.std(ddof=1))
    value = float(np.mean([score.value for score in found]))
    return Score(
        metric=metric,
        value=value,
        low=max(0.0, value - 1.96 * error),
        high=value + 1.96 * error,
        interval=f"value ± 1.96 SD of {len(draws)} bootstrap means over {len(found)} horizons",
        head=name,
    )


def _sentence(scores: Sequence[Score], plan: Plan) -> str:
    means = {score.head: score.value or 0.0 for score in scores if score.metric == "mse"}
    order = sorted(means, key=lambda name: means[name])
    parts = [f"{name.replace('_', ' ')} {means[name]:.3f}" for name in order[:4]]
    ahead = ", ".join(str(h) for h in plan.horizons)
    missing = f" Without {', '.join(str(h) for h in plan.missing)}: too long here." if plan.missing else ""
    return f"Mean squared error {ahead} values ahead: {'; '.join(parts)}.{missing}"
