"""The admin's pages."""

from __future__ import annotations

from django.contrib import admin

from hubapp.filterdb.models import DriftIntervals


@admin.register(DriftIntervals)
class DriftIntervalsAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Intervals of drifts, to look at."""

    list_display = ("axis", "balance", "kernel", "view", "audience", "draws", "seconds", "computed_at")
    list_filter = ("axis", "balance", "kernel", "view", "audience")
    readonly_fields = (
        "axis",
        "parameters",
        "parameters_digest",
        "kernel",
        "view",
        "balance",
        "audience",
        "stamp",
        "outcomes",
        "draws",
        "seed",
        "seconds",
        "values",
        "computed_at",
    )
