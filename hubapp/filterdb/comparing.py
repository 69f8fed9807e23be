"""Filters of two to six models side by side: their layers over depth, and the drift between the models."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from django.http import HttpRequest

from hubapp.catalog.models import Model
from hubapp.charts.filter_db import DriftCell
from hubapp.filterdb.layers import STORED, VIEWS, kernel_key, kernels_of
from hubapp.filterdb.samples import layer_groups, model_sample
from hubapp.results.comparison import models_compared, outcomes_compared, slugs_compared
from hubapp.results.models import Outcome
from hubapp.results.reports import Row, chosen
from hubapp.results.selectors import table_rows
from hubapp.results.side_by_side import LayerNumber, Missing, SideBySide, missing_of, side_by_side
from hubapp.ui.words import number
from workers.statistics.drift_intervals import drift_estimates

DRAWS = 1000
DEGENERATE = frozenset({"random", "sparse", "redundant"})
NOTHING = "None of these models has layers of this kernel size that were looked at."
NO_NULL = (
    "Each group is one model here, so its layers (by tenths of the depth) were drawn for the intervals, and no null "
    "exists: nothing says which drift chance alone would give."
)
NUMBERS = (
    LayerNumber(
        key="variance_entropy_normalised",
        title="Variance entropy / threshold",
        meaning="How evenly the filters of a layer vary, over the threshold of random layers (1, dotted): above it a "
        "layer cannot be told from noise.",
        nothing=NOTHING,
        digits=2,
        marks=(1.0,),
    ),
    LayerNumber(
        key="sparsity",
        title="Sparsity",
        meaning="Share of filters whose weights all lie below 1% of the layer's largest.",
        nothing=NOTHING,
        tickformat=".0%",
    ),
    LayerNumber(
        key="orthogonality",
        title="Orthogonality",
        meaning="1 where all output channels of a layer are orthogonal, 0 where all are parallel.",
        nothing=NOTHING,
    ),
)


@dataclass(frozen=True, kw_only=True)
class FilterComparison:
    """The compared models under one kernel size and one view.

    missing           models that were not looked at
    layers            of each model; no rows where it was not looked at or has no such layer
    kernels           that one of the models has, 3 × 3 first
    cells             the drift of every two models that have such filters
    """

    models: list[Model]
    missing: list[Missing]
    views: list[str]
    view: str
    kernels: list[tuple[str, str]]
    kernel: str
    layers: list[list[Row]]
    table: SideBySide
    cells: list[DriftCell]

    @property
    def names(self) -> list[str]:
        """Their titles."""
        return [model.title for model in self.models]

    @property
    def has_layers(self) -> bool:
        """Whether one of them has layers to show."""
        return any(self.layers)

    @property
    def view_words(self) -> str:
        """The view in words."""
        return VIEWS[self.view]

    @property
    def sentence(self) -> str:
        """What was found: which two lie closest, which furthest, and how many layers of each are degenerate."""
        counts = [
            f"{sum(row['verdict'] in DEGENERATE for row in rows)} of {len(rows)} in {model.title}"
            for model, rows in zip(self.models, self.layers, strict=True)
            if rows
        ]
        if not counts:
            return NOTHING
        return f"{self._drift_words()}Random, sparse or redundant layers: {', '.join(counts)}."

    def _drift_words(self) -> str:
        known = sorted((cell for cell in self.cells if cell.value is not None), key=lambda cell: cell.value or 0.0)
        if not known:
            return ""
        near, far = known[0], known[-1]
        if near is far:
            return f"{near.a} and {near.b} lie {_estimate(near)} apart. "
        return (
            f"{near.a} and {near.b} lie closest (drift {_estimate(near)}), {far.a} and {far.b} furthest apart "
            f"({_estimate(far)}). "
        )


def _estimate(cell: DriftCell) -> str:
    ends = "" if cell.low is None or cell.high is None else f" [{number(cell.low, 3)}, {number(cell.high, 3)}]"
    return f"{number(cell.value, 3)}{ends}"


def filter_comparison(request: HttpRequest, *, with_drift: bool = True) -> FilterComparison:
    """The models that the address names, by `?kernel=` and `?view=`. Raises UserError as `models_compared` does."""
    models = models_compared(slugs_compared(request.GET), user=request.user)
    outcomes = outcomes_compared(models, "filterdb", user=request.user, with_tables=True)
    rows = [
        [{"view": STORED, "kernel": "3×3", **row} for row in table_rows(outcome, "layers")] if outcome else []
        for outcome in outcomes
    ]
    every = [row for of_model in rows for row in of_model]
    views = [view for view in VIEWS if any(row["view"] == view for row in every)] or [STORED]
    view = chosen(request.GET, "view", views, or_else=views[0])
    kernels = [(one.key, one.title) for one in kernels_of([row for row in every if row["view"] == STORED])]
    kernel = chosen(request.GET, "kernel", [key for key, _ in kernels], or_else=kernels[0][0] if kernels else "3x3")
    layers = [[row for row in in_view(of_model, view) if kernel_key(row["kernel"]) == kernel] for of_model in rows]
    cells = drift_cells(models, outcomes, kernel=kernel, view=view) if with_drift else []
    return FilterComparison(
        models=models,
        missing=missing_of(models, outcomes, "filterdb") if with_drift else [],
        views=views,
        view=view,
        kernels=kernels,
        kernel=kernel,
        layers=layers,
        table=side_by_side(layers, NUMBERS, query=request.GET),
        cells=cells,
    )


def in_view(rows: list[Row], view: str) -> list[Row]:
    """A model's rows in a view: where the folded one is asked for, layers without batch norm stand as stored."""
    own = {row["layer"]: row for row in rows if row["view"] == view}
    return [own.get(row["layer"], row) for row in rows if row["view"] == STORED]


def drift_cells(models: list[Model], outcomes: list[Outcome | None], *, kernel: str, view: str) -> list[DriftCell]:
    """The drift between every two of the models that have filters of this kernel size. One query."""
    groups = layer_groups([outcome for outcome in outcomes if outcome is not None], kernel=kernel, view=view)
    named = names_of(models)
    samples = [
        model_sample(name, model.pk, groups[outcome.pk])
        for name, model, outcome in zip(named, models, outcomes, strict=True)
        if outcome is not None and groups.get(outcome.pk)
    ]
    return [
        DriftCell(
            a=samples[i].name,
            b=samples[j].name,
            value=found.value,
            low=found.low,
            high=found.high,
            null=found.null,
            note=found.words,
        )
        for (i, j), found in drift_estimates(samples, draws=DRAWS).items()
    ]


def names_of(models: list[Model]) -> list[str]:
    """The models' titles, with their slugs where two have the same."""
    counts = Counter(model.title for model in models)
    return [model.title if counts[model.title] == 1 else f"{model.title} ({model.slug})" for model in models]
