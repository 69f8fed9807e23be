"""Addresses of pairs and sets of models."""

from __future__ import annotations

from django.urls import URLPattern

app_name = "pairs"
urlpatterns: list[URLPattern] = []
