"""What was found of the uncertainty of drifts, for pages."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from hubapp.catalog.models.model import is_insider
from hubapp.filterdb.axes import Person, axis_of
from hubapp.filterdb.groups import FilterGroups
from hubapp.filterdb.intervals import Audience, axis_parameters
from hubapp.filterdb.models import DriftIntervals
from workers.kit import digest_of
from workers.statistics.drift_intervals import DriftEstimate


@dataclass(frozen=True, kw_only=True)
class KnownIntervals:
    """Intervals and nulls of the pairs of groups along an axis.

    estimates    by the two names, the one that comes first in the alphabet first
    computed_at  None where they were not computed
    is_current   whether they are of the very outcomes and groups that are there now
    draws        of each bootstrap and null
    """

    estimates: Mapping[tuple[str, str], DriftEstimate]
    computed_at: dt.datetime | None = None
    is_current: bool = False
    draws: int = 0

    def of(self, one: str, other: str) -> DriftEstimate | None:
        """The estimate of a pair of groups, whatever their order; None where there is none."""
        first, second = sorted((one, other))
        return self.estimates.get((first, second))


def intervals_for(
    axis: str,
    *,
    kernel: str,
    view: str,
    balance: str,
    user: Person,
    params: Mapping[str, str] | None = None,
    groups: FilterGroups | None = None,
) -> KnownIntervals:
    """The kept intervals of a grouping for this person's audience; `groups` tell whether they are current."""
    kept = DriftIntervals.objects.filter(
        axis=axis,
        kernel=kernel,
        view=view,
        balance=balance,
        audience=Audience.ALL if is_insider(user) else Audience.OPEN,
        parameters_digest=digest_of(axis_parameters(axis_of(axis), params or {})),
    ).first()
    if kept is None:
        return KnownIntervals(estimates={})
    estimates = {}
    for row in kept.values:
        first, second = sorted((row["a"], row["b"]))
        numbers = {name: row[name] for name in ("value", "low", "high", "null", "p_value", "words")}
        estimates[first, second] = DriftEstimate(**numbers)
    return KnownIntervals(
        estimates=estimates,
        computed_at=kept.computed_at,
        is_current=groups is not None and groups.stamp == kept.stamp,
        draws=kept.draws,
    )
