"""What earlier jobs took here beside their passes: seconds of scoring, memory of a worker, jobs at the same time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from hubapp.jobs.models import Job
from hubapp.jobs.visibility import Person
from hubapp.results.selectors import outcomes_visible_to
from workers.kit import ANALYSES

LOOKED_AT = 200
# One run says nothing of how they vary: those of passes took up to so many times as long beside other work.
LONE_FACTOR = 2.0
BYTES_A_NUMBER = 4  # weights and features are held in single precision


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Seconds of scoring for each number of the features (rows × length): median, least and most of `count` runs."""

    middle: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, runs: Iterable[tuple[float, int]]) -> Rate | None:
        """Of (seconds, numbers) of runs; None without one."""
        rates = [seconds / numbers for seconds, numbers in runs if seconds > 0 and numbers > 0]
        if not rates:
            return None
        if len(rates) == 1:
            return cls(middle=rates[0], low=rates[0] / LONE_FACTOR, high=rates[0] * LONE_FACTOR, count=1)
        return cls(middle=median(rates), low=min(rates), high=max(rates), count=len(rates))


def scoring_rate(metrics: Collection[str], user: Person) -> Rate | None:
    """How fast these metrics were computed here, all of them together with the usual half-samples.

    In proportion to rows × length, though neighbours cost the square of the rows: data of like size are told best.
    """
    usual = ANALYSES.get("transferability").params().model_dump(mode="json").get("half_samples")
    rows = outcomes_visible_to(user).filter(kind="transferability", params__half_samples=usual).order_by("-created_at")
    found = rows.values_list("params", "summary", "provenance__wall_seconds")[:LOOKED_AT]
    return Rate.of(
        (float(seconds or 0.0), int(summary.get("rows") or 0) * int(summary.get("dimensions") or 0))
        for params, summary, seconds in found
        if set(params.get("metrics", ())) == set(metrics)
    )


def memory_beside_weights(modality: str, user: Person) -> int | None:
    """The most that a worker took here to read models of a modality, less their weights; None where none was read."""
    rows = outcomes_visible_to(user).filter(kind="features", revision__model__modality=modality)
    found = rows.order_by("-created_at").values_list("provenance__peak_memory_bytes", "revision__parameters")
    return max((peak - BYTES_A_NUMBER * (size or 0) for peak, size in found[:LOOKED_AT] if peak), default=None)


def jobs_at_once() -> int:
    """The most jobs of the workers' queue that ran here at the same time, of the newest that have ended; at least 1."""
    ended = Job.objects.filter(is_parent=False, queue="cpu", started_at__isnull=False, finished_at__isnull=False)
    spans = ended.order_by("-finished_at").values_list("started_at", "finished_at")[:LOOKED_AT]
    return most_at_once([(begin, end) for begin, end in spans if begin and end])


def most_at_once(spans: Sequence[tuple[datetime, datetime]]) -> int:
    """The largest number of (begin, end) spans that hold one moment; what ends as another begins does not meet it."""
    events = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    most = now = 0
    for _, step in events:
        now += step
        most = max(most, now)
    return max(1, most)
