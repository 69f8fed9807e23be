"""What is known of the uncertainty of the drifts on the page of the filter DB, and how old it is."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import Any

from hubapp.charts import DriftCell
from hubapp.filterdb.axes import Person
from hubapp.filterdb.db_query import DbQuery
from hubapp.filterdb.groups import FilterGroups
from hubapp.filterdb.selectors import KnownIntervals, intervals_for

NOT_YET = "interval not computed yet"
NO_NULL = "no null: one model"
OLDER = "interval of earlier results"


@dataclass(frozen=True, eq=False, kw_only=True)
class Intervals:
    """Stored intervals and nulls of the pairs of groups; `params` of the job that computes them, as JSON."""

    known: KnownIntervals
    params: str

    def cell(self, a: str, b: str, *, value: float) -> DriftCell:
        """The drift of a pair as it is now, with what was stored of its uncertainty."""
        found = self.known.of(a, b)
        if found is None:
            return DriftCell(a=a, b=b, value=value, note=NOT_YET)
        notes = ([] if found.null is not None else [NO_NULL]) + ([] if self.known.is_current else [OLDER])
        return DriftCell(a=a, b=b, value=value, low=found.low, high=found.high, null=found.null, note="; ".join(notes))

    def p_value(self, a: str, b: str) -> float | None:
        """The share of arrangements by chance whose drift is at least as large."""
        found = self.known.of(a, b)
        return found.p_value if found else None

    @property
    def made_at(self) -> dt.datetime | None:
        """When they were computed; None where they were not."""
        return self.known.computed_at

    @property
    def is_missing(self) -> bool:
        """Whether a job has something to do: they are not there, or results came or went since."""
        return self.made_at is None or not self.known.is_current

    @property
    def state(self) -> str:
        """Whether they are there and fit, in words."""
        if self.made_at is None:
            return "Intervals are not computed yet."
        return "Intervals fit these groups." if self.known.is_current else "Results came or went since the intervals."

    @property
    def words(self) -> str:
        """How they are made, in words."""
        draws = f"{self.known.draws:,} times" if self.known.draws else "a thousand times or so"
        return (
            f"A job draws whole models with replacement, {draws}, for a 95% interval reflected at the value, and deals "
            f"the models of both groups anew, {draws}, for the null: what chance alone gives. Of a group with one "
            "model layers are drawn, and no null exists."
        )

    def as_json(self) -> dict[str, Any]:
        """When and how they were computed."""
        is_stale = self.made_at is not None and not self.known.is_current
        return {
            "computed_at": self.made_at,
            "is_stale": is_stale,
            "state": self.state,
            "draws": self.known.draws or None,
        }


def intervals_of(query: DbQuery, groups: FilterGroups, user: Person) -> Intervals:
    """The stored intervals for this state of the page and this person."""
    state = {"axis": query.axis, "balance": query.balance, "kernel": query.kernel, "view": query.view}
    known = intervals_for(**state, user=user, params=query.parameters, groups=groups)
    return Intervals(known=known, params=json.dumps({**state, **query.parameters}))
