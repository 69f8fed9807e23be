"""Addresses of the weight reports, of differences, and of their part in a comparison."""

from __future__ import annotations

from django.urls import path

import hubapp.ui.converters  # noqa: F401 (registers "name")
from hubapp.ui.pages import page_paths
from hubapp.weights import views

app_name = "weights"
urlpatterns = [
    *page_paths("weights/<name:slug>/", views.weight_report, name="weight_report"),
    # Not below weights/: there every further part is the name of a model.
    *page_paths("weight-differences/<name:slug>/", views.weight_difference, name="weight_difference"),
    path("weight-reports/<uuid:pk>/<slug:name>.json", views.weight_chart, name="weight_chart"),
    *page_paths("compare/weights/", views.compare_weights, name="compare_weights"),
    path("compare/weights/charts/<slug:name>.json", views.compare_weights_chart, name="compare_weights_chart"),
]
