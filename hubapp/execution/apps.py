"""Django's configuration of the room."""

from django.apps import AppConfig


class ExecutionConfig(AppConfig):
    """How workers run."""

    name = "hubapp.execution"
