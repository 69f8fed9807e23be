"""Django's configuration of the room."""

from django.apps import AppConfig


class FilterdbConfig(AppConfig):
    """The filter DB: every model's filters, and what groups of them have in common."""

    name = "hubapp.filterdb"
