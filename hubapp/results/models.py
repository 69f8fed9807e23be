"""Stored outcomes with provenance. Immutable: a new run or analysis version makes a new row beside the old one."""

from __future__ import annotations

import uuid

from django.db import models
from django.urls import reverse

from hubapp.catalog.models import DatasetRevision, Revision
from hubapp.jobs.models import Job


class Outcome(models.Model):
    """What one job found."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="outcome")
    kind = models.CharField(max_length=60)
    analysis_version = models.CharField(max_length=40)
    params = models.JSONField(default=dict)
    revision = models.ForeignKey(Revision, null=True, blank=True, on_delete=models.CASCADE, related_name="outcomes")
    dataset_revision = models.ForeignKey(
        DatasetRevision, null=True, blank=True, on_delete=models.CASCADE, related_name="outcomes"
    )
    summary = models.JSONField(default=dict)
    tables = models.JSONField(default=dict)  # name -> {"columns": [...], "rows": [[...], ...]}
    provenance = models.JSONField(default=dict)  # revisions, code and library versions, device, seed, timings, memory
    created_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["kind", "revision", "-created_at"], name="outcome_of_model"),
            models.Index(fields=["kind", "dataset_revision", "-created_at"], name="outcome_of_dataset"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"

    def get_absolute_url(self) -> str:
        """The outcome's page."""
        return reverse("results:outcome_detail", args=[self.pk])


class Score(models.Model):
    """One number with its interval; the fields are those of `workers.kit.Score`."""

    outcome = models.ForeignKey(Outcome, on_delete=models.CASCADE, related_name="scores")
    metric = models.CharField(max_length=60)
    head = models.CharField(max_length=60, blank=True)
    shots = models.PositiveIntegerField(null=True, blank=True)  # 0: all
    value = models.FloatField(null=True)
    low = models.FloatField(null=True)
    high = models.FloatField(null=True)
    interval = models.CharField(max_length=300, blank=True)
    replicates = models.JSONField(default=list, blank=True)
    note = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["outcome", "metric", "head", "shots"], nulls_distinct=False, name="score_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.metric} {self.value}"


class Sums(models.Model):
    """Numbers of an outcome that add up over models; the fields are those of `workers.kit.Sums`."""

    outcome = models.ForeignKey(Outcome, on_delete=models.CASCADE, related_name="sums")
    kind = models.CharField(max_length=40)
    labels = models.JSONField(default=dict)
    payload = models.BinaryField()

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["kind", "id"], name="sums_of_kind")]
        verbose_name_plural = "sums"

    def __str__(self) -> str:
        return f"{self.kind} {self.labels}"


class Artifact(models.Model):
    """A file of an outcome, stored by digest."""

    outcome = models.ForeignKey(Outcome, on_delete=models.CASCADE, related_name="artifacts")
    name = models.CharField(max_length=200)
    digest = models.CharField(max_length=64)
    size_bytes = models.BigIntegerField()
    media_type = models.CharField(max_length=100)
    location = models.CharField(max_length=1000)  # relative to FILES_DIR

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["outcome", "name"], name="artifact_once")]

    def __str__(self) -> str:
        return self.name


class EvidenceTable(models.Model):
    """A table of published transfer results that somebody imported; the shipped ones stay in their files."""

    name = models.SlugField(max_length=80, unique=True)
    title = models.CharField(max_length=200)
    source_repository = models.CharField(max_length=200)
    source_path = models.CharField(max_length=400)
    source_commit = models.CharField(max_length=64, blank=True)
    licence = models.CharField(max_length=100, blank=True)
    rows_read = models.PositiveIntegerField(default=0)
    rows_dropped = models.PositiveIntegerField(default=0)  # without a usable accuracy
    imported_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class EvidenceRow(models.Model):
    """One model on one data set; the fields are those of `hubapp.results.evidence.records.Record`."""

    table = models.ForeignKey(EvidenceTable, on_delete=models.CASCADE, related_name="rows")
    data_set = models.CharField(max_length=200)
    model = models.CharField(max_length=200)
    regime = models.CharField(max_length=20)
    unit = models.CharField(max_length=40)
    value = models.FloatField()
    scores = models.JSONField(default=dict)
    repeats = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["table", "data_set", "model", "regime", "unit"], name="evidence_row_once")
        ]

    def __str__(self) -> str:
        return f"{self.model} on {self.data_set}"
