"""How fast models were read here: measured passes of the feature store, and a line through them for the others."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median

import numpy as np
from django.conf import settings
from scipy import stats

from workers.sources.store import FeatureStore, StoredFeatures

USUAL = "penultimate"
FEWEST_FOR_A_LINE = 4
# One machine, one model: passes on other data sets, beside other jobs, took up to so many times as long.
MEASURED_FACTOR = 2.0


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One measured pass of a model over a data set: seconds a row, vector length, and the device."""

    dataset: str
    seconds_a_row: float
    dimensions: int
    device: str


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Seconds that reading some rows takes, with a range, and what it rests on in a word.

    basis  "stored": nothing is to be done; "measured": this model was timed here; "line": by its parameters, from
           other models; "unknown"
    """

    seconds: float | None
    low: float | None
    high: float | None
    basis: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """log(seconds a row) = intercept + slope · log(parameters), by least squares over `count` models.

    spread  standard deviation of the residuals (ddof 2), middle: mean of log(parameters), squares: their sum of squares
    """

    intercept: float
    slope: float
    spread: float
    middle: float
    squares: float
    count: int

    @classmethod
    def through(cls, points: Iterable[tuple[int, float]]) -> Line | None:
        """Of (parameters, seconds a row); None of fewer than FEWEST_FOR_A_LINE models of different size."""
        known = [(math.log(size), math.log(seconds)) for size, seconds in points if size > 0 and seconds > 0]
        if len(known) < FEWEST_FOR_A_LINE or len({x for x, _ in known}) < 2:
            return None
        x, y = np.array(known).T
        fitted = stats.linregress(x, y)
        residuals = y - fitted.intercept - fitted.slope * x
        return cls(
            intercept=float(fitted.intercept),
            slope=float(fitted.slope),
            spread=float(np.sqrt((residuals**2).sum() / (len(x) - 2))),
            middle=float(x.mean()),
            squares=float(((x - x.mean()) ** 2).sum()),
            count=len(x),
        )

    def seconds_a_row(self, parameters: int) -> tuple[float, float, float]:
        """The value and its 80% prediction interval (t, ddof 2)."""
        x = math.log(parameters)
        middle = self.intercept + self.slope * x
        error = self.spread * math.sqrt(1 + 1 / self.count + (x - self.middle) ** 2 / self.squares)
        half = float(stats.t.ppf(0.9, self.count - 2)) * error
        return math.exp(middle), math.exp(middle - half), math.exp(middle + half)


@dataclass(frozen=True, kw_only=True)
class Speeds:
    """What the store knows. Passes by model revision, the fastest first: whatever runs beside makes one slower.

    The line is through the fastest pass of each model.
    """

    passes: Mapping[str, list[Pass]] = field(default_factory=dict)
    line: Line | None = None
    dimensions: int = 0  # the longest vector seen

    def pass_of(self, revision: str, *, dataset: str = "") -> Pass | None:
        """The fastest pass of a model revision over the data set revision, else over any."""
        passes = self.passes.get(revision, [])
        return next((one for one in passes if one.dataset == dataset), passes[0] if passes else None)

    def estimate(self, revision: str, *, parameters: int, dataset: str, rows: int, is_stored: bool) -> Estimate:
        """What reading `rows` takes: by the median of this model's passes over the data set or any, else by the line.

        The range is that of the passes, at least a factor of MEASURED_FACTOR both ways.
        """
        if is_stored:
            return Estimate(seconds=0.0, low=0.0, high=0.0, basis="stored")
        passes = self.passes.get(revision, [])
        times = [one.seconds_a_row * rows for one in passes if one.dataset == dataset]
        times = times or [one.seconds_a_row * rows for one in passes]
        if times:
            middle = median(times)
            low, high = min(*times, middle / MEASURED_FACTOR), max(*times, middle * MEASURED_FACTOR)
            return Estimate(seconds=middle, low=low, high=high, basis="measured")
        if self.line is None or parameters <= 0:
            return Estimate(seconds=None, low=None, high=None, basis="unknown")
        seconds, low, high = (one * rows for one in self.line.seconds_a_row(parameters))
        return Estimate(seconds=seconds, low=low, high=high, basis="line")


def stored_passes() -> list[StoredFeatures]:
    """The finished features of data sets as models are usually read."""
    return [
        entry
        for entry in FeatureStore(settings.FEATURES_DIR)
        if isinstance(entry.provenance.get("model"), dict)
        and isinstance(entry.provenance.get("dataset"), dict)
        and (entry.provenance.get("reading") or {}).get("layer") == USUAL
        and not entry.tokens
    ]


def speeds_of(entries: Iterable[StoredFeatures], parameters: Mapping[str, int]) -> Speeds:
    """Speeds from stored passes; `parameters` by the model revisions that the line may rest on."""
    passes: dict[str, list[Pass]] = {}
    longest = 0
    for entry in entries:
        provenance = entry.provenance
        longest = max(longest, entry.dimensions)
        seconds = float(provenance.get("encoding_seconds") or 0.0)
        rows = entry.rows - int(provenance.get("copied_rows") or 0)
        if seconds <= 0 or rows <= 0:
            continue
        revision = str(provenance["model"].get("revision", ""))
        passes.setdefault(revision, []).append(
            Pass(
                dataset=str(provenance["dataset"].get("revision", "")),
                seconds_a_row=seconds / rows,
                dimensions=entry.dimensions,
                device=str(provenance.get("device", "")),
            )
        )
    for kept in passes.values():
        kept.sort(key=lambda one: one.seconds_a_row)
    points = [(parameters[one], kept[0].seconds_a_row) for one, kept in passes.items() if parameters.get(one)]
    return Speeds(passes=passes, line=Line.through(points), dimensions=longest)
