"""Addresses of few-shot evaluations."""

from __future__ import annotations

from django.urls import path

from hubapp.fewshot import exports_urls, manifests_urls, views, views_advice, views_predictions, views_suite
from hubapp.ui.pages import page_paths

app_name = "fewshot"
urlpatterns = [
    *page_paths("datasets/<slug:slug>/fewshot/", views.curves, name="curves"),
    path("datasets/<slug:slug>/fewshot/chart.json", views.curves_chart, name="curves_chart"),
    *page_paths("datasets/<slug:slug>/fewshot/compare/", views.compare, name="compare"),
    path("datasets/<slug:slug>/fewshot/compare/chart.json", views.compare_chart, name="compare_chart"),
    *page_paths("datasets/<slug:slug>/fewshot/classes/", views_predictions.classes, name="classes"),
    path("datasets/<slug:slug>/fewshot/classes/chart.json", views_predictions.classes_chart, name="classes_chart"),
    *page_paths("datasets/<slug:slug>/fewshot/calibration/", views_predictions.calibration, name="calibration"),
    path(
        "datasets/<slug:slug>/fewshot/calibration/chart.json",
        views_predictions.calibration_chart,
        name="calibration_chart",
    ),
    *page_paths("datasets/<slug:slug>/fewshot/confusion/", views_predictions.confusion, name="confusion"),
    path(
        "datasets/<slug:slug>/fewshot/confusion/chart.json", views_predictions.confusion_chart, name="confusion_chart"
    ),
    *page_paths("datasets/<slug:slug>/fewshot/advice/", views_advice.advice, name="advice"),
    path("datasets/<slug:slug>/fewshot/advice/chart.json", views_advice.advice_chart, name="advice_chart"),
    *page_paths("fewshot/suite/", views_suite.suite, name="suite"),
    path("fewshot/suite/chart.json", views_suite.suite_chart, name="suite_chart"),
    *exports_urls.urlpatterns,
    *manifests_urls.urlpatterns,
]
