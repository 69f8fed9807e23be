"""Django's configuration of the room."""

from django.apps import AppConfig


class JobsConfig(AppConfig):
    """Job and schedule rows, the state machine, queue pages."""

    name = "hubapp.jobs"
