"""Addresses of the filter DB: the page of all models, and its charts."""

from __future__ import annotations

from django.urls import path

import hubapp.ui.converters  # noqa: F401 (registers "name")
from hubapp.filterdb.views import compare, data, db, model
from hubapp.ui.pages import page_paths

app_name = "filterdb"
urlpatterns = [
    *page_paths("filters/", db.filter_db, name="filter_db"),
    # Not below filters/: there every further part is the name of a model.
    path("filter-charts/<slug:name>.json", db.filter_db_chart, name="filter_db_chart"),
    path("filters/layers.parquet", data.all_layers, name="all_layers"),
    path("filters/<name:slug>/layers.parquet", data.model_layers, name="model_layers"),
    path("filter-data/schema.json", data.layers_schema, name="layers_schema"),
    *page_paths("filters/<name:slug>/", model.model_filters, name="model_filters"),
    path("filter-reports/<uuid:pk>/<slug:name>.json", model.model_chart, name="model_chart"),
    *page_paths("filter-positions/<name:slug>/", model.model_position, name="model_position"),
    path("filter-position-charts/<name:slug>.json", model.model_position_chart, name="model_position_chart"),
    *page_paths("compare/filters/", compare.compare_filters, name="compare_filters"),
    path("compare/filters/charts/<slug:name>.json", compare.compare_filters_chart, name="compare_filters_chart"),
]
