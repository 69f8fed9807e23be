"""Django's configuration of the room."""

from django.apps import AppConfig


class CatalogConfig(AppConfig):
    """Models and data sets as catalogued things."""

    name = "hubapp.catalog"
