"""Addresses for programs."""

from django.urls import path

from hubapp.api import webhooks

app_name = "api"
urlpatterns = [path("webhooks/hub/<int:pk>", webhooks.hub_webhook, name="hub_webhook")]
