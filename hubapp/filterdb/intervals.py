"""Intervals and nulls of drifts: computed by a site job, kept with the stamp of what they were made of."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any, NamedTuple, get_args
from uuid import UUID

from django.contrib.auth.models import User
from django.utils import timezone

from hubapp.filterdb.axes import AXES, Axis, Person, axis_of
from hubapp.filterdb.entries import FilterIntervalsSpec
from hubapp.filterdb.groups import Membership, membership_of, samples_of
from hubapp.filterdb.model_layers import model_layers
from hubapp.filterdb.models import DriftIntervals
from hubapp.filterdb.pack import current_outcomes
from workers.kit import Context, Outcome, digest_of
from workers.statistics.drift import Balance
from workers.statistics.drift_intervals import drift_estimates

Audience = DriftIntervals.Audience
# Restricted models are shown to anybody with an account; nobody's own things are looked at here.
WHO: dict[Audience, Person] = {Audience.ALL: User(is_active=True), Audience.OPEN: None}


MOST_SEARCHES = 200


class _Part(NamedTuple):
    axis: Axis
    balance: Balance
    audience: Audience


def filter_intervals_run(spec: FilterIntervalsSpec, context: Context) -> Outcome:
    """The site job "filter_intervals": each axis, balance and audience is kept as soon as it is there.

    What was computed of the same outcomes and groups with as many draws is left as it is, so that a job that was killed
    goes on where it stopped. Raises UserError for an axis or a kernel size that is none.
    """
    outcomes = _digest(current_outcomes())
    parts = list(_parts(spec))
    params = axis_parameters(parts[0].axis, {"a": spec.a, "b": spec.b})
    started, computed = time.perf_counter(), 0
    for place, part in enumerate(parts):
        context.checkpoint(place, len(parts), f"{part.axis.title}, {part.balance}, {part.audience.label}")
        computed += _keep(part, spec, params, outcomes=outcomes, seed=context.seed)
    context.checkpoint(len(parts), len(parts))
    seconds = time.perf_counter() - started
    _forget_old_searches()
    text = f"Intervals of {computed} of {len(parts)} groupings computed in {seconds:.1f} s; the others were up to date."
    return Outcome(summary={"computed": computed, "groupings": len(parts), "sentence": text})


def intervals_are_due() -> bool:
    """Whether results of the filter analysis came or went since all intervals were last looked through."""
    axes = [axis.name for axis in AXES.values() if not axis.parameters]
    kept = DriftIntervals.objects.filter(kernel="3x3", view="stored", axis__in=axes)
    looked_through = set(kept.order_by().values_list("outcomes", flat=True).distinct())
    outcomes = current_outcomes()
    return looked_through != {_digest(outcomes)} if looked_through else bool(outcomes)


def _digest(outcomes: Mapping[UUID, int]) -> str:
    return digest_of(sorted(str(outcome) for outcome in outcomes))


def axis_parameters(axis: Axis, given: Mapping[str, str]) -> dict[str, str]:
    """Those of the given parameters that the axis takes."""
    return {name: given.get(name, "") for name in axis.parameters}


def _parts(spec: FilterIntervalsSpec) -> Iterator[_Part]:
    axes = [axis_of(spec.axis)] if spec.axis else [axis for axis in AXES.values() if not axis.parameters]
    balances = (spec.balance,) if spec.balance else get_args(Balance)
    for axis in axes:
        for balance in balances:
            for audience in (Audience.ALL, Audience.OPEN):
                yield _Part(axis, balance, audience)


def _keep(
    part: _Part, spec: FilterIntervalsSpec, params: dict[str, str], *, outcomes: str, seed: int
) -> int:  # fmt: skip
    """Compute and keep one grouping unless it is there; 1 if it was computed."""
    who = WHO[part.audience]
    membership = membership_of(part.axis, kernel=spec.kernel, view=spec.view, user=who, params=params)
    same = DriftIntervals.objects.filter(
        axis=part.axis.name,
        parameters_digest=digest_of(params),
        kernel=spec.kernel,
        view=spec.view,
        balance=part.balance,
    )
    kept = same.filter(audience=part.audience, stamp=membership.stamp, draws__gte=spec.draws, seed=seed)
    if kept.update(outcomes=outcomes):
        return 0
    started = time.perf_counter()
    # Without restricted models outsiders' groups are those of insiders.
    twin = same.filter(stamp=membership.stamp, draws=spec.draws, seed=seed).first()
    values = twin.values if twin else _values(membership, part.balance, draws=spec.draws, seed=seed)
    same.update_or_create(
        axis=part.axis.name,
        parameters_digest=digest_of(params),
        kernel=spec.kernel,
        view=spec.view,
        balance=part.balance,
        audience=part.audience,
        defaults={
            "parameters": params,
            "stamp": membership.stamp,
            "outcomes": outcomes,
            "draws": spec.draws,
            "seed": seed,
            "seconds": time.perf_counter() - started,
            "values": values,
            "computed_at": timezone.now(),
        },
    )
    return 1


def _forget_old_searches() -> None:
    """Keep the newest of the pairs of searches that people set against each other."""
    searches = DriftIntervals.objects.exclude(parameters={}).order_by("-computed_at")
    DriftIntervals.objects.filter(pk__in=list(searches.values_list("pk", flat=True)[MOST_SEARCHES:])).delete()


def _values(membership: Membership, balance: Balance, *, draws: int, seed: int) -> list[dict[str, Any]]:
    samples = samples_of(membership, balance, layers=model_layers)
    found = drift_estimates(samples, draws=draws, seed=seed)
    pairs = combinations(range(len(samples)), 2)
    return [
        {"a": samples[i].name, "b": samples[j].name, **dataclasses.asdict(found[i, j])} for i, j in pairs
    ]  # fmt: skip
