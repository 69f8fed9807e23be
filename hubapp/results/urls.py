"""Addresses of results."""

from django.urls import path

import hubapp.ui.converters  # noqa: F401 (registers "name")
from hubapp.results import views, views_evidence, views_features
from hubapp.ui.pages import page_paths

app_name = "results"
urlpatterns = [
    *page_paths("outcomes/<uuid:pk>/", views.outcome_detail, name="outcome_detail"),
    path("outcomes/<uuid:pk>/change/<str:change>/", views.outcome_change, name="outcome_change"),
    path("outcomes/<uuid:pk>/charts/<slug:name>.json", views.outcome_chart, name="outcome_chart"),
    path("outcomes/<uuid:pk>/files/<str:name>", views.artifact_download, name="artifact_download"),
    *page_paths("scores/<name:slug>/", views.model_scores, name="model_scores"),
    *page_paths("datasets/<slug:slug>/ranking/", views.ranking, name="ranking"),
    path("datasets/<slug:slug>/ranking/chart.json", views.ranking_chart, name="ranking_chart"),
    *page_paths("datasets/<slug:slug>/ranking/evidence/", views_evidence.ranking_evidence, name="ranking_evidence"),
    *page_paths("evidence/", views_evidence.evidence, name="evidence"),
    path("evidence.csv", views_evidence.evidence_csv, name="evidence_csv"),
    *page_paths("evidence/metrics/<slug:name>/", views_evidence.evidence_metric, name="evidence_metric"),
    *page_paths("compare/", views.compare, name="compare"),
    *page_paths("features/", views_features.features, name="features"),
    path("features/<slug:key>/delete/", views_features.features_delete, name="features_delete"),
]
