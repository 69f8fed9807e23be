"""Django's configuration of the room."""

from django.apps import AppConfig


class ResultsConfig(AppConfig):
    """Stored outcomes, rankings, comparison."""

    name = "hubapp.results"
