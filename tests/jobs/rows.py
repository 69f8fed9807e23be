"""Rows of the catalogue that tests of jobs need."""

from __future__ import annotations

from hubapp.catalog.models import Dataset, DatasetRevision, Model, Revision, Source
from workers.kit import digest_of


def make_revision(slug: str = "tiny-net", *, modality: str = "image") -> Revision:
    """A model with one revision."""
    source, _ = Source.objects.get_or_create(kind="folder", location="tests", defaults={"title": "Tests"})
    model = Model.objects.create(slug=slug, title=slug.replace("-", " ").title(), modality=modality, source=source)
    revision = Revision.objects.create(model=model, digest=digest_of(slug))
    model.current_revision = revision
    model.save()
    return revision


def make_dataset(slug: str = "tiny-set", *, modality: str = "image") -> DatasetRevision:
    """A data set with one revision."""
    dataset = Dataset.objects.create(slug=slug, title=slug.replace("-", " ").title(), modality=modality)
    revision = DatasetRevision.objects.create(dataset=dataset, digest=digest_of(slug), source="tests", rows=10)
    dataset.current_revision = revision
    dataset.save()
    return revision
