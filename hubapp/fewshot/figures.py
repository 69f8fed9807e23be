"""Charts of the room from what its pages hold."""

from __future__ import annotations

from hubapp import charts
from hubapp.charts import Figure
from hubapp.charts.fewshot import lead_of
from hubapp.fewshot.comparing import Comparison
from hubapp.fewshot.curves import Cell, Curves
from workers.statistics.metric_names import METRIC_TITLES


def curves_figure(curves: Curves) -> Figure:
    """One metric for several models under several heads: a colour a model, a dash a head."""
    colours = {slug: place for place, slug in enumerate(curves.shown_models)}
    dashes = {head: place for place, head in enumerate(curves.shown_heads)}
    is_alone = len(dashes) == 1  # dashes then tell models apart
    series = [
        charts.Series(
            name=curve.title,
            points=tuple(_point(curves.cells[curve.key, point.shots]) for point in curve.points),
            colour=colours[curve.model.slug],
            dash=colours[curve.model.slug] if is_alone else dashes[curve.head],
        )
        for curve in curves.drawn
    ]
    return charts.fewshot_curves(series, title=METRIC_TITLES[curves.metric])


def _point(cell: Cell) -> charts.ShotPoint:
    score = cell.score
    return charts.ShotPoint(
        shots=score.shots, value=score.value, low=cell.low, high=cell.high, replicates=tuple(score.replicates)
    )


def compare_figure(found: Comparison) -> Figure:
    """The leader's score less that of each other."""
    rows = [
        charts.Estimate(
            name=one.curve.title,
            value=one.behind.difference,
            low=one.behind.low,
            high=one.behind.high,
            group=one.verdict,
        )
        for one in found.standings
        if one.behind is not None
    ]
    return lead_of(rows, title="Leader less the other")
