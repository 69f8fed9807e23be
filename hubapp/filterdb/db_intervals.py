"""What is known of the uncertainty of the drifts on the page of the filter DB, and how old it is."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hubapp.charts import DriftCell
from hubapp.filterdb.db_query import DbQuery
from workers.statistics.drift_intervals import DriftEstimate

KIND = "filter_intervals"
NOT_YET = "interval not computed yet"
NO_NULL = "no null: one model"


@dataclass(frozen=True, eq=False, kw_only=True)
class Intervals:
    """Stored intervals and nulls of the pairs of groups.

    estimates  by the two names
    made_at    when they were computed; None where they were not
    is_stale   whether outcomes came or went since then
    params     of the job that computes them, as JSON; empty where there is nothing to compute
    """

    estimates: Mapping[frozenset[str], DriftEstimate] = field(default_factory=dict)
    made_at: dt.datetime | None = None
    is_stale: bool = False
    params: str = ""

    def cell(self, a: str, b: str, *, value: float) -> DriftCell:
        """The drift of a pair as it is now, with what was stored of its uncertainty."""
        known = self.estimates.get(frozenset((a, b)))
        if known is None:
            return DriftCell(a=a, b=b, value=value, note=NOT_YET)
        note = "" if known.null is not None else NO_NULL
        return DriftCell(a=a, b=b, value=value, low=known.low, high=known.high, null=known.null, note=note)

    def p_value(self, a: str, b: str) -> float | None:
        """The share of arrangements by chance whose drift is at least as large."""
        known = self.estimates.get(frozenset((a, b)))
        return known.p_value if known else None

    @property
    def state(self) -> str:
        """Whether they are there and fit, in words."""
        if self.made_at is None:
            return "Intervals are not computed yet."
        return "Intervals are older than the newest filters." if self.is_stale else "Intervals are up to date."

    @property
    def words(self) -> str:
        """How they are made, in words."""
        return next((known.words for known in self.estimates.values()), f"{self.state} A job draws whole models.")

    def as_json(self) -> dict[str, Any]:
        """When and how they were computed."""
        return {"computed_at": self.made_at, "is_stale": self.is_stale, "state": self.state, "how": self.words}


def intervals_of(query: DbQuery) -> Intervals:
    """The newest stored intervals for this state of the page."""
    params = {"axis": query.axis, "balance": query.balance, "kernel": query.kernel, "view": query.view}
    return Intervals(params=json.dumps({**params, **query.parameters}))
