"""What one model's own layer groups say: its density, and a sample of them for drifts between single models."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from hubapp.charts.thumbnails import density_thumbnail
from hubapp.filterdb.layers import STORED
from hubapp.results.models import Outcome, Sums
from hubapp.results.reports import Report
from workers.statistics.drift import Balance, coefficient_sums
from workers.statistics.drift_intervals import DriftSample
from workers.statistics.layer_groups import LayerGroup
from workers.statistics.phenotype import Label, phenotype

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


@dataclass(frozen=True, kw_only=True)
class Density:
    """The density of the first two coefficients of a model's 3 × 3 filters.

    picture    as a `data:` address
    phenotype  what it looks like; None where there are too few filters
    words      why
    """

    picture: str
    phenotype: Label | None
    words: str
    filters: int


def density_of(report: Report, view: str) -> Density | None:
    """The density of the report's outcome in a view; None where it has no 3 × 3 filters."""
    if report.outcome is None:
        return None
    groups = layer_groups([report.outcome], kernel="3x3", view=view).get(report.outcome.pk)
    if not groups:
        return None
    statistics = reduce(LayerGroup.merge, groups).statistics
    found = phenotype(statistics.density)
    return Density(
        picture=density_thumbnail(statistics.density), phenotype=found.label, words=found.words, filters=statistics.n
    )
