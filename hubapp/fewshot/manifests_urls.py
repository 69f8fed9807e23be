"""Addresses of manifests."""

from __future__ import annotations

from django.urls import path

from hubapp.fewshot import manifests_views as views
from hubapp.ui.pages import page_paths

urlpatterns = [
    *page_paths("fewshot/manifests/", views.manifest_list, name="manifests"),
    path("fewshot/manifests/import/", views.manifest_import, name="manifest_import"),
    path("fewshot/manifests/choices/", views.manifest_choices, name="manifest_choices"),
    *page_paths("fewshot/manifests/<slug:digest>/", views.manifest_detail, name="manifest"),
    path("fewshot/manifests/<slug:digest>/file.json", views.manifest_file, name="manifest_file"),
    path("fewshot/manifests/<slug:digest>/use/", views.manifest_use, name="manifest_use"),
]
