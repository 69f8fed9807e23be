"""Data sets as catalogued things."""

from __future__ import annotations

from django.db import models
from django.urls import reverse

from hubapp.catalog.models.model import Catalogued


class Dataset(Catalogued):
    """A labelled data set."""

    task = models.CharField(max_length=60, default="classification")
    current_revision = models.ForeignKey(
        "DatasetRevision", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        ordering = ["slug"]
        constraints = [models.UniqueConstraint(fields=["slug"], name="dataset_slug_once")]

    def get_absolute_url(self) -> str:
        """The data set's page."""
        return reverse("catalog:dataset_detail", args=[self.slug])


class DatasetRevision(models.Model):
    """One immutable state of a data set: its content and the sample that is drawn from it."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="revisions")
    digest = models.CharField(max_length=64)
    source = models.CharField(max_length=60)  # name in workers.kit.DATASET_SOURCES
    location = models.CharField(max_length=1000, blank=True)
    config = models.JSONField(default=dict, blank=True)
    rows = models.PositiveIntegerField(default=0)
    classes = models.JSONField(default=list, blank=True)  # class names in label order
    profile = models.JSONField(default=dict, blank=True)  # of the job "dataset_profile": counts per class, warnings
    change = models.JSONField(default=dict, blank=True)  # against the revision before it: rows by content, classes
    ids_location = models.CharField(max_length=200, blank=True)  # content ids of its rows, below FILES_DIR
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [models.UniqueConstraint(fields=["dataset", "digest"], name="dataset_revision_once")]

    def __str__(self) -> str:
        return f"{self.dataset.slug}@{self.digest[:8]}"
