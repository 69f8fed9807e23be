"""Parts of addresses."""

from __future__ import annotations

from django.urls import register_converter
from django.urls.converters import StringConverter


class NameConverter(StringConverter):
    """The name of a model: one part, or two as on a hub ("author/name")."""

    regex = r"[\w.~-]+(?:/[\w.~-]+)?"


register_converter(NameConverter, "name")
