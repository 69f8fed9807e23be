"""Django's configuration of the room."""

from django.apps import AppConfig


class BringConfig(AppConfig):
    """From a person's data to the models that suit it."""

    name = "hubapp.bring"
