"""Jobs, their log and schedules. The row is the job; the broker only rings the bell."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse

from hubapp.catalog.models import DatasetRevision, Revision


class Job(models.Model):
    """One piece of work: one analysis × one model revision × at most one data set revision, or a parent of such rows.

    Status changes only in `hubapp.jobs.services`, each time by one conditional UPDATE.
    """

    class Status(models.TextChoices):
        """The five states."""

        QUEUED = "queued", "queued"
        RUNNING = "running", "running"
        SUCCEEDED = "succeeded", "succeeded"
        FAILED = "failed", "failed"
        CANCELLED = "cancelled", "cancelled"

    class ErrorKind(models.TextChoices):
        """Why a job failed: only a user error shows its own sentence, a bug shows a reference."""

        USER = "user", "input"
        BUG = "bug", "bug"
        TIMEOUT = "timeout", "time limit"
        LOST = "lost", "worker lost"
        MEMORY = "memory", "out of memory"

    FINISHED = (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=60)
    title = models.CharField(max_length=300, blank=True)  # for people: "Few-shot of SqueezeNet on Digits"
    params = models.JSONField(default=dict)
    digest = models.CharField(max_length=64)  # of (kind, params, revisions, analysis version): equal work, equal digest
    analysis_version = models.CharField(max_length=40, default="1")
    revision = models.ForeignKey(Revision, null=True, blank=True, on_delete=models.CASCADE, related_name="jobs")
    dataset_revision = models.ForeignKey(
        DatasetRevision, null=True, blank=True, on_delete=models.CASCADE, related_name="jobs"
    )
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="children")
    is_parent = models.BooleanField(default=False)  # holds children, is never sent to a worker
    linked = models.ManyToManyField("self", symmetrical=False, blank=True, related_name="linked_from")
    # (a parent's children that were already there: active or finished twins)
    waits_for = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="waiting")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    schedule = models.ForeignKey("Schedule", null=True, blank=True, on_delete=models.SET_NULL, related_name="runs")
    due_at = models.DateTimeField(null=True, blank=True)  # of the schedule; (schedule, due_at) is unique
    seed = models.PositiveIntegerField(default=0)
    hints = models.JSONField(default=dict, blank=True)  # how to run it, e.g. {"batch_size": 16}

    queue = models.CharField(max_length=40, default="cpu")
    status = models.CharField(max_length=20, choices=Status, default=Status.QUEUED)
    attempt = models.PositiveSmallIntegerField(default=0)
    not_before = models.DateTimeField(null=True, blank=True)
    time_limit_seconds = models.PositiveIntegerField(default=3600)
    deadline_at = models.DateTimeField(null=True, blank=True)  # set by each claim
    claim_token = models.UUIDField(null=True, blank=True)
    worker = models.CharField(max_length=200, blank=True)
    device = models.CharField(max_length=100, blank=True)

    created_at = models.DateTimeField(auto_now_add=True)
    published_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)

    progress_done = models.PositiveIntegerField(default=0)
    progress_total = models.PositiveIntegerField(default=0)
    progress_note = models.CharField(max_length=300, blank=True)
    error_kind = models.CharField(max_length=20, choices=ErrorKind, blank=True)
    error_message = models.TextField(blank=True)
    error_reference = models.CharField(max_length=40, blank=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["status", "queue", "created_at"], name="job_queue"),
            models.Index(fields=["digest", "status"], name="job_twins"),
            models.Index(fields=["-created_at"], name="job_newest"),
            models.Index(fields=["parent", "status"], name="job_children"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["digest"],
                condition=Q(status__in=["queued", "running"], is_parent=False),
                name="job_one_active_twin",
            ),
            models.UniqueConstraint(
                fields=["schedule", "due_at"], condition=Q(due_at__isnull=False), name="job_once_due"
            ),
            models.CheckConstraint(
                condition=Q(status__in=["succeeded", "failed", "cancelled"], finished_at__isnull=False)
                | Q(status__in=["queued", "running"], finished_at__isnull=True),
                name="job_finished_at_iff_finished",
            ),
        ]

    def __str__(self) -> str:
        return self.title or f"{self.kind} {self.id}"

    def get_absolute_url(self) -> str:
        """The job's page."""
        return reverse("jobs:job_detail", args=[self.pk])

    @property
    def is_finished(self) -> bool:
        """Whether the job has reached an end state."""
        return self.status in self.FINISHED


class LogLine(models.Model):
    """A line of a job's log."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="log")
    attempt = models.PositiveSmallIntegerField(default=0)
    at = models.DateTimeField(auto_now_add=True)
    level = models.CharField(max_length=10, default="info")
    text = models.TextField()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.text


class Schedule(models.Model):
    """A cron line: an analysis over a search of the catalogue × data sets; only what is new is computed."""

    title = models.CharField(max_length=200)
    cron = models.CharField(max_length=100)
    timezone = models.CharField(max_length=60, default="UTC")
    kind = models.CharField(max_length=60)
    params = models.JSONField(default=dict, blank=True)
    search = models.CharField(
        max_length=500, blank=True
    )  # query string of the model list, e.g. "modality=image&task=…"
    datasets = models.ManyToManyField("catalog.Dataset", blank=True, related_name="schedules")
    is_paused = models.BooleanField(default=False)
    last_due_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["title"]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        """The schedule's page."""
        return reverse("jobs:schedule_detail", args=[self.pk])
