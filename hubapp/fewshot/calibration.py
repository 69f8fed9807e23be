"""Whether a head's probabilities say how often it is right."""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from typing import Any

from django.core.cache import cache
from django.http import QueryDict
from redis.exceptions import RedisError

from hubapp.catalog.models import Dataset
from hubapp.fewshot.predictions import Choice, choice_of
from hubapp.jobs.visibility import Person
from workers.kit import digest_of
from workers.statistics.intervals import Interval
from workers.statistics.reliability import Bin, Calibration, calibration

DRAWS = 1000
CACHE_SECONDS = 30 * 24 * 3600
_VERSION = 3  # raised when calibration is measured in another way


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """What the page shows; `found` is None where nothing was kept."""

    choice: Choice
    found: Calibration | None

    @property
    def sentence(self) -> str:
        """What was found, in words: sure too often, too seldom, or neither."""
        found = self.found
        if found is None:
            return self.choice.why
        where = f" for the label “{self.choice.sub_task}”" if self.choice.sub_task else ""
        gap = found.gap_interval
        told = (
            "surer than it is right"
            if gap.low > 0
            else "less sure than it is right"
            if gap.high < 0
            else "whether it is too sure cannot be told"
        )
        return (
            f"{self.choice.words}{where}: {told}. It says {found.sure:.0%} on average and is right in "
            f"{found.accuracy:.0%} of the test rows; the gap of {_points(found.gap)} points lies between "
            f"{_points(gap.low)} and {_points(gap.high)}."
        )

    def as_json(self) -> dict[str, Any]:
        """The page's twin."""
        found = self.found
        return {
            **self.choice.as_json(),
            "sentence": self.sentence,
            "calibration": dataclasses.asdict(found) if found else None,
            "bins_interval": found.kind if found else None,
        }


def _points(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−")


def calibration_of(dataset: Dataset, query: QueryDict, user: Person) -> Calibrated:
    """The calibration that the address asks for. Raises UserError for what is not there."""
    choice = choice_of(dataset, query, user)
    if choice.kept is None or choice.outcome is None:
        return Calibrated(choice=choice, found=None)
    key = f"calibration:{digest_of([_VERSION, str(choice.outcome.pk), choice.query()])}"
    with contextlib.suppress(RedisError):
        if (stored := cache.get(key)) is not None:
            return Calibrated(choice=choice, found=_read(stored))
    # The draws of the evaluation itself, so that page and stored score agree.
    found = calibration(
        choice.task.logits,
        choice.task.labels,
        draws=int(choice.outcome.params.get("draws") or DRAWS),
        seed=int(choice.outcome.params.get("seed") or 0),
        groups=choice.kept.groups,
    )
    with contextlib.suppress(RedisError):
        cache.set(key, dataclasses.asdict(found), CACHE_SECONDS)
    return Calibrated(choice=choice, found=found)


def _read(stored: dict[str, Any]) -> Calibration:
    held = {**stored, "bins": tuple(Bin(**one) for one in stored["bins"])}
    for name in ("ece_interval", "brier_interval", "gap_interval"):
        held[name] = Interval(**stored[name])
    return Calibration(**held)
