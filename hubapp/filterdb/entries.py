"""Site jobs of the room."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from workers.kit import JobEntry, Spec


class FilterIntervalsSpec(Spec):
    """Which drifts get intervals and nulls.

    axis     its name; empty: every axis that needs no parameters
    balance  empty: all three
    a, b     of the axis "searches": two searches of the model list
    """

    axis: str = Field("", max_length=40)
    balance: Literal["", "pooled", "layer", "model"] = ""
    kernel: str = Field("3x3", max_length=20)
    view: Literal["stored", "folded"] = "stored"
    a: str = Field("", max_length=2000)
    b: str = Field("", max_length=2000)
    draws: int = Field(1000, ge=100, le=10_000)


ENTRIES = (
    JobEntry(
        name="filter_intervals",
        title="Intervals of the filter DB",
        meaning="Draws whole models to say how sure drifts between groups of models are, and what chance alone gives.",
        target="hubapp.filterdb.intervals:filter_intervals_run",
        params=FilterIntervalsSpec,
        queue="housekeeping",
        reuse="active",
        time_limit_seconds=3 * 3600,
    ),
)
