"""Django's configuration of the room."""

from django.apps import AppConfig
from django.core.checks import register

from hubapp.execution.checks import check_jobs


class ExecutionConfig(AppConfig):
    """How workers run."""

    name = "hubapp.execution"

    def ready(self) -> None:
        """Check the intervals at each start."""
        register(check_jobs)
