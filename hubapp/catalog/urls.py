"""Addresses of the room. What changes a model has its own prefix, for a model may be called "author/delete"."""

from django.urls import URLPattern, path

import hubapp.ui.converters  # noqa: F401 (registers "name")
from hubapp.catalog.views import datasets, model, model_list, sources
from hubapp.ui.pages import page_paths

app_name = "catalog"
urlpatterns: list[URLPattern] = [
    *page_paths("models/", model_list.model_list_page, name="model_list"),
    *page_paths("models/<name:slug>/", model.model_page, name="model_detail"),
    path("change/models/<str:action>/<name:slug>/", model.model_change, name="model_change"),
    *page_paths("datasets/", datasets.dataset_list_page, name="dataset_list"),
    *page_paths("datasets/<slug:slug>/", datasets.dataset_page, name="dataset_detail"),
    path("change/datasets/<str:action>/<slug:slug>/", datasets.dataset_change, name="dataset_change"),
    *page_paths("sources/", sources.source_list_page, name="source_list"),
]
