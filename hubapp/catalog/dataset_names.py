"""The names of data sets in addresses: what a title gives, and the one that is taken by a page."""

from __future__ import annotations

from django.urls import register_converter
from django.urls.converters import SlugConverter
from django.utils.text import slugify

from hubapp.catalog.models import Dataset

TAKEN = frozenset({"new"})
LONGEST = 80


class DatasetNameConverter(SlugConverter):
    """The name of a data set; "new" is the page for new ones."""

    regex = r"(?!new(?:[./]|$))[-a-zA-Z0-9_]+"


register_converter(DatasetNameConverter, "dataset")


def free_slug(title: str) -> str:
    """A name for a new data set of that title that no other one has."""
    stem = slugify(title)[:LONGEST].strip("-_") or "data-set"
    known = set(Dataset.objects.filter(slug__startswith=stem).values_list("slug", flat=True)) | TAKEN
    if stem not in known:
        return stem
    number = 2
    while f"{stem}-{number}" in known:
        number += 1
    return f"{stem}-{number}"
