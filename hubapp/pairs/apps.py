"""Django's configuration of the room."""

from django.apps import AppConfig


class PairsConfig(AppConfig):
    """Pairs and sets of models on one data set."""

    name = "hubapp.pairs"
