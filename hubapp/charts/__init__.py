"""Charts: pure functions, rows in, plotly figure out. No database, no other web room."""

from hubapp.charts.filters import (
    basis_filters,
    coefficient_histograms,
    explained_variance,
    layer_health,
    sparsity_over_depth,
)
from hubapp.charts.frame import Figure
from hubapp.charts.rows import BinRow, ComponentRow, Estimate, LayerRow, Pair, Series, ShotPoint
from hubapp.charts.scores import comparison, fewshot_curves, ranking, score_scatter

__all__ = [
    "BinRow",
    "ComponentRow",
    "Estimate",
    "Figure",
    "LayerRow",
    "Pair",
    "Series",
    "ShotPoint",
    "basis_filters",
    "coefficient_histograms",
    "comparison",
    "explained_variance",
    "fewshot_curves",
    "layer_health",
    "ranking",
    "score_scatter",
    "sparsity_over_depth",
]
