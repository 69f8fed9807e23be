"""Where models come from, and what each look at a source found."""

from __future__ import annotations

from django.db import models
from django.db.models.enums import TextChoices
from django.urls import reverse


class Source(models.Model):
    """Where models come from: the built-in demo, a folder of checkpoints, a Hub-compatible endpoint or a file dump."""

    class Kind(TextChoices):
        """Ways to find models."""

        DEMO = "demo", "built-in demo"
        FOLDER = "folder", "folder of checkpoints"
        HUB = "hub", "Hub endpoint"
        DUMP = "dump", "file of records"

    kind = models.CharField(max_length=20, choices=Kind)
    title = models.CharField(max_length=200)
    location = models.CharField(max_length=1000, blank=True)  # a folder, an endpoint's address, a file
    token = models.CharField(max_length=300, blank=True)  # secret: shown nowhere, sent to the endpoint only
    webhook_secret = models.CharField(max_length=100, blank=True)  # shown to staff; compared in constant time
    allows_private = models.BooleanField(default=False)  # may lie on loopback or in a private network
    shows_gated = models.BooleanField(default=False)  # its gated models are public knowledge
    created_at = models.DateTimeField(auto_now_add=True)
    synced_at = models.DateTimeField(null=True, blank=True)  # end of the last whole sync

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "location"], name="source_once_per_place")]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        """The source's page."""
        return reverse("catalog:source_detail", args=[self.pk])


class SyncRun(models.Model):
    """One look at a source: how far it came, what it did. A run that was killed is taken up at its cursor."""

    class Status(TextChoices):
        """What became of the run."""

        RUNNING = "running", "running"
        SUCCEEDED = "succeeded", "succeeded"
        FAILED = "failed", "failed"

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="runs")
    status = models.CharField(max_length=20, choices=Status, default=Status.RUNNING)
    started_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    seconds = models.FloatField(default=0)  # of work, over all attempts
    cursor = models.JSONField(default=dict, blank=True)  # where to go on: {"next_url": …} or {"record": n, …}
    done = models.BigIntegerField(default=0)
    total = models.BigIntegerField(null=True, blank=True)  # records in all, where the source says so
    added = models.BigIntegerField(default=0)
    changed = models.BigIntegerField(default=0)
    unchanged = models.BigIntegerField(default=0)
    removed = models.BigIntegerField(default=0)
    refused = models.BigIntegerField(default=0)
    error_message = models.CharField(max_length=1000, blank=True)
    # The first names of each kind: {"added": […], "changed": […], "removed": […], "marked": {slug: why unreadable}}
    examples = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["-started_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.source} at {self.started_at:%Y-%m-%d %H:%M}"


class RefusedRecord(models.Model):
    """A record or file that could not be taken in: set aside with the reason, so that nothing is lost."""

    run = models.ForeignKey(SyncRun, on_delete=models.CASCADE, related_name="refusals")
    position = models.BigIntegerField(default=0)  # line, entry or place in the listing, from 1
    name = models.CharField(max_length=300, blank=True)
    reason = models.CharField(max_length=1000)
    excerpt = models.TextField(blank=True)  # the beginning of what was refused

    class Meta:
        ordering = ["position", "pk"]

    def __str__(self) -> str:
        return f"{self.name or self.position}: {self.reason}"


class Sighting(models.Model):
    """That a run saw a model; kept until the run ends, so that what it did not see is known to be gone."""

    run = models.ForeignKey(
        SyncRun, on_delete=models.CASCADE, related_name="sightings", db_index=False, db_constraint=False
    )
    model = models.ForeignKey(
        "catalog.Model", on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "model"], name="sighting_once")]

    def __str__(self) -> str:
        return f"{self.run_id}: {self.model_id}"
