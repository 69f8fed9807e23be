"""Addresses of few-shot evaluations."""

from __future__ import annotations

from django.urls import path

from hubapp.fewshot import views
from hubapp.ui.pages import page_paths

app_name = "fewshot"
urlpatterns = [
    *page_paths("datasets/<slug:slug>/fewshot/", views.curves, name="curves"),
    path("datasets/<slug:slug>/fewshot/chart.json", views.curves_chart, name="curves_chart"),
]
