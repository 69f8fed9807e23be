"""One model as a sample of its layer groups, for drifts that a page computes while it is asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from hubapp.filterdb.layers import STORED
from hubapp.results.models import Outcome, Sums
from workers.statistics.drift import Balance, coefficient_sums
from workers.statistics.drift_intervals import DriftSample
from workers.statistics.layer_groups import LayerGroup

KIND = "layer_group"


def layer_groups(outcomes: Sequence[Outcome], *, kernel: str, view: str) -> dict[object, list[LayerGroup]]:
    """The layer groups of each outcome, by depth; in the folded view those as stored of models without batch norm.

    One query. Sums that are damaged raise ValueError: the site wrote them itself.
    """
    rows = Sums.objects.filter(kind=KIND, outcome__in=[outcome.pk for outcome in outcomes], labels__kernel=kernel)
    if view == STORED:
        rows = rows.filter(labels__view=STORED)
    found: dict[object, dict[str, list[tuple[int, LayerGroup]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows.order_by("id"):
        group = LayerGroup.from_bytes(bytes(row.payload))
        if group.layers:
            found[row.outcome_id][str(row.labels["view"])].append((int(row.labels["decile"]), group))
    return {
        key: [group for _, group in sorted(views.get(view) or views[STORED], key=lambda pair: pair[0])]
        for key, views in found.items()
    }


def model_sample(name: str, model: int, groups: Sequence[LayerGroup], *, balance: Balance = "pooled") -> DriftSample:
    """One model, whose layer groups are drawn."""
    return DriftSample(name=name, models=(model,), units=coefficient_sums(groups, balance=balance))
