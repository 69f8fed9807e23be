"""Django's configuration of the room."""

from django.apps import AppConfig


class FewshotConfig(AppConfig):
    """What a few labels buy, in pages."""

    name = "hubapp.fewshot"
