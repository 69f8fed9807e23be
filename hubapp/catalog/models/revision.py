"""Revisions of models: immutable states with their files and tensors."""

from __future__ import annotations

from django.db import models

from hubapp.catalog.models.model import Model


class Revision(models.Model):
    """One immutable state of a model: its files, by content or by the commit of their repository."""

    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="revisions")
    digest = models.CharField(max_length=64)  # SHA-256 over (path, sha256) of its files; of a hub: the commit, 40 hex
    commit = models.CharField(max_length=40, blank=True)  # of the repository, where there is one
    loader = models.CharField(max_length=60, blank=True)  # name in workers.kit.LOADERS; empty: weights only
    config = models.JSONField(default=dict, blank=True)
    modality = models.CharField(max_length=20, blank=True)  # what the loader reads of it; empty: what its model says
    loader_note = models.CharField(max_length=1000, blank=True)  # why that loader, or why none, in a sentence
    parameters = models.BigIntegerField(default=0)  # learned values in all tensors
    parameters_by_dtype = models.JSONField(default=dict, blank=True)  # as headers state them, statistics included
    size_bytes = models.BigIntegerField(default=0)
    error_message = models.CharField(max_length=1000, blank=True)  # why its weights cannot be read
    is_local = models.BooleanField(default=True)  # its weights lie here, so that analyses can read them
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [models.UniqueConstraint(fields=["model", "digest"], name="revision_once")]
        indexes = [models.Index(fields=["model"], condition=models.Q(is_local=True), name="revision_here")]

    def __str__(self) -> str:
        return f"{self.model.slug}@{self.digest[:8]}"


class File(models.Model):
    """A file of a revision; without a location it lies at its hub only."""

    revision = models.ForeignKey(Revision, on_delete=models.CASCADE, related_name="files")
    path = models.CharField(max_length=500)  # within the model
    location = models.CharField(max_length=1000, blank=True)  # absolute, or relative to FILES_DIR
    size_bytes = models.BigIntegerField(null=True, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    format = models.CharField(max_length=40, blank=True)  # by content: workers.sources.headers.identify
    is_weights = models.BooleanField(default=True)
    modified_ns = models.BigIntegerField(
        null=True, blank=True
    )  # of a file in place: spares hashing what did not change
    safety = models.CharField(max_length=20, blank=True)  # a level of workers.sources.safety
    safety_note = models.CharField(max_length=1000, blank=True)  # what was found, in a sentence

    class Meta:
        ordering = ["path"]
        constraints = [models.UniqueConstraint(fields=["revision", "path"], name="file_once")]

    def __str__(self) -> str:
        return self.path


class Tensor(models.Model):
    """A tensor of a revision, as the file header states it."""

    revision = models.ForeignKey(Revision, on_delete=models.CASCADE, related_name="tensors")
    position = models.PositiveIntegerField()
    name = models.CharField(max_length=500)
    shape = models.JSONField(default=list)
    dtype = models.CharField(max_length=20)
    parameters = models.BigIntegerField()

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["revision", "position"], name="tensor_once")]

    def __str__(self) -> str:
        return self.name
