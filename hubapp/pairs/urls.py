"""Addresses of pairs and sets of models."""

from __future__ import annotations

from django.urls import path

from hubapp.pairs import views, views_sets
from hubapp.ui.pages import page_paths

app_name = "pairs"
urlpatterns = [
    *page_paths("pairs/", views.index, name="index"),
    path("pairs/charts/<slug:name>.json", views.pairs_chart, name="pairs_chart"),
    *page_paths("pairs/alignment/", views_sets.alignment, name="alignment"),
    path("pairs/alignment/bring", views_sets.alignment_bring, name="alignment_bring"),
    *page_paths("pairs/compatibility/", views_sets.compatibility, name="compatibility"),
    path("pairs/compatibility/chart.json", views_sets.compatibility_chart, name="compatibility_chart"),
    *page_paths("pairs/robustness/", views_sets.robustness_page, name="robustness"),
    path("pairs/robustness/chart.json", views_sets.robustness_chart, name="robustness_chart"),
    *page_paths("pairs/sources/", views_sets.sources, name="sources"),
    *page_paths("compare/mistakes/", views.compare_mistakes, name="compare_mistakes"),
]
