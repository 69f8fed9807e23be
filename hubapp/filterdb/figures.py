"""What the page of the filter DB shows: groups along an axis, the drift between them, and the charts of both."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from django.urls import reverse

from hubapp import charts
from hubapp.charts import DriftCell, Figure, GroupCoefficients, GroupVariance
from hubapp.filterdb.db_intervals import Intervals
from hubapp.filterdb.db_query import DbQuery
from hubapp.filterdb.db_words import conventions, finding, groups_words
from hubapp.filterdb.groups import FilterGroup, FilterGroups
from hubapp.filterdb.pack import kernel_of
from workers.kit import UserError
from workers.statistics.filter_sums import DENSITY_BINS, histogram_edges

SHOWN_COMPONENTS = 9
NAMED_GROUPS = 12  # in the sentence about a group that there is not


@dataclass(frozen=True, kw_only=True)
class BasisPicture:
    """One basis filter of a group: a picture, its weights in words, and its share of the variance."""

    picture: str
    words: str
    share: str


@dataclass(frozen=True, eq=False, kw_only=True)
class ShownGroup:
    """A group with its pictures.

    kernel      of its filters
    is_chosen   whether it was ticked
    is_model    whether it is one model, called by its slug
    """

    group: FilterGroup
    kernel: tuple[int, ...]
    is_chosen: bool = False
    is_model: bool = False

    @property
    def name(self) -> str:
        """What the group is called."""
        return self.group.name

    @property
    def models(self) -> int:
        """How many models it has."""
        return self.group.models

    @property
    def filters(self) -> int:
        """How many filters it has."""
        return self.group.filters

    @property
    def url(self) -> str:
        """The filter report of the model where the group is one by its name; else empty."""
        return reverse("filterdb:model_filters", args=[self.name]) if self.is_model else ""

    @property
    def mean_drift(self) -> float | None:
        """To all other groups; None where there is none."""
        return self.group.mean_drift

    @property
    def first_share(self) -> float | None:
        """The share of the variance along the first basis filter; None where nothing varies."""
        return float(self.group.basis.explained_variance_ratio[0]) or None

    @property
    def density(self) -> str:
        """Its density as a picture, in a `data:` address."""
        return charts.density_thumbnail(self.group.density)

    @property
    def basis(self) -> list[BasisPicture]:
        """Its first nine basis filters, on one scale."""
        basis = self.group.basis
        shown = basis.components[:SHOWN_COMPONENTS]
        top = float(np.abs(shown).max())
        return [
            BasisPicture(
                picture=charts.filter_thumbnail(taps.reshape(self.kernel), top=top),
                words=f"Basis filter {place + 1}",
                share=f"{basis.explained_variance_ratio[place]:.0%}",
            )
            for place, taps in enumerate(shown)
        ]

    def as_json(self) -> dict[str, Any]:
        """Every number of the group."""
        group, basis = self.group, self.group.basis
        return {
            "name": group.name,
            "models": group.models,
            "layers": group.layers,
            "filters": group.filters,
            "sparse_share": group.sparse_share,
            "largest_weight": group.largest,
            "mean_drift": group.mean_drift,
            "phenotype": group.phenotype,
            "explained_variance_ratio": basis.explained_variance_ratio,
            "explained_variance": basis.explained_variance,
            "basis": basis.components,
            "mean_filter": basis.mean,
            "histograms": np.round(group.histograms, 9),
            "density": np.round(group.density, 9),
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class FilterDb:
    """The page: what was asked, the groups that were found, and what is known of the uncertainty of their drift."""

    query: DbQuery
    found: FilterGroups
    intervals: Intervals

    def __post_init__(self) -> None:
        unknown = [name for name in self.query.groups if name not in self.found.names]
        if unknown:
            known = ", ".join(self.found.names[:NAMED_GROUPS]) or "none"
            raise UserError(
                f"There is no group named {unknown[0]!r} along {self.found.axis.title.lower()}. Known: {known}.",
                field="group",
            )

    @cached_property
    def kernel(self) -> tuple[int, ...]:
        """The size of the filters."""
        return kernel_of(self.query.kernel)

    @cached_property
    def offered(self) -> list[ShownGroup]:
        """All groups: in the order of the axis where it has one, else by mean drift, outliers last."""
        groups = list(self.found.groups)
        if not self.found.axis.has_order:
            groups.sort(key=lambda group: (group.mean_drift or 0.0, group.name))
        chosen, is_model = self.query.groups, self.query.axis == "model"
        return [
            ShownGroup(group=group, kernel=self.kernel, is_chosen=group.name in chosen, is_model=is_model)
            for group in groups
        ]

    @cached_property
    def groups(self) -> list[ShownGroup]:
        """The groups that are shown: the chosen ones, else all."""
        return [group for group in self.offered if group.is_chosen] or self.offered

    @cached_property
    def cells(self) -> list[DriftCell]:
        """The drift between every two of the shown groups."""
        place = {name: number for number, name in enumerate(self.found.names)}
        return [
            self.intervals.cell(a, b, value=float(self.found.drift[place[a], place[b]]))
            for a, b in combinations([group.name for group in self.groups], 2)
        ]

    @cached_property
    def sentence(self) -> str:
        """What was found, in words."""
        filters, models = self.found.filters, self.found.models
        if self.query.groups:
            ids = {key for group in self.groups for key in group.group.model_ids}
            filters, models = sum(group.group.filters for group in self.groups), len(ids)
        return finding(f"By {self.found.axis.title.lower()}", self.groups, self.cells, models=models, filters=filters)

    @property
    def groups_sentence(self) -> str:
        """Which groups there are, and what is left out."""
        return groups_words(self.found)

    @property
    def conventions(self) -> list[tuple[str, str]]:
        """How the numbers are made, by name."""
        return conventions(self.found, self.intervals.words)

    @property
    def chart_query(self) -> str:
        """The query of the charts' addresses."""
        return f"?{self.query.encoded()}"

    @property
    def all_url(self) -> str:
        """The same page with all groups."""
        return f"?{self.query.changed(groups=()).encoded()}"

    @property
    def drift_height(self) -> int:
        """Pixels that the heat map will take."""
        return charts.heat_map_height(len(self.groups))

    @property
    def ridges_height(self) -> int:
        """Pixels that the ridges will take."""
        return charts.ridges_height(len(self.groups), math.prod(min(side, 3) for side in self.kernel))

    def draw(self, name: str) -> Figure | None:
        """A chart by its name; None where there is no such chart."""
        drawn = _CHARTS.get(name)
        return drawn(self) if drawn else None

    def as_json(self) -> dict[str, Any]:
        """Everything that the page shows, with numbers."""
        found = self.found
        bound = histogram_edges(self.kernel)
        return {
            "sentence": self.sentence,
            "asked": self.query,
            "axis": {"name": found.axis.name, "title": found.axis.title, "meaning": found.axis.meaning},
            "models": found.models,
            "models_not_stated": found.unstated,
            "filters": found.filters,
            "groups_not_shown": [{"name": name, "models": models} for name, models in found.others],
            "groups": [group.as_json() for group in self.groups],
            "histogram_edges": bound,
            "density_edges": np.linspace(bound[0], bound[-1], DENSITY_BINS + 1),
            "drift": [
                {**cell.__dict__, "p_value": self.intervals.p_value(cell.a, cell.b), "is_beyond": cell.is_beyond}
                for cell in self.cells
            ],
            "intervals": self.intervals.as_json(),
            "conventions": dict(self.conventions),
            "stamp": found.stamp,
        }


def _drift_chart(db: FilterDb) -> Figure:
    return charts.divergence_heat_map([group.name for group in db.groups], db.cells)


def _ridges_chart(db: FilterDb) -> Figure:
    height, width = db.kernel
    # Lowest frequencies first where there are more than nine: the corner that a 3 × 3 kernel has.
    places = [(row, column) for row in range(min(height, 3)) for column in range(min(width, 3))]
    taps = [row * width + column for row, column in places]
    edges = [float(edge) for edge in histogram_edges(db.kernel)]
    return charts.coefficient_ridges(
        [
            GroupCoefficients(
                group=group.name,
                names=[f"({row}, {column})" for row, column in places],
                edges=edges,
                shares=group.group.histograms[taps].tolist(),
            )
            for group in db.groups
        ]
    )


def _variance_chart(db: FilterDb) -> Figure:
    return charts.variance_by_group(
        [
            GroupVariance(
                group=group.name,
                ratios=group.group.basis.explained_variance_ratio.tolist(),
                components=group.group.basis.components.tolist(),
            )
            for group in db.groups
        ]
    )


_CHARTS: dict[str, Callable[[FilterDb], Figure]] = {
    "drift": _drift_chart,
    "ridges": _ridges_chart,
    "variance": _variance_chart,
}
