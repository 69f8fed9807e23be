"""Django's configuration of the room."""

from django.apps import AppConfig


class InsightsConfig(AppConfig):
    """The front page."""

    name = "hubapp.insights"
