"""Charts of the room from what its pages hold."""

from __future__ import annotations

from hubapp import charts
from hubapp.charts import Figure
from hubapp.fewshot.curves import Curves
from hubapp.results.figures import shot_point


def curves_figure(curves: Curves) -> Figure:
    """One metric under one head for several models."""
    series = [
        charts.Series(name=curve.model.title, points=tuple(shot_point(point) for point in curve.points))
        for curve in curves.curves
    ]
    return charts.fewshot_curves(series, title=curves.metrics[curves.metric])
