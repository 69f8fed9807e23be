"""Intervals of the filter DB: computed by a job for both audiences, kept, taken up again, aged, renewed when due."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from hubapp.catalog.models import Model
from hubapp.execution.upkeep import upkeep_submit
from hubapp.filterdb.axes import AXES
from hubapp.filterdb.entries import FilterIntervalsSpec
from hubapp.filterdb.groups import grouped
from hubapp.filterdb.intervals import filter_intervals_run, intervals_are_due
from hubapp.filterdb.models import DriftIntervals
from hubapp.filterdb.selectors import intervals_for
from hubapp.jobs.kinds import kind_get
from hubapp.jobs.models import Job
from hubapp.results.models import Outcome
from tests.hubfilterdb.simulated import simulate
from tests.jobs.conftest import no_broker
from workers.kit import Cancelled, LocalContext, UserError
from workers.statistics.drift_intervals import drift_estimates

__all__ = ["no_broker"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_broker")]
USUAL: dict[str, Any] = {"kernel": "3x3", "view": "stored", "balance": "pooled"}


def run(**params: Any) -> dict[str, Any]:
    return filter_intervals_run(spec_of(**params), LocalContext()).summary


def spec_of(**params: Any) -> FilterIntervalsSpec:
    return FilterIntervalsSpec.model_validate({"draws": 100, **params})


def test_what_is_kept_is_what_the_drifts_and_their_draws_give(alice: User) -> None:
    simulate(models=12, layers=40)
    assert run(axis="library", balance="pooled")["computed"] == 2
    found = grouped("library", user=alice)
    known = intervals_for("library", **USUAL, user=alice, groups=found)
    assert known.is_current
    assert known.draws == 100
    assert known.computed_at is not None
    for i, one in enumerate(found.names):
        for j, other in enumerate(found.names):
            if i != j:
                estimate = known.of(one, other)
                assert estimate is not None
                assert estimate.value == pytest.approx(found.drift[i, j], abs=1e-10)
                assert estimate.low is not None
                assert estimate.high is not None
                assert estimate.low <= estimate.value <= estimate.high
                assert estimate.null is not None
                assert "100 bootstrap draws of models" in estimate.words
    assert known.of("timm", "nothing") is None


def test_outsiders_have_numbers_of_their_own(alice: User) -> None:
    store = simulate(models=12, layers=40)
    Model.objects.filter(pk=next(iter(store.models))).update(is_restricted=True)
    run(axis="library", balance="pooled")
    insiders, outsiders = (
        intervals_for("library", **USUAL, user=who, groups=grouped("library", user=who)) for who in (alice, None)
    )
    assert insiders.is_current
    assert outsiders.is_current
    assert insiders.estimates != outsiders.estimates
    names = {name for pair in intervals_for("model", **USUAL, user=None).estimates for name in pair}
    assert next(iter(store.models.values())).slug not in names


def test_one_computation_serves_both_audiences_where_nothing_is_restricted(monkeypatch: pytest.MonkeyPatch) -> None:
    simulate(models=6, layers=20)
    calls = []

    def counted(*args: Any, **options: Any) -> Any:
        calls.append(1)
        return drift_estimates(*args, **options)

    monkeypatch.setattr("hubapp.filterdb.intervals.drift_estimates", counted)
    assert run(axis="library", balance="pooled")["computed"] == 2
    assert len(calls) == 1


def test_a_job_that_was_stopped_goes_on_where_it_stopped() -> None:
    simulate(models=6, layers=20)

    class Stopping(LocalContext):
        def checkpoint(self, done: int, total: int, note: str = "") -> None:
            if done == 3:
                raise Cancelled

    with pytest.raises(Cancelled):
        filter_intervals_run(spec_of(axis="library"), Stopping())
    assert DriftIntervals.objects.count() == 3
    again = run(axis="library")
    assert (again["computed"], again["groupings"]) == (3, 6)
    assert again["sentence"].startswith("Intervals of 3 of 6 groupings computed in ")
    assert run(axis="library")["computed"] == 0


def test_intervals_show_that_they_are_old(alice: User) -> None:
    store = simulate(models=8, layers=30)
    run(axis="task", balance="pooled")
    first = next(iter(store.models))
    Model.objects.filter(pk=first).update(task="image-to-text")
    assert not intervals_for("task", **USUAL, user=alice, groups=grouped("task", user=alice)).is_current
    run(axis="task", balance="pooled")
    assert intervals_for("task", **USUAL, user=alice, groups=grouped("task", user=alice)).is_current
    nothing = intervals_for("author", **USUAL, user=alice, groups=grouped("author", user=alice))
    assert (nothing.computed_at, nothing.is_current, dict(nothing.estimates)) == (None, False, {})


def test_two_searches_are_kept_by_their_queries(alice: User) -> None:
    simulate(models=8, layers=30)
    searches = {"a": "library=timm", "b": "library=onnx"}
    run(axis="searches", balance="pooled", **searches)
    found = grouped("searches", user=alice, params=searches)
    assert intervals_for("searches", **USUAL, user=alice, params=searches, groups=found).is_current
    other = {"a": "library=timm", "b": "q=" + "long " * 300}
    assert intervals_for("searches", **USUAL, user=alice, params=other).computed_at is None
    run(axis="searches", balance="pooled", **other)
    assert intervals_for("searches", **USUAL, user=alice, params=other).computed_at is not None


def test_every_usual_axis_is_looked_through_and_the_job_follows_new_results() -> None:
    assert not intervals_are_due()
    assert upkeep_submit() == 0
    simulate(models=5, layers=12)
    assert intervals_are_due()
    assert upkeep_submit() == 1
    assert Job.objects.get(kind="filter_intervals").queue == "housekeeping"
    assert upkeep_submit() == 0
    usual = [axis for axis in AXES.values() if not axis.parameters]
    assert run()["computed"] == 6 * len(usual)
    assert not intervals_are_due()
    Outcome.objects.filter(pk=Outcome.objects.filter(kind="filterdb").first().pk).update(archived_at=timezone.now())  # type: ignore[union-attr]
    assert intervals_are_due()
    run()
    assert not intervals_are_due()


def test_an_unknown_axis_or_kernel_is_told() -> None:
    with pytest.raises(UserError, match="There is no axis"):
        run(axis="colour")
    with pytest.raises(UserError, match="no kernel size"):
        run(axis="task", kernel="big")
    assert kind_get("filter_intervals").reuse == "active"
