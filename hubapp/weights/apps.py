"""Django's configuration of the room."""

from django.apps import AppConfig


class WeightsConfig(AppConfig):
    """Data-free reports of weights: spectra, similarity of layers, differences."""

    name = "hubapp.weights"
