"""Addresses of the room. What changes a model has its own prefix, for a model may be called "author/delete"."""

from django.urls import URLPattern, path

import hubapp.catalog.dataset_names
import hubapp.ui.converters  # noqa: F401 (registers "name")
from hubapp.catalog.views import datasets, lineage, model, model_list, papers, searches, sources
from hubapp.ui.pages import page_paths

app_name = "catalog"
urlpatterns: list[URLPattern] = [
    *page_paths("models/", model_list.model_list_page, name="model_list"),
    path("models.csv", model_list.model_table, name="model_table"),
    path("models.atom", model_list.model_feed, name="model_feed"),
    *page_paths("searches/", searches.search_list_page, name="search_list"),
    path("searches/notices", searches.search_notices, name="search_notices"),
    path("change/searches/save/", searches.search_save, name="search_save"),
    path("change/searches/<str:action>/<int:pk>/", searches.search_change, name="search_change"),
    *page_paths("models/<name:slug>/", model.model_page, name="model_detail"),
    path("charts/models/<str:what>/<name:slug>.json", model.model_chart, name="model_chart"),
    path("change/models/<str:action>/<name:slug>/", model.model_change, name="model_change"),
    *page_paths("lineage/", lineage.lineage_page, name="lineage"),
    *page_paths("papers/", papers.paper_list_page, name="paper_list"),
    *page_paths("papers/<name:arxiv_id>/", papers.paper_page, name="paper_detail"),
    *page_paths("datasets/", datasets.dataset_list_page, name="dataset_list"),
    *page_paths("datasets/<dataset:slug>/", datasets.dataset_page, name="dataset_detail"),
    path("change/datasets/<str:action>/<slug:slug>/", datasets.dataset_change, name="dataset_change"),
    *page_paths("sources/", sources.source_list_page, name="source_list"),
    *page_paths("sources/<int:pk>/", sources.source_page, name="source_detail"),
    path("sources/<int:pk>/progress", sources.source_progress, name="source_progress"),
    path("change/sources/<str:action>/<int:pk>/", sources.source_change, name="source_change"),
]
