"""The one error of the embedded services."""

from __future__ import annotations


class EmbeddedError(Exception):
    """An embedded service cannot run; its text is a sentence that says what to do."""
