"""Where one model stands in the filter DB: its drift to each group of an axis, of which it is left out itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hubapp.catalog.models import Model
from hubapp.filterdb.axes import AXES, Axis, Person, axis_of
from hubapp.filterdb.groups import coefficient_sums_of, membership_of, samples_of
from hubapp.filterdb.pack import View
from hubapp.ui.words import number
from workers.kit import UserError
from workers.statistics.drift import CoefficientSums, drift
from workers.statistics.drift_intervals import DriftSample, bootstrap_drifts, reflected_interval

DRAWS = 1000
# The usual axes; one by depth would set a model against parts of itself.
OFFERED = tuple(axis for axis in AXES.values() if not axis.is_by_depth and not axis.parameters)
FIRST = "family"
CONVENTION = (
    f"The model is left out of its own group. Intervals: 95%, {DRAWS:,} bootstrap draws of the group's models; the "
    "model itself stays as it is. A group of one model has no interval."
)


@dataclass(frozen=True, kw_only=True)
class Distance:
    """The drift of a model to one group.

    models     how many the group has without this one
    low, high  95% interval; None where the group has one model
    is_own     whether the model is a member, left out here
    note       why there is no interval; "" where there is one
    """

    group: str
    models: int
    value: float
    low: float | None
    high: float | None
    is_own: bool
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Position:
    """The drifts of a model to the groups of an axis, the nearest group first.

    alone   the groups in which it is the only one
    others  how many groups are not shown, since only the largest are
    """

    axis: Axis
    kernel: str
    view: str
    distances: list[Distance]
    alone: list[str]
    others: int

    @property
    def sentence(self) -> str:
        """Which group is nearest, which furthest."""
        what = self.axis.title.lower()
        alone = f" It is the only model of {_quoted(self.alone)}." if self.alone else ""
        if not self.distances:
            return f"By {what} there is no group to set this model against.{alone}"
        near, far = self.distances[0], self.distances[-1]
        nearest = f"By {what} its filters are nearest to “{near.group}” (drift {estimate(near)})"
        if near is far:
            return f"{nearest}, the only other group.{alone}"
        own = next((one for one in self.distances if one.is_own), None)
        home = ", its own group" if own is near else ""
        away = f" To its own group, “{own.group}”, it is {estimate(own)}." if own and own is not near else ""
        return f"{nearest}{home}, and furthest from “{far.group}” ({estimate(far)}).{away}{alone}"


def _quoted(names: list[str]) -> str:
    return ", ".join(f"“{name}”" for name in names)


def estimate(one: Distance) -> str:
    """A distance with its interval: "0.12 [0.10, 0.15]"."""
    ends = "" if one.low is None or one.high is None else f" [{number(one.low, 3)}, {number(one.high, 3)}]"
    return f"{number(one.value, 3)}{ends}"


def axis_offered(name: str) -> Axis:
    """The axis of that name, "family" without one. Raises UserError for one that gives no position."""
    axis = axis_of(name or FIRST)
    if axis not in OFFERED:
        raise UserError(f"By {axis.title.lower()} a model has no position. Choose another axis.", field="axis")
    return axis


def position_of(
    model: Model, axis: Axis, *, user: Person, kernel: str = "3x3", view: View = "stored"
) -> Position | None:
    """The drift of a model to every group of models that this person may know of; None without such filters."""
    membership = membership_of(axis, kernel=kernel, view=view, user=user)
    pack = membership.pack
    own_rows = np.flatnonzero(pack.model == model.pk)
    if not len(own_rows):
        return None
    own = _sample("this model", model.pk, coefficient_sums_of(pack, pack.pooled[own_rows].sum(axis=0, keepdims=True)))
    distances, alone = [], []
    for sample in samples_of(membership, "pooled"):
        is_member = model.pk in sample.models
        if is_member and len(sample.models) == 1:
            alone.append(sample.name)
            continue
        distances.append(_distance(own, _without(sample, model.pk), is_own=is_member))
    distances.sort(key=lambda one: (one.value, one.group))
    return Position(
        axis=axis, kernel=kernel, view=view, distances=distances, alone=alone, others=len(membership.others)
    )


def _sample(name: str, model: int, units: CoefficientSums) -> DriftSample:
    return DriftSample(name=name, models=(model,), units=units)


def _without(sample: DriftSample, model: int) -> DriftSample:
    """The group without a model; one that is left alone is one unit, since this model's layers stay as they are."""
    units = sample.units
    kept = [place for place, one in enumerate(sample.models) if one != model]
    if len(sample.models) == 1:
        return _sample(sample.name, sample.models[0], units.combined(np.ones((1, len(units)))))
    units = CoefficientSums(values=units.values[kept], axes=units.axes, width=units.width)
    return DriftSample(name=sample.name, models=tuple(sample.models[place] for place in kept), units=units)


def _distance(own: DriftSample, group: DriftSample, *, is_own: bool) -> Distance:
    value = float(drift(own.whole, group.whole))
    low, high, note = None, None, "one model: no interval"
    if len(group.models) > 1:
        drawn = bootstrap_drifts([own, group], draws=DRAWS)[:, 0, 1]
        (low, high), note = reflected_interval(drawn, value), ""
    return Distance(
        group=group.name, models=len(group.models), value=value, low=low, high=high, is_own=is_own, note=note
    )


def position_json(position: Position | None) -> Mapping[str, object] | None:
    """A position for a twin."""
    if position is None:
        return None
    return {
        "axis": position.axis.name,
        "kernel": position.kernel,
        "view": position.view,
        "sentence": position.sentence,
        "convention": CONVENTION,
        "groups": position.distances,
        "alone_in": position.alone,
        "groups_not_shown": position.others,
    }
