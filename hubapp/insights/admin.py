"""The admin's pages."""

from __future__ import annotations

from django.contrib import admin

from hubapp.insights.models import Snapshot


@admin.register(Snapshot)
class SnapshotAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Roll-ups of the hub, to look at."""

    list_display = ("made_at", "seconds")
    readonly_fields = ("made_at", "seconds", "figures_all", "figures_open")
