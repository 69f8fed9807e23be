"""Refreshing single models of a hub: files, card, tensors, safety and results of the newest commit."""

from hubapp.catalog.refreshing.marks import is_stub, marked_sources, refresh_request, refresh_source
from hubapp.catalog.refreshing.services import Refreshed, Refreshes, model_refresh, source_refresh, source_refresh_run

__all__ = [
    "Refreshed",
    "Refreshes",
    "is_stub",
    "marked_sources",
    "model_refresh",
    "refresh_request",
    "refresh_source",
    "source_refresh",
    "source_refresh_run",
]
