"""Addresses of the way from data to a model."""

from __future__ import annotations

from django.urls import path

from hubapp.bring import views
from hubapp.ui.pages import page_paths

app_name = "bring"
urlpatterns = [
    *page_paths("bring/", views.start, name="start"),
    path("bring/run", views.run, name="run"),
    *page_paths("bring/<slug:slug>/", views.results, name="results"),
    path("bring/<slug:slug>/part", views.results_part, name="results_part"),
    path("bring/<slug:slug>/charts/<slug:name>.json", views.results_chart, name="results_chart"),
    path("bring/<slug:slug>/cancel", views.cancel, name="cancel"),
    path("bring/<slug:slug>/few-shot", views.fewshot, name="fewshot"),
]
