"""Django's configuration of the room."""

from django.apps import AppConfig


class UiConfig(AppConfig):
    """Templates' tags, forms, tables and the page that shows every component."""

    name = "hubapp.ui"
