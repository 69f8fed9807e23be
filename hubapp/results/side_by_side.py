"""One number of the layers of two to six models side by side: by layer where the names agree, else by depth."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from django.core.paginator import Page, Paginator
from django.db.models import prefetch_related_objects
from django.http import QueryDict

from hubapp.catalog.models import Model
from hubapp.charts.depth import DepthLine, over_depth
from hubapp.charts.frame import Figure
from hubapp.jobs.services import misfit
from hubapp.results.models import Outcome
from hubapp.results.reports import ROWS_A_PAGE, Row, chosen
from workers.kit import ANALYSES

DECILES = 10


@dataclass(frozen=True, kw_only=True)
class LayerNumber:
    """A number of a layer that models are compared by.

    key      of the layer rows
    title    heading and axis
    meaning  one sentence
    marks    levels that mean something, drawn as lines
    nothing  what is said where no model has it
    """

    key: str
    title: str
    meaning: str
    nothing: str
    digits: int = 3
    is_log: bool = False
    marks: tuple[float, ...] = ()
    tickformat: str = ""

    @property
    def slug(self) -> str:
        """Its name in the address of its chart."""
        return self.key.replace("_", "-")


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row of the table: a layer, or a tenth of the depth, with each model's value (None where it has none)."""

    name: str
    values: list[float | None]


@dataclass(frozen=True, kw_only=True)
class SideBySide:
    """The layers of models under one number.

    number, numbers  the chosen one and those that there are
    is_by_layer      whether rows are layers that all models have; else they are tenths of the depth, with means
    shown            the page of rows that the address names
    """

    number: LayerNumber
    numbers: Sequence[LayerNumber]
    is_by_layer: bool
    lines: list[Line]
    shown: Page[Line]

    @property
    def sentence(self) -> str:
        """What a row is."""
        if self.is_by_layer:
            return "The layers have the same names in all of these models, so each row is one layer."
        return "The models' layers have different names, so each row is a tenth of the depth: means over its layers."


def side_by_side(models: Sequence[Sequence[Row]], numbers: Sequence[LayerNumber], *, query: QueryDict) -> SideBySide:
    """The layers of each model (none where it was not analysed) under the number that `?number=` names."""
    key = chosen(query, "number", [one.key for one in numbers], or_else=numbers[0].key)
    number = next(one for one in numbers if one.key == key)
    names = [{str(row["layer"]) for row in rows} for rows in models if rows]
    is_by_layer = len(names) > 1 and all(one == names[0] for one in names)
    lines = _by_layer(models, key) if is_by_layer else _by_decile(models, key)
    return SideBySide(
        number=number,
        numbers=numbers,
        is_by_layer=is_by_layer,
        lines=lines,
        shown=Paginator(lines, ROWS_A_PAGE).get_page(query.get("page")),
    )


def _by_layer(models: Sequence[Sequence[Row]], key: str) -> list[Line]:
    values = [{str(row["layer"]): row.get(key) for row in rows} for rows in models]
    first = next(rows for rows in models if rows)
    return [Line(name=str(row["layer"]), values=[one.get(str(row["layer"])) for one in values]) for row in first]


def _by_decile(models: Sequence[Sequence[Row]], key: str) -> list[Line]:
    means: list[dict[int, float]] = []
    for rows in models:
        held: dict[int, list[float]] = defaultdict(list)
        for row in rows:
            if row.get(key) is not None and row.get("depth") is not None:
                held[_decile(row["depth"])].append(row[key])
        means.append({decile: math.fsum(values) / len(values) for decile, values in held.items()})
    return [
        Line(name=f"{decile / DECILES:.1f} to {(decile + 1) / DECILES:.1f}", values=[one.get(decile) for one in means])
        for decile in range(DECILES)
        if any(decile in one for one in means)
    ]


def _decile(depth: float) -> int:
    """The paper's cut: [0, 0.1], (0.1, 0.2], …, (0.9, 1]."""
    return min(max(math.ceil(round(depth * DECILES, 9)) - 1, 0), DECILES - 1)


def depth_figure(names: Sequence[str], models: Sequence[Sequence[Row]], number: LayerNumber) -> Figure:
    """A number over depth, a line for each model."""
    lines = [
        DepthLine(name=name, points=[(str(row["layer"]), row["depth"], row.get(number.key)) for row in rows])
        for name, rows in zip(names, models, strict=True)
        if rows
    ]
    return over_depth(
        lines,
        title=number.title,
        nothing=number.nothing,
        is_log=number.is_log,
        marks=number.marks,
        tickformat=number.tickformat,
    )


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A compared model without an outcome; `reason` says why the analysis cannot run on it, "" where it can."""

    model: Model
    reason: str


def missing_of(models: Sequence[Model], outcomes: Sequence[Outcome | None], kind: str) -> list[Missing]:
    """The compared models that have no outcome of an analysis. At most two queries."""
    without = [model for model, outcome in zip(models, outcomes, strict=True) if outcome is None]
    revisions = []
    for model in without:
        if model.current_revision is not None:
            model.current_revision.model = model
            revisions.append(model.current_revision)
    prefetch_related_objects(revisions, "files", "tensors")
    entry = ANALYSES.get(kind)
    return [Missing(model=model, reason=misfit(entry, model.current_revision, None) or "") for model in without]
