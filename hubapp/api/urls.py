"""Addresses for programs."""

from django.urls import path

import hubapp.ui.converters  # noqa: F401 (registers "name")
from hubapp.api import refresh, webhooks, weights

app_name = "api"
urlpatterns = [
    path("webhooks/hub/<int:pk>", webhooks.hub_webhook, name="hub_webhook"),
    path("refresh/<name:slug>", refresh.model_refresh, name="model_refresh"),
    path("weights/fetch/<name:slug>", weights.weights_fetch, name="weights_fetch"),
    path("weights/remove/<name:slug>", weights.weights_drop, name="weights_remove"),
]
