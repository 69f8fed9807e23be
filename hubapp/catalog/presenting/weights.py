"""Where a model's weights lie, and what fetching them would take: the panel of its page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hubapp.catalog.fetching import FetchPlan, fetch_plan
from hubapp.catalog.models import File, Model, Revision, WeightsCopy

NAMES_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class WeightsState:
    """The panel.

    state   "here": fetched; "coming"; "stopped" halfway; "far": at the hub only
    copy    of the revision that is shown, where one was begun
    plan    what a fetch brings, where the weights are not here
    others  copies of other commits of the model, newest first
    """

    state: Literal["here", "coming", "stopped", "far"]
    copy: WeightsCopy | None
    plan: FetchPlan | None
    others: Sequence[WeightsCopy]
    is_missing: bool

    @property
    def names(self) -> list[str]:
        """The first weight files that a fetch brings."""
        return list(self.plan.weights[:NAMES_SHOWN]) if self.plan else []

    @property
    def more_names(self) -> int:
        """How many weight files are not named."""
        return max(0, len(self.plan.weights) - NAMES_SHOWN) if self.plan else 0

    @property
    def can_fetch(self) -> bool:
        """Whether a fetch may be asked for."""
        return self.plan is not None and not self.plan.reason and not self.is_missing and self.state != "coming"

    @property
    def can_remove(self) -> bool:
        """Whether there is something of this revision to remove."""
        return self.copy is not None and self.state != "coming"

    @property
    def has_actions(self) -> bool:
        """Whether a person can do something."""
        return self.can_fetch or self.can_remove


def weights_state(model: Model, revision: Revision | None, files: Sequence[File]) -> WeightsState | None:
    """The panel of a model; None where there is nothing to say: its weights were not fetched and cannot be."""
    copies = list(
        WeightsCopy.objects.filter(revision__model=model).select_related("revision").order_by("-revision__created_at")
    )
    copy = next((one for one in copies if revision is not None and one.pk == revision.pk), None)
    others = [one for one in copies if one is not copy]
    is_local = revision is not None and revision.is_local
    plan = None if is_local else fetch_plan(model, files)
    if plan is None and not copies:
        return None
    state: Literal["here", "coming", "stopped", "far"] = "far"
    if is_local:
        state = "here"
    elif copy is not None:
        state = "coming" if copy.is_at_work else "stopped"
    return WeightsState(state=state, copy=copy, plan=plan, others=others, is_missing=model.is_missing)


def weights_json(state: WeightsState | None) -> dict[str, Any] | None:
    """The panel, as the model's twin gives it."""
    if state is None:
        return None
    plan, copy = state.plan, state.copy
    return {
        "state": state.state,
        "files": copy.files if copy else plan.files if plan else 0,
        "size_bytes": copy.size_bytes if copy else plan.size_bytes if plan else None,
        "done_bytes": copy.done_bytes if copy else 0,
        "fetched_at": copy.fetched_at if copy else None,
        "reason": (copy.error_message if copy else "") or (plan.reason if plan else ""),
        "other_commits": [
            {"commit": one.revision.commit, "size_bytes": one.size_bytes, "fetched_at": one.fetched_at}
            for one in state.others
        ],
    }
