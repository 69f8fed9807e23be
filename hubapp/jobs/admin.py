"""The admin's pages. States change by the services only, so they cannot be edited here."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from hubapp.jobs.models import Job, LogLine, Schedule
from hubapp.jobs.services import job_cancel


@admin.register(Job)
class JobAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Jobs, to look at and to cancel."""

    list_display = ("title", "kind", "status", "error_kind", "attempt", "worker", "created_at", "finished_at")
    list_filter = ("status", "kind", "error_kind", "queue", "is_parent")
    search_fields = ("title", "digest", "error_reference")
    date_hierarchy = "created_at"
    list_select_related = ("revision__model", "dataset_revision__dataset")
    actions = ("cancel",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Jobs come from submitting."""
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Job | None = None) -> list[str]:
        """Everything."""
        return [field.name for field in Job._meta.fields] + ["linked"]

    @admin.action(description="Cancel")
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        """Cancel the chosen jobs."""
        for pk in queryset.values_list("pk", flat=True):
            job_cancel(pk, requested_by=request.user)


@admin.register(LogLine)
class LogLineAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Lines of logs, to search in."""

    list_display = ("at", "level", "job", "text")
    list_filter = ("level",)
    search_fields = ("text",)
    list_select_related = ("job",)
    raw_id_fields = ("job",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A log is not edited."""
        return False


@admin.register(Schedule)
class ScheduleAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Schedules."""

    list_display = ("title", "kind", "cron", "timezone", "is_paused", "last_due_at", "created_by")
    list_filter = ("is_paused", "kind")
    search_fields = ("title",)
    filter_horizontal = ("datasets",)
    readonly_fields = ("last_due_at",)
