"""Addresses for programs."""

from django.urls import path

import hubapp.ui.converters  # noqa: F401 (registers "name")
from hubapp.api import refresh, webhooks

app_name = "api"
urlpatterns = [
    path("webhooks/hub/<int:pk>", webhooks.hub_webhook, name="hub_webhook"),
    path("refresh/<name:slug>", refresh.model_refresh, name="model_refresh"),
]
