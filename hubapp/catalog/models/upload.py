"""Files that a person brought, on their way to a data set."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from hubapp.catalog.models.dataset import Dataset, DatasetRevision


class Upload(models.Model):
    """Files from a browser or a folder of the server: checked by a job, then accepted as a revision, or discarded."""

    class Status(models.TextChoices):
        """How far it is."""

        WAITING = "waiting", "waits for its check"
        CHECKED = "checked", "checked"
        ACCEPTED = "accepted", "accepted"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    status = models.CharField(max_length=20, choices=Status, default=Status.WAITING)
    title = models.CharField(max_length=200)
    meaning = models.CharField(max_length=500, blank=True)
    licence = models.CharField(max_length=100, blank=True)
    # The data set that it is to be a new revision of; of an accepted one, the data set that it became part of.
    dataset = models.ForeignKey(Dataset, null=True, blank=True, on_delete=models.CASCADE, related_name="uploads")
    revision = models.ForeignKey(
        DatasetRevision, null=True, blank=True, on_delete=models.SET_NULL, related_name="uploads"
    )
    uploaded_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    folder = models.CharField(max_length=200, blank=True)  # below FILES_DIR, by content; empty until it is copied
    files = models.JSONField(default=list, blank=True)  # [[path, sha256, bytes], …] below the folder
    size_bytes = models.BigIntegerField(default=0)
    origin_path = models.CharField(max_length=1000, blank=True)  # the server's folder or file that staff named
    given = models.JSONField(default=dict, blank=True)  # what a person said of how to read it
    round = models.PositiveIntegerField(default=1)  # of checking; what a person says anew begins another
    report = models.JSONField(default=dict, blank=True)  # of the check: verdict, sentence, guess, profile, field
    ids_location = models.CharField(max_length=200, blank=True)  # content ids of its rows, below FILES_DIR
    created_at = models.DateTimeField(auto_now_add=True)
    checked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["folder"], name="upload_by_content")]

    def __str__(self) -> str:
        return self.title
