"""Addresses of what few-shot evaluations can be taken away as."""

from __future__ import annotations

from django.urls import path

import hubapp.ui.converters  # noqa: F401 (registers "name")
from hubapp.fewshot import exports_views

urlpatterns = [
    path("datasets/<slug:slug>/fewshot/scores.csv", exports_views.scores_csv, name="scores_csv"),
    path("datasets/<slug:slug>/fewshot/scores.json", exports_views.scores_json, name="scores_json"),
    path("fewshot/cards/<name:slug>/model-index.md", exports_views.model_index, name="model_index"),
    path("fewshot/cards/<name:slug>/eval_results/<slug:dataset>.yaml", exports_views.eval_results, name="eval_results"),
]
