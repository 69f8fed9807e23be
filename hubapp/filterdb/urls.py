"""Addresses of the filter DB: the page of all models, and its charts."""

from __future__ import annotations

from django.urls import path

from hubapp.filterdb.views import db
from hubapp.ui.pages import page_paths

app_name = "filterdb"
urlpatterns = [
    *page_paths("filters/", db.filter_db, name="filter_db"),
    # Not below filters/: there every further part is the name of a model.
    path("filter-charts/<slug:name>.json", db.filter_db_chart, name="filter_db_chart"),
]
