"""Copies of weights that were fetched from a hub: how far they are, where they lie, so that they can be removed."""

from __future__ import annotations

import datetime as dt

from django.db import models
from django.utils import timezone

from hubapp.catalog.models.revision import Revision

# A fetch notes its progress every few seconds; one that was silent for so long has stopped.
SILENT_AFTER = dt.timedelta(seconds=90)


class WeightsCopy(models.Model):
    """The copy of one revision: on its way, stopped halfway, or here (`fetched_at`)."""

    revision = models.OneToOneField(Revision, on_delete=models.CASCADE, primary_key=True, related_name="weights_copy")
    folder = models.CharField(max_length=100, blank=True)  # below FILES_DIR: where they come in, then where they lie
    files = models.PositiveIntegerField(default=0)
    size_bytes = models.BigIntegerField(default=0)  # of all files that are wanted
    done_bytes = models.BigIntegerField(default=0)
    touched_at = models.DateTimeField(default=timezone.now)
    fetched_at = models.DateTimeField(null=True, blank=True)
    error_message = models.CharField(max_length=1000, blank=True)  # why the last attempt ended

    def __str__(self) -> str:
        return f"weights of {self.revision_id}"

    @property
    def is_at_work(self) -> bool:
        """Whether somebody fetches it at this moment."""
        is_recent = timezone.now() - self.touched_at < SILENT_AFTER
        return self.fetched_at is None and not self.error_message and is_recent
