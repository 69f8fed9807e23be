"""Charts: pure functions, rows in, plotly figure out. No database, no other web room."""

from hubapp.charts.fewshot import fewshot_curves
from hubapp.charts.filter_db import (
    DriftCell,
    GroupCoefficients,
    GroupVariance,
    coefficient_ridges,
    divergence_heat_map,
    heat_map_height,
    ridges_height,
    variance_by_group,
)
from hubapp.charts.filters import (
    basis_filters,
    coefficient_histograms,
    explained_variance,
    layer_health,
    sparsity_over_depth,
)
from hubapp.charts.frame import Figure
from hubapp.charts.rows import BinRow, ComponentRow, Estimate, LayerRow, Pair, Series, ShotPoint
from hubapp.charts.scores import comparison, ranking, score_scatter
from hubapp.charts.thumbnails import density_thumbnail, filter_thumbnail

__all__ = [
    "BinRow",
    "ComponentRow",
    "DriftCell",
    "Estimate",
    "Figure",
    "GroupCoefficients",
    "GroupVariance",
    "LayerRow",
    "Pair",
    "Series",
    "ShotPoint",
    "basis_filters",
    "coefficient_histograms",
    "coefficient_ridges",
    "comparison",
    "density_thumbnail",
    "divergence_heat_map",
    "explained_variance",
    "fewshot_curves",
    "filter_thumbnail",
    "heat_map_height",
    "layer_health",
    "ranking",
    "ridges_height",
    "score_scatter",
    "sparsity_over_depth",
    "variance_by_group",
]
